//! What can go wrong with the log.

use events::ids::StreamId;
use events::set::DecodeError;

use super::{APPEND_EVENTS_MAX, Expected, PAYLOAD_BYTES_MAX};

/// The log could not answer.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The database refused or could not be reached.
    #[error("the log's database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The batch that held the append could not be stored; the cause was logged.
    #[error("the batch could not be stored")]
    BatchFailed,
    /// The log's writer has stopped; the process is shutting down.
    #[error("the log's writer has stopped")]
    Stopped,
    /// The log no longer holds what this process saw in it, after a fail-over that lost it or a restored
    /// backup; what was decided before is worth nothing, and must be decided again.
    #[error("the log went back")]
    WentBack,
    /// A stored value is not what this program writes.
    #[error("the log holds a row that cannot be read: {what}")]
    Corrupt {
        /// What cannot be read.
        what: String,
    },
    /// What was read is sealed, and the keys cannot be had now.
    #[error("what the log holds cannot be opened now")]
    Closed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored event does not fit its schema.
    #[error("the event at position {position} cannot be read")]
    Decode {
        /// Its position.
        position: u64,
        /// The cause.
        #[source]
        source: DecodeError,
    },
}

impl LogError {
    /// Whether the log holds what only a newer program can read: trying again does not help, this program is too old.
    pub const fn is_newer_event(&self) -> bool {
        let LogError::Decode { source, .. } = self else { return false };
        matches!(source, DecodeError::UnknownType { .. } | DecodeError::NewerVersion { .. })
    }

    /// Wraps a database error with what was being done.
    pub fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> LogError {
        move |source| LogError::Database { doing, source }
    }
}

/// Why an append was not taken; nothing was stored, except perhaps after [`AppendError::Log`].
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream moved since it was read.
    #[error("{stream} stands at version {actual}, expected {expected:?}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What was expected of it.
        expected: Expected,
        /// Where it stands (0: does not exist).
        actual: u64,
    },
    /// The command id was taken by another command.
    #[error("the command id was used before for another command")]
    CommandReused,
    /// The append breaks a limit or its own form.
    #[error("the append is malformed: {0}")]
    Malformed(MalformedAppend),
    /// The log could not answer; the outcome may be unknown.
    #[error("the log did not confirm the append")]
    Log(#[source] LogError),
}

impl From<LogError> for AppendError {
    fn from(error: LogError) -> Self {
        AppendError::Log(error)
    }
}

/// How an append is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedAppend {
    /// Too many events.
    #[error("more than {APPEND_EVENTS_MAX} events")]
    TooManyEvents,
    /// Too large a payload.
    #[error("a payload of more than {PAYLOAD_BYTES_MAX} bytes")]
    PayloadTooLarge,
    /// A stream occurs twice.
    #[error("a stream is named twice among writes and guards")]
    StreamTwice,
    /// A write without events.
    #[error("a write without events")]
    EmptyWrite,
    /// Events, and a rule that forbids them.
    #[error("a refusal with events")]
    RefusedWithEvents,
}
