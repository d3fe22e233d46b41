//! Events of an `incident` stream: that somebody tried what they may not.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AccountId;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    /// A token that does not hold.
    AuthenticationFailed,
    /// Something that the account may not do, or not there.
    AuthorityRefused,
    /// Something whose refusal tells of somebody out of sight, such as that a national id is on record.
    TellingRefusal,
    /// A message among published events that is not the relay's: somebody else may publish there.
    ForeignMessage,
}

/// Somebody tried what they may not (21 CFR 11.300(d); ICH E6(R3), 4.3.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentRecorded {
    /// What was tried.
    pub kind: IncidentKind,
    /// The rule that refused it.
    pub rule: String,
    /// The account, where a token that holds names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// Its username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// What was asked for: the method and the route, without ids; of a message the form of its subject.
    pub operation: String,
    /// The network address from which it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How often.
    pub count: u32,
    /// The first time.
    pub first_at: DateTime<Utc>,
    /// The last time.
    pub last_at: DateTime<Utc>,
}

event_set! {
    /// What can happen to an incident.
    pub enum IncidentEvent in Incident {
        IncidentRecorded = 1;
    }
}
