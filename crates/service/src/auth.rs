//! Authentication by signed tokens (JWT, HS256 with one key; docs/adr/0007-one-key-for-now.md).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use event_store::clock;
use events::envelope::{Actor, Role};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::jwt;
use crate::problem::Problem;

/// Who issues our tokens.
const ISSUER: &str = "anamnesis";
/// Bytes of a key: as many as HS256's hash has.
const KEY_BYTES: usize = 32;
/// Verified tokens that are remembered, so that a busy client's is not verified every time.
const VERIFIED_MAX: u64 = 10_000;
/// Greatest length of a token.
const TOKEN_BYTES_MAX: usize = 8_192;

/// The key that signs tokens.
#[derive(Clone)]
pub struct Key(Vec<u8>);

/// A key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a key.
    #[error("the token key must be 32 bytes as 64 hexadecimal digits")]
    Malformed,
    /// The file cannot be used.
    #[error("the key file {path} cannot be used")]
    File {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    iat: i64,
    exp: i64,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The account, and the role in which it acts.
    pub actor: Actor,
    /// When the token runs out; whatever is still being answered then ends.
    pub expires_at: DateTime<Utc>,
}

impl Key {
    /// Reads a key of 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let pairs = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        bytes.filter(|bytes| bytes.len() == KEY_BYTES).map(Self).ok_or(KeyError::Malformed)
    }

    /// Reads the key of a file; makes both where there is none, for its owner only.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut random = [0_u8; KEY_BYTES];
                File::open("/dev/urandom")
                    .and_then(|mut source| io::Read::read_exact(&mut source, &mut random))
                    .map_err(failed)?;
                let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                match write_private(path, &text) {
                    // Another process was first: its key is the one.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load_or_create(path),
                    written => written.map_err(failed).and_then(|()| Self::parse(&text)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Issues a token.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn issue(&self, actor: &Actor, lifetime: Duration) -> Result<String, jsonwebtoken::errors::Error> {
        jwt::install();
        let now = clock::now().timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: actor.id.clone(),
            role: actor.role,
            org: actor.organisation.clone(),
            iat: now,
            exp: now.saturating_add_unsigned(lifetime.as_secs()),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&self.0))
    }
}

/// Writes a file that only its owner can read, whole or not at all; one that exists stays.
///
/// # Errors
/// Where it exists or cannot be written.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let part = path.with_extension(format!("{}.part", Uuid::now_v7().simple()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A link, unlike a rename, does not replace what is there.
    let linked = match fs::hard_link(&part, path) {
        // File systems without links, such as those of desktop containers: not whole or not at all
        // any more, but still never in place of what is there.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            File::options().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
        }
        linked => linked,
    };
    fs::remove_file(&part)?;
    linked
}

/// Verifies tokens.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    key: DecodingKey,
    validation: Validation,
    verified: Cache<String, (Actor, DateTime<Utc>)>,
}

impl Authenticator {
    /// Verifies tokens that `key` signed.
    pub fn new(key: &Key) -> Self {
        jwt::install();
        // One algorithm and no other: a token cannot choose how it is verified.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = 0;
        let verified = Cache::new(VERIFIED_MAX);
        Self { inner: Arc::new(Inner { key: DecodingKey::from_secret(&key.0), validation, verified }) }
    }

    /// Who the token speaks for.
    ///
    /// # Errors
    /// A 401 problem where it is malformed, forged or has run out.
    pub fn verify(&self, token: &str) -> Result<Principal, Problem> {
        let invalid = || Problem::unauthenticated("The token is malformed, forged or has run out.");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid());
        }
        let inner = &*self.inner;
        if let Some((actor, expires)) = inner.verified.get(token)
            && expires > clock::now()
        {
            return Ok(Principal { actor, expires_at: expires });
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &inner.key, &inner.validation).map_err(|_| invalid())?;
        let Claims { sub, role, org, exp, .. } = decoded.claims;
        if sub.is_empty() || sub.len() > 255 || sub.chars().any(char::is_control) {
            return Err(invalid());
        }
        let actor = Actor { id: sub, role, organisation: org };
        let expires_at = DateTime::from_timestamp(exp, 0).ok_or_else(invalid)?;
        inner.verified.insert(token.to_owned(), (actor.clone(), expires_at));
        Ok(Principal { actor, expires_at })
    }
}

/// Refuses requests without a valid token; tells the handlers who is asking. Which methods there are may be asked by
/// everybody: no handler answers `OPTIONS`.
pub async fn require(State(authenticator): State<Authenticator>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let header = headers.next().and_then(|value| value.to_str().ok());
    let is_one = headers.next().is_none();
    let token = header.filter(|_| is_one).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let verified = match token {
        Some(token) => authenticator.verify(token),
        None if !is_one => Err(Problem::unauthenticated("Send one Authorization header, not several.")),
        None => Err(Problem::unauthenticated("Send a token: `Authorization: Bearer <token>`.")),
    };
    match verified {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.ok_or_else(|| Problem::unauthenticated("Send a token: `Authorization: Bearer <token>`."))
    }
}
