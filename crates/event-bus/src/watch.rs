//! Watches the stream for messages that are not the relay's.
//!
//! Our own processes believe no message, so a forged one does no harm here; that somebody may publish who must not is
//! to be known all the same. Every message is held against the log: its headers must be those that the relay would give
//! the event at its position. What is only in a signature's reach, control messages and headers that are added, is told
//! where the relay's public keys are given.

mod standing;

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::{Info, Stream};
use async_nats::jetstream::{self, Message};
use event_store::log::{EventLog, LogError, LogIdentity};
use events::envelope::Envelope;
use futures::StreamExt;

use crate::control;
use crate::message::{self, Mark, mark};
use crate::relay::{Placed, health};
use crate::signature::PublicKeys;
use crate::topology::{CONTROL_ADDRESS, EVENT_ADDRESS, FEED_IDLE, Topology};

pub use standing::WatchHealth;
use standing::{CannotListen, Failing};

/// Events that are read of the log at once, for the messages that follow.
const READ_EVENTS: usize = 512;
/// How long nothing is heard before it is looked whether the stream is still the same one.
const QUIET: Duration = Duration::from_secs(5);
/// What stands for a subject that an operator added to the stream.
const OTHER_ADDRESS: &str = "another subject of the stream";
/// How long nobody looks while the relay beside tells of all that comes.
const BESIDE_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait before the log is asked again.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// How long an answer of NATS may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Why a message is not the relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not say what every message says.
    Malformed,
    /// It says that it is of another log.
    OtherLog,
    /// It is of an epoch that has ended, or that has not begun.
    OtherEpoch,
    /// The log has no such event there.
    NotInTheLog,
    /// The relay did not sign it.
    NotSigned,
    /// It is one of the relay's, sent again elsewhere.
    OutOfPlace,
}

impl Reason {
    /// Its name.
    pub const fn rule(self) -> &'static str {
        match self {
            Reason::Malformed => "message-malformed",
            Reason::OtherLog => "message-of-another-log",
            Reason::OtherEpoch => "message-of-another-epoch",
            Reason::NotInTheLog => "message-not-in-the-log",
            Reason::NotSigned => "message-not-signed-by-the-relay",
            Reason::OutOfPlace => "message-sent-again",
        }
    }
}

/// A message that is not the relay's. Of its content, which somebody chose, nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Why it is not.
    pub reason: Reason,
    /// The form of its subject: one of ours, or what stands for any other.
    pub address: &'static str,
}

/// Listens to the stream from now on.
pub struct Watch {
    context: jetstream::Context,
    log: Arc<dyn EventLog>,
    keys: PublicKeys,
    placed: Placed,
    live: Option<Live>,
    // After which sequence of which stream it goes on where the consumer broke off.
    heard: Option<Heard>,
    // The last message of the relay's: its sequence and position.
    place: Option<(u64, u64)>,
    // What was read of the log last: most messages follow one another.
    read: Vec<Envelope>,
    failing: Failing,
}

/// The stream as it is listened to.
struct Live {
    stream: Stream,
    messages: Ordered,
    heard: Heard,
    identity: LogIdentity,
}

/// Whom it listens to.
enum Listening {
    /// Whoever publishes.
    To(Box<Live>),
    /// Nobody: the relay beside tells of all that comes.
    ToNobody,
}

/// What was heard next.
enum Next {
    /// A message, of whomever.
    Message(Box<Message>),
    /// Nothing; it is looked again after a pause.
    Nothing(Duration),
}

/// How far a stream was heard.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Heard {
    // When the stream was made, in nanoseconds: another one numbers anew.
    created: i128,
    sequence: u64,
}

impl Watch {
    /// Watches the stream of `log`. Signatures are verified by `keys`, where there are any.
    pub fn new(client: async_nats::Client, log: Arc<dyn EventLog>, keys: PublicKeys) -> Self {
        Self {
            context: jetstream::new(client),
            log,
            keys,
            placed: Placed::default(),
            live: None,
            heard: None,
            place: None,
            read: Vec::new(),
            failing: Failing::default(),
        }
    }

    /// Tells whether it can listen, as long as somebody wants to know.
    pub fn health(&self) -> WatchHealth {
        WatchHealth(self.failing.clone())
    }

    /// Beside a relay in this process: of what that one put into the stream nothing need be heard, and nobody listens while
    /// nobody else publishes.
    #[must_use]
    pub fn beside(self, placed: Placed) -> Self {
        Self { placed, ..self }
    }

    /// The next message that is not the relay's; waits for it, also while NATS or the log is away.
    pub async fn next(&mut self) -> Foreign {
        loop {
            let message = match self.hear().await {
                Next::Message(message) => message,
                Next::Nothing(pause) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            let judged = loop {
                match self.judge(&message).await {
                    Ok(judged) => break judged,
                    // It is not passed over for that.
                    Err(error) => {
                        tell(&error);
                        tokio::time::sleep(LOG_PAUSE).await;
                    }
                }
            };
            if let Some(foreign) = judged {
                metrics::counter!("anamnesis_feed_foreign_messages_total").increment(1);
                let (rule, address) = (foreign.reason.rule(), foreign.address);
                tracing::warn!(rule, address, "a message in the stream is not the relay's");
                return foreign;
            }
        }
    }

    /// The next message that is not known to be the own relay's; none where the stream has to be looked at anew.
    async fn hear(&mut self) -> Next {
        if self.live.is_none() {
            let listening = tokio::time::timeout(ANSWER_TIME_MAX, self.listen()).await;
            match listening.unwrap_or(Err(CannotListen::NoAnswer)) {
                Ok(Listening::To(live)) => self.live = Some(*live),
                Ok(Listening::ToNobody) => {
                    self.failing.ended();
                    return Next::Nothing(BESIDE_PAUSE);
                }
                Err(why) => {
                    self.failing.because(&why, health::is_connected(&self.context.client()));
                    return Next::Nothing(FEED_IDLE);
                }
            }
            self.failing.ended();
        }
        while let Some(live) = &mut self.live {
            match tokio::time::timeout(QUIET, live.messages.next()).await {
                Ok(Some(Ok(message))) => {
                    let Ok(sequence) = message.info().map(|info| info.stream_sequence) else { break };
                    let run = self.placed.now();
                    let own = run.past(live.heard.created, sequence - 1);
                    live.heard.sequence = own.max(sequence);
                    self.heard = Some(live.heard);
                    if own < sequence {
                        return Next::Message(Box::new(message));
                    }
                    self.place = Some(run.place());
                    if run.goes_on() {
                        break;
                    }
                }
                // Under a stream that was deleted a consumer hears nothing, and says so to nobody.
                Err(_) if !self.placed.now().goes_on() && is_all_of(live.stream.clone(), live.heard).await => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.live = None;
        Next::Nothing(FEED_IDLE)
    }

    /// Listens to the stream behind what was heard of it; to a new one from its beginning.
    async fn listen(&mut self) -> Result<Listening, CannotListen> {
        let identity = self.log.identity().await?;
        self.read.clear();
        let stream = self.context.get_stream(Topology::of(identity.log_id).stream_name()).await?;
        let now = Heard::all_of(stream.cached_info());
        let mut heard = match self.heard {
            Some(heard) if heard.created == now.created => heard,
            Some(_) => {
                self.place = None;
                Heard { sequence: 0, ..now }
            }
            None => {
                self.place = place_at(&self.keys, &stream, now.sequence, identity).await;
                now
            }
        };
        let run = self.placed.now();
        let own = run.past(heard.created, heard.sequence);
        if own > heard.sequence {
            (heard.sequence, self.place) = (own, Some(run.place()));
        }
        self.heard = Some(heard);
        if run.tells_of(heard.created, heard.sequence, now.sequence) {
            return Ok(Listening::ToNobody);
        }
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: heard.sequence + 1 },
            headers_only: true,
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(CannotListen::consumer)?;
        let messages = consumer.messages().await.map_err(CannotListen::consumer)?;
        Ok(Listening::To(Box::new(Live { stream, messages, heard, identity })))
    }

    /// What is wrong with a message; none where nothing is.
    async fn judge(&mut self, message: &Message) -> Result<Option<Foreign>, LogError> {
        let Some(live) = &self.live else { return Ok(None) };
        let (address, sequence) = (address(&message.subject, live.identity), live.heard.sequence);
        let reason = match message.headers.as_ref().and_then(|headers| Some((headers, mark(headers)?))) {
            None => Some(Reason::Malformed),
            Some((headers, mark)) => self.reason(&message.subject, (address, sequence), headers, mark).await?,
        };
        Ok(reason.map(|reason| Foreign { reason, address }))
    }

    async fn reason(
        &mut self,
        subject: &str,
        (address, sequence): (&str, u64),
        headers: &HeaderMap,
        mark: Mark,
    ) -> Result<Option<Reason>, LogError> {
        let identity = self.identity(mark.epoch).await?;
        if mark.log_id != identity.log_id {
            return Ok(Some(Reason::OtherLog));
        }
        if mark.epoch != identity.epoch {
            return Ok(Some(Reason::OtherEpoch));
        }
        // Without its payload, of which the headers tell.
        if !self.keys.is_empty() && self.keys.verify(headers, None).is_err() {
            return Ok(Some(Reason::NotSigned));
        }
        if address == CONTROL_ADDRESS {
            // About the stream itself: the log knows nothing of it.
            if !control::is_of(headers, subject, sequence) {
                return Ok(Some(Reason::NotInTheLog));
            }
            self.place = Some((sequence, mark.position));
            return Ok(None);
        }
        let event = self.event(mark.position).await?;
        let says = |event: &Envelope| {
            Topology::of(identity.log_id).subject(event) == subject && message::is_of(headers, identity, event)
        };
        if !event.is_some_and(says) {
            return Ok(Some(Reason::NotInTheLog));
        }
        // Everything is as the relay signed it: it stands there once, behind the event before it. Of messages that an
        // operator deleted in between, and of one that was emptied, as many are missing as there are numbers.
        let follows = |(last, position): (u64, u64)| {
            mark.position == position + 1 || mark.position.checked_sub(position) == sequence.checked_sub(last)
        };
        if !self.place.is_none_or(follows) {
            return Ok(Some(Reason::OutOfPlace));
        }
        self.place = Some((sequence, mark.position));
        Ok(None)
    }

    /// The log as it is known; as it is now where a message is of a later epoch.
    async fn identity(&mut self, epoch: u64) -> Result<LogIdentity, LogError> {
        match &mut self.live {
            Some(live) if epoch <= live.identity.epoch => Ok(live.identity),
            live => {
                let identity = self.log.identity().await?;
                self.read.clear();
                if let Some(live) = live {
                    live.identity = identity;
                }
                Ok(identity)
            }
        }
    }

    /// The log's event at a position.
    async fn event(&mut self, position: u64) -> Result<Option<&Envelope>, LogError> {
        let Some(before) = position.checked_sub(1) else { return Ok(None) };
        if !self.read.iter().any(|event| event.position == position) {
            self.read = self.log.follow(before, READ_EVENTS).await?;
        }
        Ok(self.read.iter().find(|event| event.position == position))
    }
}

impl Heard {
    fn all_of(info: &Info) -> Self {
        Self { created: info.created.unix_timestamp_nanos(), sequence: info.state.last_sequence }
    }
}

/// Sequence and position of the message from which on it is listened, where that is the relay's.
async fn place_at(keys: &PublicKeys, stream: &Stream, sequence: u64, identity: LogIdentity) -> Option<(u64, u64)> {
    let message = stream.get_raw_message(sequence).await.ok()?;
    let is_signed = keys.is_empty() || keys.verify(&message.headers, None).is_ok();
    let mark = mark(&message.headers).filter(|mark| is_signed && mark.log_id == identity.log_id)?;
    Some((sequence, mark.position))
}

/// Whether the stream is still the same one, and has nothing that was not heard.
async fn is_all_of(stream: Stream, heard: Heard) -> bool {
    let asked = tokio::time::timeout(ANSWER_TIME_MAX, stream.get_info()).await;
    asked.is_ok_and(|info| info.is_ok_and(|info| Heard::all_of(&info) == heard))
}

/// The form of a subject.
fn address(subject: &str, identity: LogIdentity) -> &'static str {
    let below = format!("anamnesis.{}.", identity.log_id);
    match subject.strip_prefix(&*below) {
        Some(rest) if rest.starts_with("events.") => EVENT_ADDRESS,
        Some(rest) if rest.starts_with("control.") => CONTROL_ADDRESS,
        _ => OTHER_ADDRESS,
    }
}

fn tell(error: &LogError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "a message of the stream cannot be held against the log; trying again");
}
