//! Publishing in order, with acknowledgements on their way.

use std::collections::VecDeque;

use async_nats::jetstream::context::{CreateStreamError, GetStreamError, PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{InfoError, LastRawMessageErrorKind, PurgeError};
use async_nats::jetstream::{self, context};
use event_store::leases::CoordinationError;
use event_store::log::LogError;
use events::envelope::Envelope;

use crate::message::{headers, position};
use crate::topology::{ACKNOWLEDGE_TIME_MAX, ALL_SUBJECTS, PUBLISH_WINDOW, STREAM, stream, subject};

/// How often the stream's end is read until it keeps still.
const STANDING_TRIES_MAX: usize = 100;

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
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[source] LogError),
    /// Lease or checkpoint could not be read.
    #[error("lease or checkpoint did not answer")]
    Coordination(#[source] CoordinationError),
    /// The active relay does not stand aside.
    #[error("another relay holds the stream and does not stand aside")]
    Busy,
}

/// Where the stream stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The position of its last message.
    pub position: u64,
    /// Its last sequence.
    pub sequence: u64,
}

/// A JetStream context with our limits.
pub fn context(client: async_nats::Client) -> jetstream::Context {
    let builder = context::ContextBuilder::new().ack_timeout(ACKNOWLEDGE_TIME_MAX).max_ack_inflight(2 * PUBLISH_WINDOW);
    builder.build(client)
}

/// Makes or updates the stream, and reads where it stands. A stream that was
/// emptied keeps its last sequence; then the checkpoint tells how far it was.
///
/// Position and sequence must be of one moment: messages that were sent before
/// the connection broke may still come in, and a pipeline that is numbered one
/// too low would lose its beginning and still get its end accepted. So the last
/// message is read before and after the stream's state.
pub async fn standing(context: &jetstream::Context, replicas: u8, checkpoint: u64) -> Result<Standing, RelayError> {
    context.create_or_update_stream(stream(replicas.into())).await?;
    let stream = context.get_stream(STREAM).await?;
    let mut before = last_message(&stream).await?;
    for _ in 0..STANDING_TRIES_MAX {
        let sequence = stream.get_info().await?.state.last_sequence;
        let after = last_message(&stream).await?;
        if after == before {
            let emptied = if sequence == 0 { 0 } else { checkpoint };
            return Ok(Standing { position: after.map_or(emptied, |(_, position)| position), sequence });
        }
        before = after;
    }
    Err(RelayError::Last("messages of an earlier connection are still coming in".to_owned()))
}

/// Sequence and position of the stream's last message; none where it is empty.
async fn last_message(stream: &jetstream::stream::Stream) -> Result<Option<(u64, u64)>, RelayError> {
    match stream.get_last_raw_message_by_subject(ALL_SUBJECTS).await {
        Ok(last) => {
            let position = position(&last.headers).ok_or_else(|| RelayError::Last("it is not ours".to_owned()))?;
            Ok(Some((last.sequence, position)))
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(RelayError::Last(error.to_string())),
    }
}

/// Sends messages and awaits their acknowledgements in order.
pub struct Publisher<'context> {
    context: &'context jetstream::Context,
    // Position, and the sequence that it must get.
    waiting: VecDeque<(u64, u64, PublishAckFuture)>,
    sent: u64,
    acknowledged: u64,
    sequence: u64,
}

impl<'context> Publisher<'context> {
    pub const fn new(context: &'context jetstream::Context, standing: Standing) -> Self {
        let Standing { position, sequence } = standing;
        Self { context, waiting: VecDeque::new(), sent: position, acknowledged: position, sequence }
    }

    /// The last position that was sent.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// The last position that was acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Sends an event behind all others; waits where too many are on their
    /// way. The first failure ends it: what was sent after the failed message
    /// names a sequence that does not come, and is refused as well.
    ///
    /// The message's id is the event's; `run` makes another of it, for events
    /// that the stream had before.
    pub async fn publish(&mut self, event: &Envelope, run: Option<&str>) -> Result<(), RelayError> {
        while self.waiting.len() >= PUBLISH_WINDOW {
            self.settle_first().await?;
        }
        let id = match run {
            Some(run) => format!("{}.{run}", event.event_id),
            None => event.event_id.to_string(),
        };
        let message = PublishMessage::build()
            .payload(event.payload.clone())
            .headers(headers(event))
            .message_id(id)
            .expected_stream(STREAM)
            .expected_last_sequence(self.sequence);
        let failed = |source| RelayError::Publish { position: event.position, source };
        let acknowledgement = self.context.send_publish(subject(event), message).await.map_err(failed)?;
        self.sequence += 1;
        self.waiting.push_back((event.position, self.sequence, acknowledgement));
        self.sent = event.position;
        Ok(())
    }

    /// Waits until everything that was sent is acknowledged.
    pub async fn drain(&mut self) -> Result<(), RelayError> {
        while !self.waiting.is_empty() {
            self.settle_first().await?;
        }
        Ok(())
    }

    async fn settle_first(&mut self) -> Result<(), RelayError> {
        let Some((position, sequence, acknowledgement)) = self.waiting.pop_front() else { return Ok(()) };
        let given = acknowledgement.await.map_err(|source| RelayError::Publish { position, source })?.sequence;
        if given != sequence {
            return Err(RelayError::Misplaced { position, given, expected: sequence });
        }
        self.acknowledged = position;
        metrics::counter!("anamnesis_relay_published").increment(1);
        Ok(())
    }

    /// Whether the stream still ends where we left it: it may have been deleted meanwhile.
    pub async fn is_last(&self) -> Result<bool, RelayError> {
        let stream = self.context.get_stream(STREAM).await?;
        Ok(stream.cached_info().state.last_sequence == self.sequence)
    }
}
