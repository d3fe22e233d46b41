//! Who is asking, by signed tokens: tokens say who, never what (docs/adr/0034-tokens-say-who.md).
//!
//! A [`Verifier`] knows issuers: this program itself ([`own`]), whose keys are in a file, and others, whose keys it
//! finds by OpenID Connect Discovery. What an account may do is no business of a token's.

mod algorithm;
mod claims;
mod discovery;
mod error;
mod fetch;
mod issuer;
mod json;
mod jwk;
mod keys;
mod source;
mod token;
mod verifier;

use chrono::{DateTime, Utc};
use events::ids::IdentityId;

pub use algorithm::Algorithm;
pub use claims::{Rules, Subject, SubjectError, TokenType};
pub use error::{Flaw, IdentityError};
pub use fetch::FetchError;
pub use issuer::Freshness;
pub(crate) use json::object;
pub(crate) use jwk::ed25519_jwk;
pub use keys::{IssueError, SigningKey, SigningKeyError, SigningKeys};
pub use source::Source;
pub use verifier::{SetupError, Verifier};

/// The issuer that this program is itself.
pub use events::access::identity::OWN_ISSUER;
/// For whom this program's own tokens are meant: itself.
pub const OWN_AUDIENCE: &str = "anamnesis";

/// Who is asking, and since when that is known. The same person has as many identities as issuers know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches for it (`iss`).
    pub issuer: String,
    /// Whom it is about, as the issuer calls them (`sub`): see [`Subject`].
    pub subject: String,
    /// When the token was made (`iat`).
    pub issued_at: DateTime<Utc>,
    /// When the person last showed the issuer who they are (`auth_time`), where the token tells it.
    pub auth_time: Option<DateTime<Utc>>,
    /// When the token ceases to be accepted: `exp`, and the leeway that its issuer is given. Whatever is still being
    /// answered then ends.
    pub expires_at: DateTime<Utc>,
    /// The token's id (`jti`), where it has one.
    pub token_id: Option<String>,
}

impl Identity {
    /// The id under which the log keeps for whom it speaks.
    pub fn id(&self) -> IdentityId {
        match self.issuer.as_str() {
            OWN_ISSUER => IdentityId::own(&self.subject),
            issuer => IdentityId::of(issuer, &self.subject),
        }
    }
}
