//! The keys by which this program signs tokens itself: Ed25519, in a PEM file that only its owner reads.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use event_store::clock;
use jsonwebtoken::{EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use sealing::private_file;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::claims::{Subject, SubjectError};
use super::jwk::{KeySet, PublicKey, ed25519_jwk};
use super::{OWN_AUDIENCE, OWN_ISSUER};
use crate::jwt;

/// Characters of a line of PEM (RFC 7468, 3).
const PEM_LINE: usize = 64;
/// Greatest size of the file.
const FILE_BYTES_MAX: u64 = 65_536;

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    /// PKCS #8 (RFC 8410).
    document: Vec<u8>,
    /// The public half.
    public: Vec<u8>,
    /// `kid`: the thumbprint.
    id: String,
}

/// The keys of a file: the first signs, all verify.
#[derive(Clone)]
pub struct SigningKeys {
    first: SigningKey,
    others: Vec<SigningKey>,
}

/// Keys could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Not keys.
    #[error("a signing key must be an Ed25519 key in PEM (`openssl genpkey -algorithm ed25519`), the first one signs")]
    Malformed,
    /// There is no such file.
    #[error(
        "there is no signing key at {0}: name by --data-dir the folder that the server was started with, or give the key \
         of the servers by --signing-key-file or ANAMNESIS_SIGNING_KEY. Only `anamnesis serve` makes one, in its data \
         folder; for several processes make one with `openssl genpkey -algorithm ed25519`"
    )]
    Missing(PathBuf),
    /// The file cannot be used.
    #[error("the file of the signing key {path} cannot be used")]
    File {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a signing key")]
    Random,
}

/// No token was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// For nobody who could have one.
    #[error("no token can be issued for this subject")]
    Subject(#[from] SubjectError),
    /// Signing failed.
    #[error("the token could not be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// What our tokens say: who, never what (RFC 9068, 2.2).
#[derive(Serialize)]
struct OwnClaims<'token> {
    iss: &'token str,
    aud: &'token str,
    sub: &'token str,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    jti: String,
}

impl SigningKey {
    /// How long a token is good for where nobody says otherwise.
    pub const LIFETIME: Duration = Duration::from_secs(3_600);

    /// A key that nobody else has.
    ///
    /// # Errors
    /// [`SigningKeyError::Random`].
    pub fn random() -> Result<Self, SigningKeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| SigningKeyError::Random)?;
        Self::of(document.as_ref())
    }

    fn of(document: &[u8]) -> Result<Self, SigningKeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|_| SigningKeyError::Malformed)?;
        let public = pair.public_key().as_ref().to_vec();
        let (_, id) = ed25519_jwk(&public);
        Ok(Self { document: document.to_vec(), public, id })
    }

    /// Its name in tokens: the thumbprint of its public half (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half: a point of Ed25519.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The key as it signs what is no token.
    pub fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.document).expect("it was read before by construction")
    }

    /// Issues a token for the account of this name; `auth_time` is when the person last showed who they are.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(
        &self,
        subject: &str,
        lifetime: Duration,
        auth_time: Option<DateTime<Utc>>,
    ) -> Result<String, IssueError> {
        jwt::install();
        let subject = Subject::parse(subject)?;
        let now = clock::now().timestamp();
        let claims = OwnClaims {
            iss: OWN_ISSUER,
            aud: OWN_AUDIENCE,
            sub: subject.as_str(),
            iat: now,
            nbf: now,
            exp: now.saturating_add_unsigned(lifetime.as_secs()),
            auth_time: auth_time.map(|time| time.timestamp()),
            jti: Uuid::now_v7().to_string(),
        };
        let mut header = Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.id.clone());
        Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&self.document))?)
    }

    /// As PEM.
    fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.document);
        let lines: Vec<&str> =
            text.as_bytes().chunks(PEM_LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }
}

/// What comes before an Ed25519 key's 32 bytes in PKCS #8 (RFC 8410, 7).
const PKCS8_BEFORE: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Hexadecimal digits of an Ed25519 key.
const HEX_DIGITS: usize = 64;

/// A key in PKCS #8 from its base64, or from the key's bytes in hexadecimal digits.
fn document(word: &str) -> Result<Vec<u8>, SigningKeyError> {
    if word.len() != HEX_DIGITS || !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return BASE64_STANDARD.decode(word).map_err(|_| SigningKeyError::Malformed);
    }
    let pairs = word.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).map_err(|_| SigningKeyError::Malformed)?;
        u8::from_str_radix(pair, 16).map_err(|_| SigningKeyError::Malformed)
    });
    Ok([PKCS8_BEFORE.to_vec(), pairs.collect::<Result<Vec<u8>, _>>()?].concat())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.all()).finish()
    }
}

impl SigningKeys {
    /// Keys that nobody else has: one.
    ///
    /// # Errors
    /// [`SigningKeyError::Random`].
    pub fn random() -> Result<Self, SigningKeyError> {
        Ok(Self { first: SigningKey::random()?, others: Vec::new() })
    }

    /// Reads keys in PEM (PKCS #8, RFC 8410), one after the other, or, with blanks in between, each in base64 or as
    /// its 32 bytes in 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`SigningKeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let keys: Result<Vec<SigningKey>, SigningKeyError> = if text.contains("-----") {
            let blocks = PrivatePkcs8KeyDer::pem_slice_iter(text.as_bytes());
            let key = |block: Result<PrivatePkcs8KeyDer<'_>, _>| {
                SigningKey::of(block.map_err(|_| SigningKeyError::Malformed)?.secret_pkcs8_der())
            };
            blocks.map(key).collect()
        } else {
            text.split_whitespace().map(|word| SigningKey::of(&document(word)?)).collect()
        };
        let mut keys = keys?.into_iter();
        let first = keys.next().ok_or(SigningKeyError::Malformed)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// Reads the keys of a file.
    ///
    /// # Errors
    /// [`SigningKeyError`]; [`SigningKeyError::Missing`] where there is no such file.
    pub fn load(path: &Path) -> Result<Self, SigningKeyError> {
        let read = fs::metadata(path).and_then(|file| match file.len() {
            ..=FILE_BYTES_MAX => fs::read_to_string(path),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        });
        match read {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SigningKeyError::Missing(path.to_owned())),
            Err(source) => Err(SigningKeyError::File { path: path.to_owned(), source }),
        }
    }

    /// Reads the keys of a file; makes both where there is none, for its owner only.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub fn load_or_create(path: &Path) -> Result<Self, SigningKeyError> {
        match Self::load(path) {
            Err(SigningKeyError::Missing(_)) => {}
            loaded => return loaded,
        }
        match Self::create(path) {
            // Another process was first: its key is the one.
            Err(SigningKeyError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)
            }
            created => created,
        }
    }

    /// Makes a key in a file for its owner only, which must not exist.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub fn create(path: &Path) -> Result<Self, SigningKeyError> {
        let keys = Self::random()?;
        let written = private_file::create(path, keys.first.pem().as_bytes());
        written.map(|()| keys).map_err(|source| SigningKeyError::File { path: path.to_owned(), source })
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.first
    }

    /// The set of public keys (RFC 7517, 5), by which others verify.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .all()
            .map(|key| {
                let (mut public, id) = ed25519_jwk(&key.public);
                public["kid"] = id.into();
                public
            })
            .collect();
        json!({ "keys": keys })
    }

    /// The keys that verify.
    pub(super) fn public(&self) -> KeySet {
        // The same key twice in a file is one key.
        let mut keys: Vec<PublicKey> = self.all().map(|key| PublicKey::ed25519(&key.public)).collect();
        keys.sort_by(|one, other| one.thumbprint.cmp(&other.thumbprint));
        keys.dedup_by(|one, other| one.thumbprint == other.thumbprint);
        keys.into_iter().collect()
    }

    /// All of them; the first signs.
    pub fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// RFC 8410, 10.3.
    const OF_THE_STANDARD: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

    #[test]
    fn the_first_key_of_a_file_signs_and_all_are_published() {
        let another = SigningKey::random().expect("a key");
        let keys = SigningKeys::parse(&format!("{OF_THE_STANDARD}{}", another.pem())).expect("two keys");
        let published = keys.jwks();
        // RFC 8410, 10.1: the public half.
        assert_eq!(published["keys"][0]["x"], "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
        assert_eq!(published["keys"][0]["kid"], keys.signing().id());
        assert_eq!(published["keys"][1]["kid"], another.id());
        assert!(!published.to_string().contains("\"d\""), "no private half");
        assert!(!format!("{keys:?}").contains("MC4C") && format!("{keys:?}").contains(another.id()));
        let set = KeySet::parse(published.to_string().as_bytes()).expect("a set");
        assert_eq!((set.len(), keys.public().len()), (2, 2));
        let twice = SigningKeys::parse(&OF_THE_STANDARD.repeat(2)).expect("a key");
        assert_eq!(twice.public().len(), 1);
        let certificate = OF_THE_STANDARD.replace("PRIVATE KEY", "CERTIFICATE");
        let cut = OF_THE_STANDARD.replace("MC4CAQAw", "MC4C");
        for text in ["", "0f", &*certificate, &*cut] {
            assert!(matches!(SigningKeys::parse(text), Err(SigningKeyError::Malformed)), "{text}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/signing.pem");
        assert!(matches!(SigningKeys::load(&path), Err(SigningKeyError::Missing(_))));
        assert!(!path.exists());
        let made = SigningKeys::load_or_create(&path).expect("it is made");
        let again = SigningKeys::load_or_create(&path).expect("it is there");
        assert_eq!(made.signing().id(), again.signing().id());
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn nobody_signs_for_the_system() {
        let key = SigningKey::random().expect("a key");
        for subject in ["", "system:saga", "a\u{202e}b"] {
            assert!(
                matches!(key.issue(subject, SigningKey::LIFETIME, None), Err(IssueError::Subject(_))),
                "{subject:?}"
            );
        }
    }
}
