//! The stream as the relay finds it.

use std::sync::Arc;

use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use event_store::log::LogIdentity;
use uuid::Uuid;

use super::RelayError;
use crate::control::{self, Control, EpochStart};
use crate::message::{Mark, mark};
use crate::signature::PublicKeys;
use crate::topology::Topology;

/// How often the stream's end is read until it keeps still.
const STANDING_TRIES_MAX: usize = 100;

/// Control messages that are looked through for the last one of ours.
const CONTROLS_MAX: usize = 10_000;

/// One log's stream, and what the log was when it was asked.
#[derive(Clone)]
pub struct Bus {
    pub context: jetstream::Context,
    pub identity: LogIdentity,
    pub topology: Topology,
    /// By which keys messages count as the relay's; without any all that look so do.
    pub keys: Arc<PublicKeys>,
}

/// A control message and its place in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub sequence: u64,
    pub control: Control,
}

/// Where the stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its last sequence.
    pub sequence: u64,
    /// Sequence and mark of its last event.
    pub event: Option<(u64, Mark)>,
    /// Its last control message.
    pub beginning: Option<Beginning>,
}

impl Standing {
    /// The last position that the stream has, with its event; what the last
    /// message says, be it an event or that events after some other follow.
    /// None in a stream without messages.
    pub fn last(&self) -> Option<(u64, Option<Uuid>)> {
        match (self.event, &self.beginning) {
            (Some((sequence, event)), beginning)
                if beginning.as_ref().is_none_or(|begun| begun.sequence < sequence) =>
            {
                Some((event.position, Some(event.event_id)))
            }
            (_, Some(Beginning { control, .. })) => Some((control.begun.after_position, control.begun.after_event_id)),
            (_, None) => None,
        }
    }

    /// The latest epoch that the stream knows.
    pub fn epoch(&self) -> Option<u64> {
        let of_event = self.event.map(|(_, event)| event.epoch);
        of_event.max(self.beginning.as_ref().map(|begun| begun.control.epoch))
    }

    /// What the ids of messages end in, so that the server does not take an event that comes again for a repetition.
    pub fn run(&self) -> Option<Uuid> {
        self.beginning.as_ref().map(|begun| begun.control.run)
    }

    /// The epochs that the stream knows.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.beginning.as_ref().map(|begun| begun.control.begun.epochs.clone()).unwrap_or_default()
    }
}

impl Bus {
    /// The log's stream.
    pub async fn stream(&self) -> Result<Stream, RelayError> {
        Ok(self.context.get_stream(self.topology.stream_name()).await?)
    }

    /// Reads where the stream stands.
    ///
    /// Everything must be of one moment: messages that were sent before
    /// the connection broke may still come in, and a pipeline that is numbered one
    /// too low would lose its beginning and still get its end accepted. So the last
    /// messages are read before and after the stream's state.
    pub async fn standing(&self) -> Result<Standing, RelayError> {
        let stream = self.stream().await?;
        let mut before = self.last(&stream).await?;
        for _ in 0..STANDING_TRIES_MAX {
            let sequence = stream.get_info().await?.state.last_sequence;
            let after = self.last(&stream).await?;
            if after == before {
                let (event, beginning) = after;
                return Ok(Standing { sequence, event, beginning });
            }
            before = after;
        }
        Err(RelayError::Moving)
    }

    async fn last(&self, stream: &Stream) -> Result<(Option<(u64, Mark)>, Option<Beginning>), RelayError> {
        let event = self.last_event(stream).await?;
        let beginning = match last_message(stream, &self.topology.all_controls()).await? {
            None => None,
            Some(message) => Some(self.beginning(&message).ok_or(RelayError::Foreign { sequence: message.sequence })?),
        };
        Ok((event, beginning))
    }

    /// Sequence and mark of the stream's last event; none where it holds none.
    pub async fn last_event(&self, stream: &Stream) -> Result<Option<(u64, Mark)>, RelayError> {
        let Some(message) = last_message(stream, &self.topology.all_events()).await? else { return Ok(None) };
        Ok(Some((message.sequence, self.mark(&message)?)))
    }

    /// The first event at `sequence` or behind it.
    pub async fn event_from(&self, stream: &Stream, sequence: u64) -> Result<Option<StreamMessage>, RelayError> {
        first_from(stream, self.topology.all_events(), sequence).await
    }

    /// The mark of a message of ours.
    pub fn mark(&self, message: &StreamMessage) -> Result<Mark, RelayError> {
        let is_signed = || self.keys.is_empty() || self.keys.verify(&message.headers, Some(&message.payload)).is_ok();
        let ours = mark(&message.headers).filter(|mark| mark.log_id == self.identity.log_id && is_signed());
        ours.ok_or(RelayError::Foreign { sequence: message.sequence })
    }

    /// A control message of ours, where it was sent to.
    fn beginning(&self, message: &StreamMessage) -> Option<Beginning> {
        let sequence = message.sequence;
        let is_there = self.keys.is_empty() || control::is_of(&message.headers, &message.subject, sequence);
        let control = control::read(&message.headers, &message.payload)?;
        (is_there && self.mark(message).is_ok()).then_some(Beginning { sequence, control })
    }

    /// The epochs that the last control message of ours tells, whatever others have put behind it.
    pub async fn known_epochs(&self) -> Result<Vec<EpochStart>, RelayError> {
        let stream = self.stream().await?;
        let (mut epochs, mut from) = (Vec::new(), 1);
        for _ in 0..CONTROLS_MAX {
            let Some(message) = first_from(&stream, self.topology.all_controls(), from).await? else { break };
            from = message.sequence + 1;
            if let Some(beginning) = self.beginning(&message) {
                epochs = beginning.control.begun.epochs;
            }
        }
        Ok(epochs)
    }

    /// Refuses a stream that does not hold the log's events one after the other
    /// from where its last control message says, or from its first event:
    /// somebody else has published into it, or two of us numbered differently.
    /// Messages that an operator deleted in between do not count.
    pub async fn require_whole(&self, standing: &Standing) -> Result<(), RelayError> {
        let Some((last_sequence, last)) = standing.event else { return Ok(()) };
        let (before_sequence, before) = match &standing.beginning {
            Some(begun) if begun.sequence > last_sequence => return Ok(()),
            Some(begun) => (begun.sequence, begun.control.begun.after_position),
            None => {
                let first = self.event_from(&self.stream().await?, 1).await?;
                let Some(first) = first else { return Ok(()) };
                (first.sequence.saturating_sub(1), self.mark(&first)?.position.saturating_sub(1))
            }
        };
        if last.position.checked_sub(before) == last_sequence.checked_sub(before_sequence) {
            return Ok(());
        }
        let sequences = last_sequence.saturating_sub(before_sequence);
        Err(RelayError::Shifted { first: before + 1, last: last.position, sequences })
    }

    /// Makes the stream, or sets what is ours of one that is there; how it
    /// persists cannot be changed. Gives the greatest message that it takes, where it has a limit of its own.
    pub async fn make(&self, replicas: u8) -> Result<Option<usize>, RelayError> {
        let config = match self.context.get_stream(self.topology.stream_name()).await {
            Ok(made) => self.amend(&made.cached_info().config, replicas).await?,
            Err(error) if is_missing(&error) => {
                let made = self.context.create_stream(self.topology.config(replicas.into())).await?;
                made.cached_info().config.clone()
            }
            Err(error) => return Err(error.into()),
        };
        Ok(usize::try_from(config.max_message_size).ok().filter(|limit| *limit > 0))
    }

    /// Whether the stream is set as the relay relies on it.
    pub fn is_set(&self, made: &Config, replicas: u8) -> bool {
        self.topology.amended(made, replicas.into()) == *made
    }

    async fn amend(&self, made: &Config, replicas: u8) -> Result<Config, RelayError> {
        let amended = self.topology.amended(made, replicas.into());
        if amended != *made {
            tracing::info!(replicas, "the stream's settings are brought in line; what else is set there stays");
            self.context.update_stream(&amended).await?;
        }
        Ok(amended)
    }
}

/// Says of limits that take events out of the stream that they are there, and do no harm here.
pub fn tell_limits(config: &Config) {
    if config.max_age.is_zero()
        && config.max_bytes <= 0
        && config.max_messages <= 0
        && config.max_messages_per_subject <= 0
    {
        return;
    }
    tracing::info!(
        max_age = ?config.max_age,
        max_bytes = config.max_bytes,
        max_messages = config.max_messages,
        max_messages_per_subject = config.max_messages_per_subject,
        "the stream has limits that an operator set: who needs older events reads them from the query API"
    );
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The first message of a subject at `sequence` or behind it.
async fn first_from(stream: &Stream, subject: String, sequence: u64) -> Result<Option<StreamMessage>, RelayError> {
    match stream.get_first_raw_message_by_subject(subject, sequence).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(RelayError::read(error)),
    }
}

async fn last_message(stream: &Stream, subject: &str) -> Result<Option<StreamMessage>, RelayError> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(RelayError::read(error)),
    }
}
