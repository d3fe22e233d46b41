//! Why the relay stops.

use async_nats::jetstream::context::{CreateStreamError, GetStreamError, PublishError};
use async_nats::jetstream::stream::{DeleteMessageError, InfoError, PurgeError};
use event_store::leases::CoordinationError;
use event_store::log::LogError;

/// Why the relay stopped for the moment; it begins again by itself.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// There is no connection to NATS.
    #[error("NATS is not connected")]
    Away(#[source] Box<RelayError>),
    /// The stream cannot be made.
    #[error("the stream cannot be made or updated")]
    Create(#[from] CreateStreamError),
    /// The stream cannot be asked.
    #[error("the stream cannot be found")]
    Find(#[from] GetStreamError),
    /// The stream cannot be asked.
    #[error("the stream's state cannot be read")]
    Info(#[from] InfoError),
    /// A message of the stream cannot be read.
    #[error("the stream's messages cannot be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream's end moves while it is looked at.
    #[error("messages of an earlier connection are still coming in")]
    Moving,
    /// Somebody else has published into the stream.
    #[error("the stream's message {sequence} is not one of ours: `anamnesis republish` sets it right")]
    Foreign {
        /// The message's sequence.
        sequence: u64,
    },
    /// A message was not taken.
    #[error("the message at position {position} was not acknowledged")]
    Publish {
        /// Its position.
        position: u64,
        /// The cause.
        #[source]
        source: PublishError,
    },
    /// A message was not sent.
    #[error("the message at position {position} was not sent")]
    Send {
        /// Its position.
        position: u64,
        /// The cause.
        #[source]
        source: async_nats::PublishError,
    },
    /// A message stands elsewhere than it was sent to: it was taken before.
    #[error("the message at position {position} stands at sequence {given}, expected {expected}")]
    Misplaced {
        /// Its position.
        position: u64,
        /// Where it stands.
        given: u64,
        /// Where it should.
        expected: u64,
    },
    /// Messages cannot be removed from the stream.
    #[error("the stream's messages cannot be removed")]
    Purge(#[from] PurgeError),
    /// A message cannot be removed from the stream.
    #[error("the stream's message {sequence} cannot be removed")]
    Delete {
        /// Its sequence.
        sequence: u64,
        /// The cause.
        #[source]
        source: DeleteMessageError,
    },
    /// The stream holds events that the log does not.
    #[error(
        "the stream stands at position {stream} with an event that the log (at {log}) has not there; they agree up to \
         position {common}. Where the log lost events, `anamnesis recover` begins a new epoch; where somebody else \
         published into the stream, `anamnesis republish` fills it anew"
    )]
    Diverged {
        /// Where the stream stands.
        stream: u64,
        /// Where the log ends.
        log: u64,
        /// The last position at which both have the same event.
        common: u64,
    },
    /// The stream knows a later epoch of the log.
    #[error(
        "the stream is of epoch {stream} of this log, which is at epoch {log}: this log is an older copy; \
         `anamnesis recover` begins an epoch of its own"
    )]
    Superseded {
        /// The stream's epoch.
        stream: u64,
        /// The log's epoch.
        log: u64,
    },
    /// The stream does not hold the log's events one after the other.
    #[error(
        "the stream holds positions {first} to {last} on {sequences} sequences: `anamnesis republish` sets it right"
    )]
    Shifted {
        /// The first message's position.
        first: u64,
        /// The last message's position.
        last: u64,
        /// Sequences from the first message's to the last one's.
        sequences: u64,
    },
    /// There is nothing to publish from there on.
    #[error("the log ends at position {log}: nothing can be published from position {from} on")]
    Beyond {
        /// Where to begin.
        from: u64,
        /// Where the log ends.
        log: u64,
    },
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// Lease or checkpoint could not be read.
    #[error("lease or checkpoint did not answer")]
    Coordination(#[from] CoordinationError),
    /// The active relay does not stand aside.
    #[error("another relay holds the stream and does not stand aside")]
    Busy,
}

impl RelayError {
    /// Wraps what went wrong while messages were read.
    pub(super) fn read(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        RelayError::Read(Box::new(source))
    }
}
