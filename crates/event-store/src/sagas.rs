//! What process managers keep: the view `sagas` with their instances, and the
//! steps that have not come to an end. Both change in one transaction.

use async_trait::async_trait;
use uuid::Uuid;

use crate::views::{CommitError, ViewBatch, ViewError};

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// To be sent.
    Pending,
    /// An operator has to look at it.
    Dead,
}

impl StepStatus {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            StepStatus::Pending => "pending",
            StepStatus::Dead => "dead",
        }
    }
}

/// A step that has not come to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStep {
    /// The command's id, derived from instance, trigger and step.
    pub command_id: Uuid,
    /// The instance.
    pub instance_id: Uuid,
    /// Steps of one instance are sent in this order.
    pub sequence: i64,
    /// The step's name.
    pub name: String,
    /// The event or timer that led to it.
    pub trigger_id: Uuid,
    /// The event that led to it.
    pub causation_id: Option<Uuid>,
    /// The first command of the conversation.
    pub correlation_id: Uuid,
    /// The command (JSON).
    pub command: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A change of steps.
#[derive(Clone, Debug)]
pub enum StepChange {
    /// A new step; one that is there stays as it is.
    Add(StoredStep),
    /// It came to an end.
    Remove(Uuid),
    /// It is to be sent, or looked at, after so many tries.
    Set {
        /// The step's command.
        command_id: Uuid,
        /// Where it stands.
        status: StepStatus,
        /// How often it was tried.
        attempts: u32,
    },
}

/// The storage of process managers.
#[async_trait]
pub trait SagaStore: Send + Sync + 'static {
    /// Steps that are to be sent, in order.
    async fn pending(&self, limit: u32) -> Result<Vec<StoredStep>, ViewError>;

    /// A step that has not come to an end.
    async fn find(&self, command_id: Uuid) -> Result<Option<StoredStep>, ViewError>;

    /// Stores instances, position and steps in one transaction.
    ///
    /// # Errors
    /// [`CommitError::Moved`] where the view does not stand at the batch's beginning; nothing is stored then.
    async fn commit(&self, instances: ViewBatch, steps: Vec<StepChange>) -> Result<(), CommitError>;
}
