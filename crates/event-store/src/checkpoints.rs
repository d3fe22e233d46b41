//! Checkpoints of consumers whose effect is outside the database.

use async_trait::async_trait;

use crate::leases::CoordinationError;

/// The storage of checkpoints.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// How far the consumer has come; 0 at the beginning.
    async fn load(&self, name: &str) -> Result<u64, CoordinationError>;

    /// Moves the checkpoint if it stands at `from`; tells whether it did.
    async fn advance(&self, name: &str, from: u64, to: u64) -> Result<bool, CoordinationError>;
}
