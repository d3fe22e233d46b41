//! Publishing in order, with acknowledgements on their way.

use std::collections::VecDeque;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, context};
use async_nats::{Client, HeaderMap, HeaderValue};
use bytes::Bytes;
use events::envelope::Envelope;

use super::RelayError;
use super::standing::Standing;
use crate::message::headers;
use crate::topology::{ACKNOWLEDGE_EVERY, ACKNOWLEDGE_TIME_MAX, PUBLISH_WINDOW, STREAM, subject};

/// A JetStream context with our limits.
pub fn context(client: async_nats::Client) -> jetstream::Context {
    context::ContextBuilder::new().ack_timeout(ACKNOWLEDGE_TIME_MAX).build(client)
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
