//! How far consumers have come, and the proof that the log still is what they have read.

use async_trait::async_trait;
use events::envelope::Envelope;
use uuid::Uuid;

use crate::leases::CoordinationError;

/// A place in the log, with the event that is there. An event's id is made once and of its position, in whatever
/// log and epoch: a log that has the event at its place is the one that was read up to there (docs/adr/0020).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position; 0 at the beginning.
    pub position: u64,
    /// The event there; nil at the beginning.
    pub event_id: Uuid,
}

impl Checkpoint {
    /// Before the first event.
    pub const START: Self = Self { position: 0, event_id: Uuid::nil() };

    /// Behind an event.
    pub const fn behind(envelope: &Envelope) -> Self {
        Self { position: envelope.position, event_id: envelope.event_id }
    }
}

/// The log does not have what a consumer has read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log, which ends at position {head}, does not have the event {} at position {}: it lost events or was \
     replaced since; `anamnesis recover` shows what differs and takes the log up again",
    checkpoint.event_id,
    checkpoint.position
)]
pub struct WentBack {
    /// How far the consumer has come.
    pub checkpoint: Checkpoint,
    /// Where the log ends now.
    pub head: u64,
}

/// The storage of checkpoints of consumers whose effect is outside the database.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// How far the consumer has come; 0 at the beginning.
    async fn load(&self, name: &str) -> Result<u64, CoordinationError>;

    /// Moves the checkpoint if it stands at `from`; tells whether it did.
    async fn advance(&self, name: &str, from: u64, to: u64) -> Result<bool, CoordinationError>;
}
