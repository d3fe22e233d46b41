//! The claim that keeps protocol numbers unique.

use chrono::{DateTime, Utc};
use decider::Aggregate;
use events::ids::{ProtocolNumberId, TrialId};
use events::trial::protocol_number::ProtocolNumberEvent;
use serde::{Deserialize, Serialize};

/// Which trial has the protocol number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolNumber {
    /// None yet.
    #[default]
    Free,
    /// This one.
    Claimed(TrialId),
}

impl Aggregate for ProtocolNumber {
    type Id = ProtocolNumberId;
    type Event = ProtocolNumberEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &ProtocolNumberEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            ProtocolNumberEvent::ProtocolNumberClaimed(claimed) => ProtocolNumber::Claimed(claimed.trial_id),
        }
    }
}
