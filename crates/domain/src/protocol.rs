//! The claim that keeps protocol numbers unique.

use chrono::{DateTime, Utc};
use events::decider::Aggregate;
use events::ids::{ProtocolId, TrialId};
use events::protocol::ProtocolEvent;
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
    type Id = ProtocolId;
    type Event = ProtocolEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &ProtocolEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            ProtocolEvent::ProtocolNumberClaimed(claimed) => ProtocolNumber::Claimed(claimed.trial_id),
        }
    }
}
