//! Who is let in: whose token holds ([`crate::identity`]) and who has an account ([`crate::accounts`]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use authority::Sight;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use events::access::Duty;
use events::access::incident::IncidentKind;
use events::ids::{AccountId, IdentityId};

use crate::accounts::{Accounts, NotLetIn};
use crate::connections::Peer;
use crate::identity::Verifier;
use crate::incidents::{Incident, Recorder};
use crate::problem::{BrokenRule, Problem, TellsOfOthers};

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
    /// The network address from which it is asked.
    pub address: Option<IpAddr>,
    /// When the person last showed the issuer who they are, where the token tells it.
    pub auth_time: Option<DateTime<Utc>>,
    /// When the token runs out or a role ends or begins; whatever is still being answered then ends.
    pub expires_at: DateTime<Utc>,
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
        let identity = self.verifier.verify(&token?).await?;
        let (identity_id, expires_at) = (identity.id(), identity.expires_at);
        // A command is decided with the account itself: here it need only be known who it is.
        let known = match is_command {
            true => self.accounts.of_lately(identity_id).await?,
            false => self.accounts.of(identity_id).await?,
        };
        if !is_command && known.sight.is_empty() {
            return Err(NotLetIn::NoRole.into());
        }
        Ok(Principal {
            identity_id,
            account_id: known.account_id,
            username: known.username,
            sight: known.sight,
            duties: known.duties,
            address: None,
            auth_time: identity.auth_time,
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

/// Whose request was answered: kept with the answer for the access log.
#[derive(Clone, Debug)]
pub(crate) struct Account(pub(crate) String);

/// The method, where it is one that is in use: anybody can make others up, of any length, and none of them is told apart.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => method.as_str(),
        _ => "OTHER",
    }
}

/// What it is to be refused with this status.
const fn incident(status: StatusCode) -> Option<IncidentKind> {
    match status {
        StatusCode::UNAUTHORIZED => Some(IncidentKind::AuthenticationFailed),
        StatusCode::FORBIDDEN => Some(IncidentKind::AuthorityRefused),
        _ => None,
    }
}

impl Gate {
    /// Who asks, before anything else of the request is looked at; whoever is refused is on record. For what is asked over
    /// another protocol: by whoever it is passed on with the principal, [`require`] takes their word.
    ///
    /// # Errors
    /// The problem to answer with.
    pub fn admit(
        &self,
        request: &Request,
        is_command: bool,
    ) -> impl Future<Output = Result<Principal, Problem>> + Send + use<'_> {
        let address = request.extensions().get::<Peer>().map(|peer| peer.0);
        let (token, operation) = (token_of(request), request.uri().path().trim_start_matches('/').to_owned());
        async move {
            let problem = match self.principal(token, is_command).await {
                Ok(principal) => return Ok(Principal { address, ..principal }),
                Err(problem) => problem,
            };
            let Some(kind) = incident(problem.status()) else { return Err(problem) };
            let (rule, address) = (problem.rule().to_owned(), address.map(|address| address.to_string()));
            self.recorder.record(Incident { kind, rule, account: None, operation, address }).await;
            Err(problem)
        }
    }
}

/// Refuses requests without a valid token; tells the handlers who is asking. Which methods there are may be asked by
/// everybody: no handler answers `OPTIONS`.
pub async fn require(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let operation = format!("{} {route}", known(request.method()));
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    let asked = match request.extensions().get::<Principal>() {
        // Whoever passes it on in this process has let them in.
        Some(principal) => Ok(principal.clone()),
        None => gate.principal(token_of(&request), request.method() == Method::POST).await,
    };
    let who = asked.as_ref().ok().map(|principal| (principal.account_id, principal.username.clone()));
    let response = match asked {
        Ok(mut principal) => {
            principal.address = address;
            let account = Account(principal.username.to_string());
            request.extensions_mut().insert(principal);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(account);
            response
        }
        Err(problem) => problem.into_response(),
    };
    let tells = response.extensions().get::<TellsOfOthers>().map(|_| IncidentKind::TellingRefusal);
    let Some(kind) = incident(response.status()).or(tells) else { return response };
    let rule = response.extensions().get::<BrokenRule>().map(|rule| rule.0.clone()).unwrap_or_default();
    let address = address.map(|address| address.to_string());
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

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::known;

    #[test]
    fn methods_that_somebody_made_up_are_one() {
        assert_eq!(known(&Method::POST), "POST");
        for made_up in ["M1", "M2", &"X".repeat(100_000)] {
            assert_eq!(known(&Method::from_bytes(made_up.as_bytes()).expect("a token")), "OTHER");
        }
    }
}
