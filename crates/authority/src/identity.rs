//! For whom an issuer's subject speaks.

use chrono::{DateTime, Utc};
use decider::Aggregate;
use events::access::identity::IdentityEvent;
use events::ids::{AccountId, IdentityId};
use serde::{Deserialize, Serialize};

/// An identity at an issuer of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// It speaks for nobody.
    #[default]
    Free,
    /// It speaks for this account.
    Claimed(AccountId),
}

impl Identity {
    /// The account for which it speaks.
    pub const fn account(self) -> Option<AccountId> {
        match self {
            Identity::Free => None,
            Identity::Claimed(account_id) => Some(account_id),
        }
    }
}

impl Aggregate for Identity {
    type Id = IdentityId;
    type Event = IdentityEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &IdentityEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            IdentityEvent::IdentityClaimed(claimed) => Identity::Claimed(claimed.account_id),
            IdentityEvent::IdentityReleased(_) => Identity::Free,
        }
    }
}
