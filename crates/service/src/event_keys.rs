//! The keys by which the relay signs what it publishes, and their public halves, by which subscribers verify it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sealing::private_file;
use serde_json::{Map, Value, json};

use crate::identity::{SigningKeyError, SigningKeys, ed25519_jwk, object};

/// Bytes of a point of Ed25519.
const POINT_BYTES: usize = 32;
/// Greatest size of a file of public keys.
const FILE_BYTES_MAX: usize = 65_536;

/// The keys of published events cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EventKeyError {
    /// There is none that signs.
    #[error(
        "there is no key that signs published events at {0}: without it no subscriber could tell them from forged ones. Make \
         one with `anamnesis key create-event-key FILE`, name it by --event-signing-key-file or ANAMNESIS_EVENT_SIGNING_KEY, \
         and give the public half that it prints to the query API (--event-jwks-file). Only `anamnesis serve` makes one \
         itself, in its data folder"
    )]
    Missing(PathBuf),
    /// A file of public keys cannot be read.
    #[error("the file {path} of the public keys of events cannot be read")]
    File {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file does not hold public keys.
    #[error("the file {path} does not hold the public keys of events: {why}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key that signs cannot be used.
    #[error("the key that signs published events cannot be used")]
    Signing(#[from] SigningKeyError),
}

/// Reads the keys of a file that only its owner can read.
///
/// # Errors
/// [`EventKeyError`]; [`EventKeyError::Missing`] where there is no such file.
pub fn load_signing(path: &Path) -> Result<SigningKeys, EventKeyError> {
    match private_file::read(path) {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| SigningKeyError::Malformed)?;
            Ok(SigningKeys::parse(text)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EventKeyError::Missing(path.to_owned())),
        Err(source) => Err(SigningKeyError::File { path: path.to_owned(), source }.into()),
    }
}

/// Public keys of the relay by their ids: thumbprints (RFC 7638).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventKeys(BTreeMap<String, Vec<u8>>);

impl EventKeys {
    /// The public halves of keys that sign.
    pub fn of(keys: &SigningKeys) -> Self {
        Self(keys.all().map(|key| (key.id().to_owned(), key.public().to_vec())).collect())
    }

    /// Reads a set of keys (RFC 7517, 5; RFC 8037, 2) from a file.
    ///
    /// # Errors
    /// [`EventKeyError`]. A key of another kind is refused: what subscribers do not find they cannot verify by.
    pub fn load(path: &Path) -> Result<Self, EventKeyError> {
        let text = std::fs::read(path).map_err(|source| EventKeyError::File { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|why| EventKeyError::Malformed { path: path.to_owned(), why })
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
        }
        let document =
            object(text).map_err(|error| format!("it is no JSON object, or names something twice: {error}"))?;
        let keys = document.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty());
        let keys = keys.ok_or("it has no list `keys` with a key")?;
        keys.iter()
            .map(|key| public_key(key.as_object().ok_or("a key is an object")?))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Each by its id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(id, point)| (&**id, &**point))
    }

    /// The set as it is published; none where there are no keys.
    pub fn jwks(&self) -> Option<Value> {
        let keys: Vec<Value> = self
            .iter()
            .map(|(id, point)| {
                let (mut key, _) = ed25519_jwk(point);
                key["kid"] = id.into();
                key
            })
            .collect();
        (!keys.is_empty()).then(|| json!({ "keys": keys }))
    }
}

/// A key's id and point.
fn public_key(key: &Map<String, Value>) -> Result<(String, Vec<u8>), String> {
    let field = |name: &str| key.get(name).and_then(Value::as_str);
    if key.contains_key("d") {
        return Err("it holds a private key (`d`), which is for the relay alone".to_owned());
    }
    if (field("kty"), field("crv")) != (Some("OKP"), Some("Ed25519")) {
        return Err("a key is none of Ed25519 (`kty` OKP, `crv` Ed25519)".to_owned());
    }
    let point = field("x").and_then(|x| BASE64_URL_SAFE_NO_PAD.decode(x).ok());
    let point = point.filter(|point| point.len() == POINT_BYTES).ok_or("a key's `x` is not 32 bytes in base64url")?;
    let (_, id) = ed25519_jwk(&point);
    match key.get("kid") {
        Some(kid) if *kid != id.as_str() => {
            Err(format!("the key `{id}` is called {kid}: messages call it by its thumbprint"))
        }
        _ => Ok((id, point)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// RFC 8037, appendix A.2 and A.3.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const ID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    #[test]
    fn what_is_published_can_be_read_again() {
        let keys = SigningKeys::random().expect("a key");
        let of_file = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X}]}).to_string();
        let both = EventKeys::of(&keys).and(EventKeys::parse(of_file.as_bytes()).expect("a key"));
        let published = both.jwks().expect("two keys");
        assert_eq!(published["keys"].as_array().map(Vec::len), Some(2));
        assert!(both.iter().any(|(id, _)| id == ID) && both.iter().any(|(id, _)| id == keys.signing().id()));
        assert!(!published.to_string().contains("\"d\""));
        assert_eq!(EventKeys::parse(published.to_string().as_bytes()), Ok(both));
        assert_eq!(EventKeys::default().jwks(), None);
    }

    #[test]
    fn what_subscribers_could_not_use_is_refused() {
        let refused = |text: &str| EventKeys::parse(text.as_bytes()).expect_err(text);
        for (key, told) in [
            (json!({"kty": "OKP", "crv": "Ed25519", "x": X, "d": X}), "private"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "mine"}), "thumbprint"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "32 bytes"),
            (json!({"kty": "OKP", "crv": "X25519", "x": X}), "none of Ed25519"),
            (json!({"kty": "RSA", "n": X, "e": "AQAB"}), "none of Ed25519"),
            (json!(1), "an object"),
        ] {
            let told_of = refused(&json!({"keys": [key]}).to_string());
            assert!(told_of.contains(told), "{told_of}");
        }
        for text in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#] {
            refused(text);
        }
        refused(&" ".repeat(FILE_BYTES_MAX + 1));
    }

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.pem");
        assert!(matches!(load_signing(&path), Err(EventKeyError::Missing(_))));
        let made = SigningKeys::create(&path).expect("it is made");
        assert_eq!(load_signing(&path).expect("it is there").signing().id(), made.signing().id());
        assert!(SigningKeys::create(&path).is_err(), "one that is there stays");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("its rights");
        assert!(matches!(load_signing(&path), Err(EventKeyError::Signing(SigningKeyError::File { .. }))));
    }
}
