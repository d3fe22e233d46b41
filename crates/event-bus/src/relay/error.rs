//! Why the relay stops.

use async_nats::jetstream::context::{CreateStreamError, GetStreamError, PublishError};
use async_nats::jetstream::stream::{InfoError, PurgeError};
use event_store::leases::CoordinationError;
use event_store::log::LogError;

/// Why the relay stopped for the moment; it begins again by itself.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The stream cannot be made.
    #[error("the stream cannot be made or updated")]
    Create(#[from] CreateStreamError),
    /// The stream cannot be asked.
    #[error("the stream cannot be found")]
    Find(#[from] GetStreamError),
    /// The stream cannot be asked.
    #[error("the stream's state cannot be read")]
    Info(#[from] InfoError),
    /// The stream's last message cannot be read.
    #[error("the stream's last message cannot be read: {0}")]
    Last(String),
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
    /// The stream cannot be emptied.
    #[error("the stream cannot be emptied")]
    Purge(#[from] PurgeError),
    /// The stream holds what the log does not.
    #[error(
        "the stream stands at position {stream}, the log ends at {log}: is it another log's stream? `republish` sets it right"
    )]
    Ahead {
        /// Where the stream stands.
        stream: u64,
        /// Where the log ends.
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
