//! Authentication by signed tokens (JWT, HS256 with one key; docs/adr/0007-one-key-for-now.md).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use event_store::clock;
use events::envelope::{Actor, Role};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::jwt;
pub use crate::key::{Key, KeyError, write_private};
use crate::problem::Problem;

/// Who issues our tokens.
const ISSUER: &str = "anamnesis";
/// Verified tokens that are remembered, so that a busy client's is not verified every time.
const VERIFIED_MAX: u64 = 10_000;
/// Greatest length of a token.
const TOKEN_BYTES_MAX: usize = 8_192;

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
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(self.bytes()))
    }
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
        Self { inner: Arc::new(Inner { key: DecodingKey::from_secret(key.bytes()), validation, verified }) }
    }

    /// Who the token speaks for.
    ///
    /// # Errors
    /// A 401 problem that says whether it is malformed, not signed by this key, or expired.
    pub fn verify(&self, token: &str) -> Result<Principal, Problem> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused(MALFORMED));
        }
        let inner = &*self.inner;
        if let Some((actor, expires)) = inner.verified.get(token)
            && expires > clock::now()
        {
            return Ok(Principal { actor, expires_at: expires });
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &inner.key, &inner.validation).map_err(|error| {
            refused(match error.kind() {
                ErrorKind::ExpiredSignature => EXPIRED,
                ErrorKind::InvalidSignature | ErrorKind::InvalidIssuer => FOREIGN,
                _ => MALFORMED,
            })
        })?;
        let Claims { sub, role, org, exp, .. } = decoded.claims;
        if sub.is_empty() || sub.len() > 255 || sub.chars().any(char::is_control) {
            return Err(refused(MALFORMED));
        }
        let actor = Actor { id: sub, role, organisation: org };
        let expires_at = DateTime::from_timestamp(exp, 0).ok_or_else(|| refused(MALFORMED))?;
        inner.verified.insert(token.to_owned(), (actor.clone(), expires_at));
        Ok(Principal { actor, expires_at })
    }
}

/// Why a token is refused: what its owner can do differs.
const MALFORMED: &str = "The token is malformed: it is cut off, or no token of this program.";
const FOREIGN: &str = "The token was not signed by this server's key: it is of another server, or the key was changed.";
const EXPIRED: &str = "The token has expired: get a new one.";

/// A token that does not hold, as RFC 6750 has it told.
fn refused(why: &'static str) -> Problem {
    let header = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", why);
    let header = HeaderValue::from_str(&header).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    problem.with_header(header::WWW_AUTHENTICATE, header)
}

/// Whose request was answered: kept with the answer for the access log.
#[derive(Clone, Debug)]
pub(crate) struct Account(pub(crate) String);

/// Refuses requests without a valid token; tells the handlers who is asking. Which methods there are may be asked by
/// everybody: no handler answers `OPTIONS`.
pub async fn require(State(authenticator): State<Authenticator>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let (first, second) = (headers.next(), headers.next());
    if second.is_some() {
        let problem = Problem::invalid("Authorization", "duplicate", "Give Authorization once.");
        return problem.into_response();
    }
    let token = first.and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let verified = match token {
        Some(token) => authenticator.verify(token),
        None => Err(Problem::unauthenticated("Send a token: `Authorization: Bearer <token>`.")),
    };
    match verified {
        Ok(principal) => {
            let account = Account(principal.actor.id.clone());
            request.extensions_mut().insert(principal);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(account);
            response
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
