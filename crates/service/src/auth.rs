//! Authentication by signed tokens (JWT, HS256 with one key; docs/adr/0007-one-key-for-now.md).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use authority::Sight;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use event_store::clock;
use events::access::Duty;
use events::access::identity::OWN_ISSUER;
use events::access::incident::IncidentKind;
use events::ids::{AccountId, IdentityId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::accounts::Accounts;
use crate::connections::Peer;
use crate::incidents::{Incident, Recorder};
use crate::jwt;
pub use crate::key::{Key, KeyError, write_private};
use crate::problem::{BrokenRule, Problem};

/// Verified tokens that are remembered, so that a busy client's is not verified every time.
const VERIFIED_MAX: u64 = 10_000;
/// Greatest length of a token.
const TOKEN_BYTES_MAX: usize = 8_192;

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
}

/// Whom a token names: who somebody is, never what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The identity at the issuer.
    pub identity_id: IdentityId,
    /// When the token runs out.
    pub expires_at: DateTime<Utc>,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The identity that the token names.
    pub identity_id: IdentityId,
    /// The account for which it speaks.
    pub account_id: AccountId,
    /// By which the account is known in histories.
    pub username: Arc<str>,
    /// What lies in its sight.
    pub sight: Arc<Sight>,
    /// The duties that it has anywhere; of a command's sender perhaps those of a while ago.
    pub duties: Arc<BTreeSet<Duty>>,
    /// When the token runs out or a role ends or begins; whatever is still being answered then ends.
    pub expires_at: DateTime<Utc>,
}

impl Key {
    /// Issues a token that names the account of this username.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn issue(&self, username: &str, lifetime: Duration) -> Result<String, jsonwebtoken::errors::Error> {
        jwt::install();
        let now = clock::now().timestamp();
        let claims = Claims {
            iss: OWN_ISSUER.to_owned(),
            sub: username.to_owned(),
            iat: now,
            exp: now.saturating_add_unsigned(lifetime.as_secs()),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(self.bytes()))
    }
}

/// Verifies tokens.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    key: DecodingKey,
    validation: Validation,
    verified: Cache<String, Named>,
}

impl Verifier {
    /// Verifies tokens that `key` signed.
    pub fn new(key: &Key) -> Self {
        jwt::install();
        // One algorithm and no other: a token cannot choose how it is verified.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[OWN_ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = 0;
        let verified = Cache::new(VERIFIED_MAX);
        Self { inner: Arc::new(Inner { key: DecodingKey::from_secret(key.bytes()), validation, verified }) }
    }

    /// Whom the token names.
    ///
    /// # Errors
    /// A 401 problem that says whether it is malformed, not signed by this key, or expired.
    pub fn verify(&self, token: &str) -> Result<Named, Problem> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused(MALFORMED));
        }
        let inner = &*self.inner;
        if let Some(named) = inner.verified.get(token)
            && named.expires_at > clock::now()
        {
            return Ok(named);
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &inner.key, &inner.validation).map_err(|error| {
            refused(match error.kind() {
                ErrorKind::ExpiredSignature => EXPIRED,
                ErrorKind::InvalidSignature | ErrorKind::InvalidIssuer => FOREIGN,
                _ => MALFORMED,
            })
        })?;
        let Claims { sub, exp, .. } = decoded.claims;
        if sub.is_empty() || sub.len() > 255 || sub.chars().any(char::is_control) {
            return Err(refused(MALFORMED));
        }
        let expires_at = DateTime::from_timestamp(exp, 0).ok_or_else(|| refused(MALFORMED))?;
        let named = Named { identity_id: IdentityId::own(&sub), expires_at };
        inner.verified.insert(token.to_owned(), named.clone());
        Ok(named)
    }
}

/// Lets in whose token holds and for whom there is an account; tells of the others.
#[derive(Clone)]
pub struct Gate {
    verifier: Verifier,
    accounts: Accounts,
    recorder: Arc<dyn Recorder>,
}

impl Gate {
    /// Verifies by `verifier`, looks accounts up in `accounts`, tells `recorder` of whoever tries what they may not.
    pub const fn new(verifier: Verifier, accounts: Accounts, recorder: Arc<dyn Recorder>) -> Self {
        Self { verifier, accounts, recorder }
    }

    async fn principal(&self, token: Result<String, Problem>, is_command: bool) -> Result<Principal, Problem> {
        let Named { identity_id, expires_at } = self.verifier.verify(&token?)?;
        // A command is decided with the account itself: here it need only be known who it is.
        let known = match is_command {
            true => self.accounts.of_lately(identity_id).await?,
            false => self.accounts.of(identity_id).await?,
        };
        Ok(Principal {
            identity_id,
            account_id: known.account_id,
            username: known.username,
            sight: known.sight,
            duties: known.duties,
            expires_at: known.changes_at.map_or(expires_at, |changes_at| changes_at.min(expires_at)),
        })
    }
}

/// The token of a request.
fn token_of(request: &Request) -> Result<String, Problem> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let (first, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(Problem::invalid("Authorization", "duplicate", "Give Authorization once."));
    }
    let token = first.and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    token.ok_or_else(|| Problem::unauthenticated(SEND_A_TOKEN))
}

const SEND_A_TOKEN: &str = "Send a token: `Authorization: Bearer <token>`.";

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
pub async fn require(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let operation = format!("{} {route}", request.method());
    let address = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
    let (token, is_command) = (token_of(&request), request.method() == Method::POST);
    let asked = gate.principal(token, is_command).await;
    let who = asked.as_ref().ok().map(|principal| (principal.account_id, principal.username.clone()));
    let response = match asked {
        Ok(principal) => {
            let account = Account(principal.username.to_string());
            request.extensions_mut().insert(principal);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(account);
            response
        }
        Err(problem) => problem.into_response(),
    };
    let kind = match response.status() {
        StatusCode::UNAUTHORIZED => IncidentKind::AuthenticationFailed,
        StatusCode::FORBIDDEN => IncidentKind::AuthorityRefused,
        _ => return response,
    };
    let rule = response.extensions().get::<BrokenRule>().map(|rule| rule.0.clone()).unwrap_or_default();
    gate.recorder.record(Incident { kind, rule, account: who, operation, address }).await;
    response
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.ok_or_else(|| Problem::unauthenticated(SEND_A_TOKEN))
    }
}
