//! Publishing in order, with acknowledgements on their way.

use std::collections::VecDeque;

use async_nats::header::{
    NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID,
};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, context};
use async_nats::{Client, HeaderMap, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_store::log::lag::seconds_since;
use events::envelope::Envelope;
use uuid::Uuid;

use super::RelayError;
use super::placed::Placed;
use super::stream::Bus;
use crate::control::{self, Begun, Why};
use crate::message::{headers, wire_bytes, with_data_ref};
use crate::signature::Signer;
use crate::topology::{ACKNOWLEDGE_EVERY, ACKNOWLEDGE_TIME_MAX, ADDED_HEADER_BYTES, PUBLISH_WINDOW};

/// Characters of a message's signature that its id ends in: 66 bits.
const ID_SIGNATURE_CHARACTERS: usize = 11;

/// A JetStream context with our limits.
pub fn context(client: async_nats::Client) -> jetstream::Context {
    context::ContextBuilder::new().ack_timeout(ACKNOWLEDGE_TIME_MAX).build(client)
}

/// An event as it is sent, but for what must be the last before it.
pub struct Outgoing {
    position: u64,
    recorded_at: DateTime<Utc>,
    id: String,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Outgoing {
    /// The message of an event, in `form`, and signed.
    pub fn new(event: Envelope, form: &Form) -> Self {
        let mut headers = headers(form.bus.identity, &event);
        // The server remembers ids for a while also of messages that are gone.
        let id = match form.run {
            Some(run) => format!("{}.{run}", event.event_id),
            None => event.event_id.to_string(),
        };
        headers.insert(NATS_MESSAGE_ID, id.as_str());
        headers.insert(NATS_EXPECTED_STREAM, form.bus.topology.stream_name());
        let mut payload = event.payload.clone();
        if wire_bytes(&headers, &payload) + form.signer.bytes() + ADDED_HEADER_BYTES > form.bytes_max() {
            headers = with_data_ref(&headers, event.event_id);
            payload = Bytes::new();
            metrics::counter!("anamnesis_relay_referenced_total").increment(1);
        }
        let signature = form.signer.sign(&mut headers, &event.payload);
        // Of an id that somebody knew before, they could send a message of their own: the server would take ours for its
        // repetition.
        let id = format!("{id}.{}", &signature[..ID_SIGNATURE_CHARACTERS]);
        headers.insert(NATS_MESSAGE_ID, id.as_str());
        let subject = form.bus.topology.subject(&event);
        Self { position: event.position, recorded_at: event.recorded_at, id, subject, headers, payload }
    }

    /// Where the event stands in the log.
    pub const fn position(&self) -> u64 {
        self.position
    }
}

/// How events are made into messages.
#[derive(Clone)]
pub struct Form {
    pub bus: Bus,
    pub signer: Signer,
    /// What the ids of messages end in.
    pub run: Option<Uuid>,
    /// Greatest message that the stream takes, where it has a limit of its own.
    pub message_bytes_max: Option<usize>,
}

impl Form {
    /// The greatest message that would be taken now: another server may have another limit.
    fn bytes_max(&self) -> usize {
        let server = self.bus.context.client().max_payload();
        self.message_bytes_max.map_or(server, |stream| stream.min(server))
    }
}

/// Publishes a control message behind the stream's last sequence, signed; gives its id and its own.
pub async fn say(
    bus: &Bus,
    signer: &Signer,
    why: Why,
    begun: &Begun,
    last_sequence: u64,
) -> Result<(Uuid, u64), RelayError> {
    let run = Uuid::now_v7();
    let (mut headers, data) = control::message(bus.identity, why, begun, run, last_sequence + 1);
    signer.sign(&mut headers, &data);
    headers.insert(NATS_MESSAGE_ID, run.to_string());
    headers.insert(NATS_EXPECTED_STREAM, bus.topology.stream_name());
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last_sequence));
    let failed = |source| RelayError::Publish { position: begun.after_position, source };
    let subject = bus.topology.control(why.kind());
    let sent = bus.context.publish_with_headers(subject, headers, data).await.map_err(failed)?;
    Ok((run, sent.await.map_err(failed)?.sequence))
}

/// Where the relay stands: a position, and the sequence that it has.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub position: u64,
    pub sequence: u64,
}

/// Sends messages and awaits their acknowledgements in order.
///
/// Every message names the sequence and the id of the one before it. The
/// sequence alone would not do: where somebody else's message came in between,
/// ours of its sequence is refused, and the one behind that would fit again.
/// Which message is the last one is not known at the beginning, so the first is
/// sent alone.
pub struct Publisher<'context> {
    context: &'context jetstream::Context,
    client: Client,
    placed: &'context Placed,
    // Those that ask to be acknowledged.
    waiting: VecDeque<Waiting>,
    // The id of the last message, as soon as one was sent.
    last_id: Option<String>,
    sent: Place,
    acknowledged: Place,
}

/// A message whose acknowledgement is on its way.
struct Waiting {
    position: u64,
    recorded_at: DateTime<Utc>,
    /// The sequence that it must get.
    sequence: u64,
    acknowledgement: PublishAckFuture,
}

impl<'context> Publisher<'context> {
    pub fn new(context: &'context jetstream::Context, placed: &'context Placed, place: Place) -> Self {
        let client = context.client();
        Self { context, client, placed, waiting: VecDeque::new(), last_id: None, sent: place, acknowledged: place }
    }

    /// The last position that was sent.
    pub const fn sent(&self) -> u64 {
        self.sent.position
    }

    /// The last sequence that was sent.
    pub const fn sent_sequence(&self) -> u64 {
        self.sent.sequence
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
            let is_first = self.last_id.is_none();
            let ask =
                is_first || message.position == last || (self.sent.sequence + 1).is_multiple_of(ACKNOWLEDGE_EVERY);
            self.send(message, ask).await?;
            if is_first {
                self.drain().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: Outgoing, ask: bool) -> Result<(), RelayError> {
        let Outgoing { position, recorded_at, id, subject, mut headers, payload } = message;
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(self.sent.sequence));
        if let Some(last) = self.last_id.replace(id) {
            headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, last);
        }
        let sequence = self.sent.sequence + 1;
        self.placed.send(sequence);
        if ask {
            let message = PublishMessage::build().payload(payload).headers(headers);
            let sent = self.context.send_publish(subject, message).await;
            let acknowledgement = sent.map_err(|source| RelayError::Publish { position, source })?;
            self.waiting.push_back(Waiting { position, recorded_at, sequence, acknowledgement });
        } else {
            let sent = self.client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(|source| RelayError::Send { position, source })?;
        }
        self.sent = Place { position, sequence };
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
        let Some(Waiting { position, recorded_at, sequence, acknowledgement }) = self.waiting.pop_front() else {
            return Ok(());
        };
        let given = acknowledgement.await.map_err(|source| RelayError::Publish { position, source })?.sequence;
        if given != sequence {
            return Err(RelayError::Misplaced { position, given, expected: sequence });
        }
        metrics::counter!("anamnesis_relay_published_total").increment(sequence - self.acknowledged.sequence);
        metrics::histogram!("anamnesis_relay_delay_seconds").record(seconds_since(recorded_at));
        self.acknowledged = Place { position, sequence };
        self.placed.acknowledge(sequence, position);
        Ok(())
    }
}
