//! Events of an `identity` stream: the claim that lets an issuer's subject speak for one account only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;

/// The issuer of our own tokens; its subjects are usernames.
pub const OWN_ISSUER: &str = "anamnesis";

/// The identity speaks for the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityClaimed {
    /// The account.
    pub account_id: AccountId,
}

/// The identity speaks for nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityReleased {
    /// For whom it spoke.
    pub account_id: AccountId,
}

event_set! {
    /// What can happen to an identity.
    pub enum IdentityEvent in Identity {
        IdentityClaimed = 1;
        IdentityReleased = 1;
    }
}
