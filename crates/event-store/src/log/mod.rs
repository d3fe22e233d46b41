//! The log's port: what every engine promises.
//!
//! The promises, each a test of the contract suite in `testkit`:
//! positions start at 1, have no gaps and become visible in order; stream
//! versions start at 1 and have no gaps; an append is stored whole or not at
//! all; a command id is taken at most once, also across processes and crashes.

pub mod comparing;
mod error;
pub mod event_id;
pub mod group_commit;
pub mod known;
pub mod lag;
pub mod plan;
pub mod row;
pub mod tail;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use decider::Refusal;
use events::envelope::{Actor, Envelope, NewEvent};
use events::ids::{PatientId, SiteId, StreamId, TrialId};
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::checkpoints::{Checkpoint, WentBack};
pub use crate::portion::READ_BYTES_MAX;

pub use error::{AppendError, LogError, MalformedAppend};

/// Greatest number of events in one append.
pub const APPEND_EVENTS_MAX: usize = 1_000;
/// Greatest size of one payload in bytes: with 64 KiB of headers it is within a
/// MiB, which is what NATS takes unless told otherwise, headers included.
pub const PAYLOAD_BYTES_MAX: usize = (1024 - 64) * 1024;

/// Whether a read of at most `limit` events came to the end of what was asked for: neither their number nor their length
/// cut it off. To be asked of the events as they are stored, before anything in them is opened.
pub fn is_last(events: &[Envelope], limit: usize) -> bool {
    events.len() < limit && events.iter().map(|event| event.payload.len()).sum::<usize>() < READ_BYTES_MAX
}

/// What version a stream must have for an append to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Any version.
    Any,
    /// The stream must not exist.
    NoStream,
    /// The stream must stand at exactly this version (from 1).
    Exact(u64),
}

impl Expected {
    /// Whether a stream at `version` (0: does not exist) fits.
    pub const fn admits(self, version: u64) -> bool {
        match self {
            Expected::Any => true,
            Expected::NoStream => version == 0,
            Expected::Exact(expected) => version == expected,
        }
    }
}

/// Events for one stream.
#[derive(Clone, Debug)]
pub struct Write {
    /// The stream.
    pub stream: StreamId,
    /// The version that it must have.
    pub expected: Expected,
    /// The events, in order.
    pub events: Vec<NewEvent>,
}

/// A stream that the decision read and does not write, with the version it saw (0: did not exist).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The stream.
    pub stream: StreamId,
    /// The version that it must still have.
    pub version: u64,
}

/// One atomic addition to the log.
#[derive(Clone, Debug)]
pub struct Append {
    /// The command that decided it; the same id is taken once.
    pub command_id: Uuid,
    /// By which what the command said is known again (a keyed MAC); the same id with another fingerprint is refused.
    pub fingerprint: [u8; 32],
    /// What is written; each stream at most once. May be empty: "already so" is an answer, too.
    pub writes: Vec<Write>,
    /// What must not have changed meanwhile.
    pub guards: Vec<Guard>,
    /// Who caused it.
    pub actor: Actor,
    /// The first command of the conversation.
    pub correlation_id: Uuid,
    /// The event that led to the command.
    pub causation_id: Option<Uuid>,
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// The rule that refused the command, where the refusal itself is to be remembered; nothing is written then.
    pub refusal: Option<Refusal>,
}

/// One event of a [`Receipt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: u64,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: u64,
    /// Its id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
}

/// What the log answers to an append, and again to the same command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Position of the last event, or of the log's head where there was none.
    pub position: u64,
    /// When it was stored.
    pub recorded_at: DateTime<Utc>,
    /// The events, in order of position.
    pub events: Vec<RecordedEvent>,
    /// The rule that refused the command, where its refusal was remembered; there are no events then.
    pub refusal: Option<Refusal>,
}

/// How an append ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored now.
    Stored(Receipt),
    /// The command id was taken before by the same command; this was its answer.
    Repeated(Receipt),
}

impl Appended {
    /// The receipt, whichever way.
    pub fn into_receipt(self) -> Receipt {
        match self {
            Appended::Stored(receipt) | Appended::Repeated(receipt) => receipt,
        }
    }
}

/// What events can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// All events about a trial.
    Trial(TrialId),
    /// All events about a site.
    Site(SiteId),
    /// All events about a patient.
    Patient(PatientId),
}

impl Reference {
    /// The column that holds the reference, and the id in it.
    pub fn column(self) -> (&'static str, Uuid) {
        match self {
            Reference::Trial(id) => ("trial_id", id.uuid()),
            Reference::Site(id) => ("site_id", id.uuid()),
            Reference::Patient(id) => ("patient_id", id.uuid()),
        }
    }
}

/// A remembered command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCommand {
    /// What it said.
    pub fingerprint: [u8; 32],
    /// What was answered.
    pub receipt: Receipt,
}

impl KnownCommand {
    /// What an append with the same command id is told.
    ///
    /// # Errors
    /// [`AppendError::CommandReused`] where it says something else.
    pub fn answer_to(&self, append: &Append) -> Result<Appended, AppendError> {
        if self.fingerprint == append.fingerprint {
            Ok(Appended::Repeated(self.receipt.clone()))
        } else {
            Err(AppendError::CommandReused)
        }
    }
}

/// A folded state that saves reading a long stream; may be deleted at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamId,
    /// The stream's version that the state stands for.
    pub version: u64,
    /// The version of the state's shape ([`decider::Aggregate::SNAPSHOT_VERSION`]).
    pub state_version: u16,
    /// The state.
    pub state: Bytes,
}

/// Which log it is, wherever copies of it are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogIdentity {
    /// The log's id, made once, before its first event.
    pub log_id: Uuid,
    /// Counts from 1; one more whenever the log had lost events and was taken up again.
    pub epoch: u64,
}

/// How streams stand to what was seen of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The log's head in that moment.
    pub head: u64,
    /// The streams that hold more than was seen.
    pub grown: Vec<StreamId>,
}

/// The log. Whatever reads several events gives fewer than `limit` where they are long (see [`is_last`]), and none only where
/// there are none.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends atomically and durably; returns after the commit.
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Log`] the outcome may be unknown,
    /// and the same append may be sent again safely.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Events of one stream after `after_version`, in order, at most `limit`.
    async fn read_stream(&self, stream: StreamId, after_version: u64, limit: usize) -> Result<Vec<Envelope>, LogError>;

    /// Events of several streams from their beginnings, in order, at most `limit` of each; of each as
    /// [`EventLog::read_stream`] gives them. In one round trip where there is one to make; an engine in this process
    /// reads one after the other.
    async fn read_streams(
        &self,
        streams: &[StreamId],
        limit: usize,
    ) -> Result<HashMap<StreamId, Vec<Envelope>>, LogError> {
        let mut read = HashMap::with_capacity(streams.len());
        for stream in streams {
            read.insert(*stream, self.read_stream(*stream, 0, limit).await?);
        }
        Ok(read)
    }

    /// Which of these streams hold more than the version that was seen of them, and the head at which that is so: in one
    /// question.
    async fn compare(&self, seen: &[(StreamId, u64)]) -> Result<Comparison, LogError>;

    /// Events after `after_position`, in order, at most `limit`.
    async fn read_all(&self, after_position: u64, limit: usize) -> Result<Vec<Envelope>, LogError>;

    /// As [`EventLog::read_all`], for those who read on and on: may give fewer than there are.
    async fn follow(&self, after_position: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        self.read_all(after_position, limit).await
    }

    /// How far apart small batches of one who reads on and on should be: until
    /// then writers have the database to themselves.
    fn batches_apart(&self) -> Duration;

    /// Events about `reference` after `after_position` and up to `to_position`, in order, at most `limit`.
    async fn read_reference(
        &self,
        reference: Reference,
        after_position: u64,
        to_position: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError>;

    /// Events about `reference` before `before_position`, newest first, at most `limit`.
    async fn read_reference_back(
        &self,
        reference: Reference,
        before_position: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError>;

    /// Which log this is, and in which epoch.
    async fn identity(&self) -> Result<LogIdentity, LogError>;

    /// Begins the next epoch, where the log is still in `epoch`: of several that want to, one does.
    /// Gives the identity as it is then.
    async fn begin_epoch(&self, epoch: u64) -> Result<LogIdentity, LogError>;

    /// The event with this id.
    async fn find_event(&self, event_id: Uuid) -> Result<Option<Envelope>, LogError>;

    /// Proves that the log still has the event up to which a consumer has read it; where not, says where the log
    /// ends. Asked before a consumer goes on, and again whenever [`EventLog::incarnation`] changes.
    async fn prove(&self, checkpoint: Checkpoint) -> Result<Result<(), WentBack>, LogError> {
        if checkpoint.position == 0 {
            return Ok(Ok(()));
        }
        let found = self.find_event(checkpoint.event_id).await?;
        if found.is_some_and(|event| event.position == checkpoint.position) {
            return Ok(Ok(()));
        }
        Ok(Err(WentBack { checkpoint, head: self.head().await? }))
    }

    /// The last position that is visible; 0 for an empty log.
    async fn head(&self) -> Result<u64, LogError>;

    /// The last position that had been recorded at `time`; 0 where none had.
    async fn position_at(&self, time: DateTime<Utc>) -> Result<u64, LogError> {
        // Recorded times never decrease with position, so halving finds the
        // place without an index that every append would pay for.
        let (mut known, mut unknown) = (0, self.head().await? + 1);
        while unknown - known > 1 {
            let middle = known + (unknown - known) / 2;
            let event = self.read_all(middle - 1, 1).await?;
            let recorded_by_then = event.first().is_some_and(|event| event.recorded_at <= time);
            if recorded_by_then { known = middle } else { unknown = middle }
        }
        Ok(known)
    }

    /// A remembered command.
    async fn find_command(&self, command_id: Uuid) -> Result<Option<KnownCommand>, LogError> {
        Ok(self.find_commands(&[command_id]).await?.remove(&command_id))
    }

    /// Those of many commands that are remembered, however many in one question.
    async fn find_commands(&self, command_ids: &[Uuid]) -> Result<HashMap<Uuid, KnownCommand>, LogError>;

    /// Whether an append would be stored now, asked where appends are stored.
    ///
    /// # Errors
    /// What stands in the way; it may take as long as an append to tell.
    async fn ready(&self) -> Result<(), LogError> {
        self.head().await.map(drop)
    }

    /// Ends when the log's writer has ended, which it does by itself only by a fault of the program.
    async fn stopped(&self) {
        std::future::pending().await
    }

    /// Counts how often the log went back under this process: by a fail-over that lost events or a
    /// restored backup. Whatever was kept of an earlier incarnation is worth nothing. Tells changes from now on.
    fn incarnation(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    /// Tells the head as it moves, in this process at once, in others within a
    /// moment. A hint for waking up: the log itself is the truth.
    fn watch_head(&self) -> watch::Receiver<u64>;

    /// The newest snapshot of a stream.
    async fn load_snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>, LogError>;

    /// Keeps a snapshot unless a newer one is kept already.
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), LogError>;

    /// Deletes all snapshots.
    async fn delete_snapshots(&self) -> Result<(), LogError>;
}
