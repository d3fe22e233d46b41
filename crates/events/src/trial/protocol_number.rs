//! Events of a `protocol` stream: the claim that keeps protocol numbers unique.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::TrialId;

/// A trial took the protocol number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtocolNumberClaimed {
    /// The trial.
    pub trial_id: TrialId,
    /// The number as given.
    pub protocol: String,
}

event_set! {
    /// What can happen to a protocol number.
    pub enum ProtocolNumberEvent in ProtocolNumber {
        ProtocolNumberClaimed = 1;
    }
}
