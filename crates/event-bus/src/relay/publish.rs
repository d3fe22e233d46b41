//! Publishing in order, with acknowledgements on their way.

use std::collections::VecDeque;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    CreateStreamError, GetStreamError, GetStreamErrorKind, PublishAckFuture, PublishError,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, InfoError, LastRawMessageErrorKind, PurgeError};
use async_nats::jetstream::{self, context};
use async_nats::{Client, HeaderMap, HeaderValue};
use bytes::Bytes;
use event_store::leases::CoordinationError;
use event_store::log::LogError;
use events::envelope::Envelope;

use crate::message::{headers, position};
use crate::topology::{ACKNOWLEDGE_EVERY, ACKNOWLEDGE_TIME_MAX, ALL_SUBJECTS, PUBLISH_WINDOW, STREAM, stream, subject};

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
    context::ContextBuilder::new().ack_timeout(ACKNOWLEDGE_TIME_MAX).build(client)
}

/// Makes or updates the stream, and reads where it stands. A stream that was
/// emptied keeps its last sequence; then the checkpoint tells how far it was.
///
/// Position and sequence must be of one moment: messages that were sent before
/// the connection broke may still come in, and a pipeline that is numbered one
/// too low would lose its beginning and still get its end accepted. So the last
/// message is read before and after the stream's state.
pub async fn standing(context: &jetstream::Context, replicas: u8, checkpoint: u64) -> Result<Standing, RelayError> {
    make(context, stream(replicas.into())).await?;
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

/// Refuses a stream that does not hold the log's events one after the other:
/// somebody else has published into it, or two of us numbered differently.
/// Messages that an operator deleted in between do not count.
pub async fn require_whole(context: &jetstream::Context) -> Result<(), RelayError> {
    let stream = context.get_stream(STREAM).await?;
    let Some((last_sequence, last)) = last_message(&stream).await? else { return Ok(()) };
    let first_sequence = stream.cached_info().state.first_sequence;
    let message = stream.get_raw_message(first_sequence).await;
    let message = message.map_err(|error| RelayError::Last(error.to_string()))?;
    let first = position(&message.headers).ok_or_else(|| RelayError::Last("the first one is not ours".to_owned()))?;
    if last.checked_sub(first) == last_sequence.checked_sub(first_sequence) {
        return Ok(());
    }
    Err(RelayError::Shifted { first, last, sequences: (last_sequence + 1).saturating_sub(first_sequence) })
}

/// Makes the stream, or updates it; how it persists cannot be changed, so that stays as it was made.
async fn make(context: &jetstream::Context, config: Config) -> Result<(), RelayError> {
    match context.get_stream(STREAM).await {
        Ok(made) => {
            let persist_mode = made.cached_info().config.persist_mode;
            if persist_mode != config.persist_mode {
                tracing::info!(?persist_mode, "the stream keeps the mode of persistence that it was made with");
            }
            context.update_stream(Config { persist_mode, ..config }).await?;
        }
        Err(error) if is_missing(&error) => drop(context.create_stream(config).await?),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND)
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

/// An event as it is sent, but for the sequence that must be the last before it.
pub struct Outgoing {
    position: u64,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Outgoing {
    /// The message of an event. Its id is the event's; `run` makes another of
    /// it, for events that the stream had before.
    pub fn new(event: Envelope, run: Option<&str>) -> Self {
        let mut headers = headers(&event);
        let id = match run {
            Some(run) => format!("{}.{run}", event.event_id),
            None => event.event_id.to_string(),
        };
        headers.insert(NATS_MESSAGE_ID, id);
        headers.insert(NATS_EXPECTED_STREAM, STREAM);
        Self { position: event.position, subject: subject(&event), headers, payload: event.payload }
    }

    /// Where the event stands in the log.
    pub const fn position(&self) -> u64 {
        self.position
    }
}

/// Sends messages and awaits their acknowledgements in order.
pub struct Publisher<'context> {
    context: &'context jetstream::Context,
    client: Client,
    // Position, and the sequence that it must get, of those that ask to be acknowledged.
    waiting: VecDeque<(u64, u64, PublishAckFuture)>,
    sent: Standing,
    acknowledged: Standing,
}

impl<'context> Publisher<'context> {
    pub fn new(context: &'context jetstream::Context, standing: Standing) -> Self {
        let client = context.client();
        Self { context, client, waiting: VecDeque::new(), sent: standing, acknowledged: standing }
    }

    /// The last position that was sent.
    pub const fn sent(&self) -> u64 {
        self.sent.position
    }

    /// The last position that is known to be taken.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged.position
    }

    /// Sends messages behind all others; waits where too many are on their
    /// way. Some of them, and the last, ask to be acknowledged. The first
    /// failure ends it: what was sent after the failed message names a sequence
    /// that does not come, and is refused as well.
    pub async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), RelayError> {
        let Some(last) = messages.last().map(|message| message.position) else { return Ok(()) };
        for message in messages {
            while self.sent.sequence - self.acknowledged.sequence >= PUBLISH_WINDOW {
                self.settle_first().await?;
            }
            let ask = message.position == last || (self.sent.sequence + 1).is_multiple_of(ACKNOWLEDGE_EVERY);
            self.send(message, ask).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Outgoing, ask: bool) -> Result<(), RelayError> {
        let Outgoing { position, subject, mut headers, payload } = message;
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(self.sent.sequence));
        let sequence = self.sent.sequence + 1;
        if ask {
            let message = PublishMessage::build().payload(payload).headers(headers);
            let sent = self.context.send_publish(subject, message).await;
            let sent = sent.map_err(|source| RelayError::Publish { position, source })?;
            self.waiting.push_back((position, sequence, sent));
        } else {
            let sent = self.client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(|source| RelayError::Send { position, source })?;
        }
        self.sent = Standing { position, sequence };
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
        metrics::counter!("anamnesis_relay_published").increment(sequence - self.acknowledged.sequence);
        self.acknowledged = Standing { position, sequence };
        Ok(())
    }

    /// Whether the stream still ends where we left it: it may have been deleted meanwhile.
    pub async fn is_last(&self) -> Result<bool, RelayError> {
        let stream = self.context.get_stream(STREAM).await?;
        Ok(stream.cached_info().state.last_sequence == self.sent.sequence)
    }
}
