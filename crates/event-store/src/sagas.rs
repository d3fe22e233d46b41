//! What process managers keep: the view `sagas` with their instances, the steps
//! that have not come to an end, and how far each of them has folded the log.
//!
//! Each process manager has a cursor of its own; whatever it stores moves that
//! cursor, so of two that take themselves for the one runner only one stores.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::checkpoints::Checkpoint;
use crate::views::catalogue::checkpoint;
use crate::views::{CommitError, ViewError, ViewRow};

/// The view that holds the instances.
pub const VIEW: &str = "sagas";

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

    /// The status of this name.
    ///
    /// # Errors
    /// [`ViewError::Corrupt`] where there is none.
    pub fn parse(name: &str) -> Result<Self, ViewError> {
        match name {
            "pending" => Ok(StepStatus::Pending),
            "dead" => Ok(StepStatus::Dead),
            other => Err(ViewError::Corrupt(format!("a step's status `{other}`"))),
        }
    }
}

/// A place among the steps of a process manager: they are sent in this order, those of one instance one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepOrder {
    /// The number of the trigger.
    pub sequence: i64,
    /// The place among the steps of the trigger.
    pub place: i64,
    /// The command's id, where everything else is equal.
    pub command_id: Uuid,
}

/// A step that has not come to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStep {
    /// The command's id, derived from instance, trigger and step.
    pub command_id: Uuid,
    /// The process manager.
    pub saga: String,
    /// The instance.
    pub instance_id: Uuid,
    /// The number of the trigger among all of the process manager.
    pub sequence: i64,
    /// The place among the steps of the trigger.
    pub place: i64,
    /// The step's name.
    pub name: String,
    /// The event or timer that led to it.
    pub trigger_id: Uuid,
    /// The event that led to it.
    pub causation_id: Option<Uuid>,
    /// The first command of the conversation.
    pub correlation_id: Uuid,
    /// W3C `traceparent` of what led to it.
    pub trace_context: Option<String>,
    /// The command (JSON).
    pub command: String,
    /// The instance's state when the step was decided (JSON).
    pub state: String,
    /// Whether it is to be sent.
    pub status: StepStatus,
    /// How often it was tried.
    pub attempts: u32,
}

impl StoredStep {
    /// Its place among the steps of its process manager.
    pub const fn order(&self) -> StepOrder {
        StepOrder { sequence: self.sequence, place: self.place, command_id: self.command_id }
    }
}

/// A change of steps.
#[derive(Clone, Debug)]
pub enum StepChange {
    /// It is new, or stands elsewhere than before.
    Put(Box<StoredStep>),
    /// It came to an end.
    Remove(Uuid),
}

/// An event that concerns many instances, and how far it was folded onto them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// The event's position.
    pub position: u64,
    /// The key of the last instance that it was folded onto.
    pub after: String,
}

/// How far a process manager has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SagaCursor {
    /// The version of the states that it keeps.
    pub state_version: u32,
    /// Events up to here are folded.
    pub checkpoint: Checkpoint,
    /// Up by one with every change.
    pub revision: u64,
    /// Triggers that led to steps so far.
    pub triggers: i64,
    /// The event after `checkpoint` that is being folded onto all of a trial.
    pub fan_out: Option<FanOut>,
}

/// What is to be stored of one process manager in one transaction.
#[derive(Clone, Debug)]
pub struct SagaBatch {
    /// The process manager.
    pub saga: String,
    /// The generation of the view.
    pub generation: i64,
    /// Where the process manager stands afterwards; it must stand at the revision before.
    pub to: SagaCursor,
    /// Instances that are new or changed.
    pub instances: Vec<ViewRow>,
    /// Steps that changed, each once.
    pub steps: Vec<StepChange>,
    /// All process managers that keep the view up to date: it stands where the last of them does.
    pub among: Vec<String>,
}

/// Whose instances are asked for.
#[derive(Clone, Debug)]
pub enum About {
    /// Those about these patients.
    Patients(Vec<Uuid>),
    /// Those about a trial.
    Trial(Uuid),
}

/// What somebody has to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Instances that cannot be folded.
    pub stuck: u64,
    /// Steps that wait for an operator.
    pub dead: u64,
}

/// Instances as they are kept: key and document.
pub type Documents = Vec<(String, Box<RawValue>)>;

/// The storage of process managers.
#[async_trait]
pub trait SagaStore: Send + Sync + 'static {
    /// Where the process manager stands; `None` where it never began.
    async fn cursor(&self, saga: &str) -> Result<Option<SagaCursor>, ViewError>;

    /// Forgets the instances and steps of a process manager and lets it begin
    /// at position 0 with states of `state_version`. `from` is where it stands.
    ///
    /// # Errors
    /// [`CommitError::Moved`] where it stands elsewhere; nothing is changed then.
    async fn restart(
        &self,
        saga: &str,
        generation: i64,
        state_version: u32,
        from: Option<SagaCursor>,
    ) -> Result<SagaCursor, CommitError>;

    /// Running instances by key, after `after`, at most `limit`.
    async fn running(
        &self,
        saga: &str,
        generation: i64,
        about: &About,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Documents, ViewError>;

    /// Instances whose time has come by `by`, soonest first, at most `limit`.
    async fn due(&self, saga: &str, generation: i64, by: DateTime<Utc>, limit: u32) -> Result<Documents, ViewError>;

    /// Steps that are to be sent, in order, after `after`, at most `limit`.
    async fn pending(&self, saga: &str, after: Option<StepOrder>, limit: u32) -> Result<Vec<StoredStep>, ViewError>;

    /// A step of the process manager that has not come to an end.
    async fn find(&self, saga: &str, command_id: Uuid) -> Result<Option<StoredStep>, ViewError>;

    /// What somebody has to look at.
    async fn troubles(&self, saga: &str, generation: i64) -> Result<Troubles, ViewError>;

    /// Lets the view stand where the last of `among` does. Every commit does; one of another process at the same
    /// moment may be missed there.
    async fn announce(&self, among: &[String]) -> Result<(), ViewError>;

    /// Stores instances, steps and the cursor in one transaction.
    ///
    /// # Errors
    /// [`CommitError::Moved`] where the cursor is not at the revision before; nothing is stored then.
    async fn commit(&self, batch: SagaBatch) -> Result<(), CommitError>;
}

/// The columns of a step, in the order of the table.
pub(crate) const STEP_COLUMNS: &str = "command_id, saga, instance_id, sequence, place, name, trigger_id, causation_id, \
     correlation_id, trace_context, command, state, status, attempts";

/// The columns of a cursor, in the order of [`CursorRow`].
pub(crate) const CURSOR_COLUMNS: &str =
    "state_version, position, event_id, revision, triggers, fan_out_position, fan_out_after";

/// A cursor as the database gives it.
pub(crate) type CursorRow = (i64, i64, Uuid, i64, i64, Option<i64>, Option<String>);

/// The cursor that a row tells.
pub(crate) fn cursor(row: CursorRow) -> Result<SagaCursor, ViewError> {
    let (state_version, position, event_id, revision, triggers, fan_out_position, fan_out_after) = row;
    let corrupt = || ViewError::Corrupt("a process manager's cursor".to_owned());
    let number = |value: i64| u64::try_from(value).map_err(|_| corrupt());
    let fan_out = match (fan_out_position, fan_out_after) {
        (Some(position), Some(after)) => Some(FanOut { position: number(position)?, after }),
        _ => None,
    };
    Ok(SagaCursor {
        state_version: u32::try_from(state_version).map_err(|_| corrupt())?,
        checkpoint: checkpoint(position, event_id)?,
        revision: number(revision)?,
        triggers,
        fan_out,
    })
}

/// A step out of a row with [`STEP_COLUMNS`].
pub(crate) fn step<'row, R>(row: &'row R) -> Result<StoredStep, ViewError>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    Uuid: sqlx::Decode<'row, R::Database> + sqlx::Type<R::Database>,
    Option<Uuid>: sqlx::Decode<'row, R::Database> + sqlx::Type<R::Database>,
    String: sqlx::Decode<'row, R::Database> + sqlx::Type<R::Database>,
    Option<String>: sqlx::Decode<'row, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'row, R::Database> + sqlx::Type<R::Database>,
{
    let reading = ViewError::database("reading a step's row");
    let status: String = row.try_get(12).map_err(&reading)?;
    let attempts: i64 = row.try_get(13).map_err(&reading)?;
    Ok(StoredStep {
        command_id: row.try_get(0).map_err(&reading)?,
        saga: row.try_get(1).map_err(&reading)?,
        instance_id: row.try_get(2).map_err(&reading)?,
        sequence: row.try_get(3).map_err(&reading)?,
        place: row.try_get(4).map_err(&reading)?,
        name: row.try_get(5).map_err(&reading)?,
        trigger_id: row.try_get(6).map_err(&reading)?,
        causation_id: row.try_get(7).map_err(&reading)?,
        correlation_id: row.try_get(8).map_err(&reading)?,
        trace_context: row.try_get(9).map_err(&reading)?,
        command: row.try_get(10).map_err(&reading)?,
        state: row.try_get(11).map_err(&reading)?,
        status: StepStatus::parse(&status)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
    })
}
