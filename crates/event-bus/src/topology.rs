//! Every name, limit and pause of JetStream, in one place.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::StreamsError;
use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use events::envelope::Envelope;
use events::ids::TrialId;
use futures::TryStreamExt;
use uuid::Uuid;

/// Within this time JetStream drops a message whose id it has seen. A hint:
/// that nothing is published twice is up to the relay.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Messages on their way to JetStream without an acknowledgement.
pub const PUBLISH_WINDOW: u64 = 1_024;
/// Of so many messages one asks to be acknowledged: every message names the sequence before it, so one
/// that was taken tells that all before it were, as long as all who publish number alike.
pub const ACKNOWLEDGE_EVERY: u64 = 32;
/// Events that the relay reads from the log at a time.
pub const RELAY_READ_EVENTS: usize = 512;
/// How long an acknowledgement may take.
pub const ACKNOWLEDGE_TIME_MAX: Duration = Duration::from_secs(5);
/// First pause after a failure; doubles up to the greatest.
pub const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Greatest pause after a failure.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(3);
/// How long a relay that has no lease waits until it asks for it again.
pub const STANDBY_PAUSE: Duration = Duration::from_millis(500);
/// The lease of the one active relay.
pub const RELAY_LEASE: &str = "relay";
/// The lease by which `republish` asks the relay to stand aside.
pub const REPUBLISH_LEASE: &str = "relay-republish";
/// The relay's checkpoint: the last position that JetStream had acknowledged when the lease was renewed.
pub const RELAY_CHECKPOINT: &str = "relay";
/// How long the relay's lease holds: the time until another takes over.
pub const LEASE_TIME: Duration = Duration::from_secs(5);
/// How often the lease is renewed, the checkpoint saved, and whether somebody asks to republish is looked at.
pub const LEASE_RENEWAL: Duration = Duration::from_millis(1_500);
/// How long a feed waits for a message before it looks at the log itself.
pub const FEED_IDLE: Duration = Duration::from_millis(250);

/// Room in a message for the headers that the server and the publisher add to an event's own.
pub const ADDED_HEADER_BYTES: usize = 256;
/// The subject of an event: which log, which trial (`-` where it is about none), which stream, which type.
pub const EVENT_ADDRESS: &str = "anamnesis.{log}.events.{trial}.{streamType}.{streamId}.{eventType}";
/// The subject of a control message.
pub const CONTROL_ADDRESS: &str = "anamnesis.{log}.control.{controlType}";
/// The name of the stream that holds both.
pub const STREAM_ADDRESS: &str = "ANAMNESIS_EVENTS_{log}";

/// What every stream of ours is called, before the log's id.
const STREAM_PREFIX: &str = "ANAMNESIS_EVENTS_";
/// In the stream's metadata: whose it is.
const METADATA_LOG: &str = "anamnesis-log";

/// The names on NATS of one log's stream: they carry the log's id, so that two
/// logs on one NATS have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    log_id: Uuid,
}

impl Topology {
    /// The names of the log with this id.
    pub const fn of(log_id: Uuid) -> Self {
        Self { log_id }
    }

    /// The names of the only log that has a stream on this NATS; none where
    /// there is no such stream, or more than one: then the log's id must be given.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn find(context: &jetstream::Context) -> Result<Option<Self>, StreamsError> {
        let mut found = Vec::new();
        let mut names = context.stream_names();
        while let Some(name) = names.try_next().await? {
            let id = name.strip_prefix(STREAM_PREFIX).and_then(|id| id.parse().ok());
            found.extend(id.map(Self::of));
        }
        Ok(if let [only] = found[..] { Some(only) } else { None })
    }

    /// The log's id.
    pub const fn log_id(&self) -> Uuid {
        self.log_id
    }

    /// The stream that holds all events.
    pub fn stream_name(&self) -> String {
        format!("{STREAM_PREFIX}{}", self.log_id)
    }

    /// The subjects of all events.
    pub fn all_events(&self) -> String {
        format!("anamnesis.{}.events.>", self.log_id)
    }

    /// The subjects of the events of one trial.
    pub fn events_of_trial(&self, trial_id: TrialId) -> String {
        format!("anamnesis.{}.events.{trial_id}.>", self.log_id)
    }

    /// The subjects of what is said about the stream itself.
    pub fn all_controls(&self) -> String {
        format!("anamnesis.{}.control.>", self.log_id)
    }

    /// The subject of a control message: `anamnesis.<log>.control.<Type>`.
    pub fn control(&self, kind: &str) -> String {
        format!("anamnesis.{}.control.{kind}", self.log_id)
    }

    /// The subject of an event: `anamnesis.<log>.events.<trial|->.<stream type>.<stream id>.<EventType>`.
    pub fn subject(&self, envelope: &Envelope) -> String {
        let trial = envelope.references.trial_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let (kind, id) = (envelope.stream.kind, envelope.stream.id);
        format!("anamnesis.{}.events.{trial}.{kind}.{id}.{}", self.log_id, envelope.event_type)
    }

    /// The stream's configuration. Nothing runs out: the log decides what is kept.
    ///
    /// Without replicas the server acknowledges before it has written: what it then
    /// loses is the stream's end, and the relay publishes it again, for it goes by
    /// the stream's last message (ADR 0012). Servers before 2.12 pass over this.
    pub fn config(&self, replicas: usize) -> Config {
        Config {
            name: self.stream_name(),
            description: Some("Every event of an Anamnesis log, in order; a copy of it.".to_owned()),
            subjects: vec![self.all_events(), self.all_controls()],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            num_replicas: replicas,
            persist_mode: (replicas == 1).then_some(PersistenceMode::Async),
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            metadata: HashMap::from([(METADATA_LOG.to_owned(), self.log_id.to_string())]),
            ..Config::default()
        }
    }

    /// What a stream that exists should be set to. Only what the relay relies
    /// on is ours: its subjects, its replicas, acknowledgements, that it is not sealed, and that
    /// messages come in as they are sent, and from nowhere else. Limits, compression, placement, further subjects and the
    /// like are the operator's and stay.
    pub fn amended(&self, made: &Config, replicas: usize) -> Config {
        let ours = self.config(replicas);
        let mut config = made.clone();
        for subject in ours.subjects {
            if !config.subjects.contains(&subject) {
                config.subjects.push(subject);
            }
        }
        config.metadata.extend(ours.metadata);
        config.num_replicas = replicas;
        config.no_ack = false;
        (config.subject_transform, config.sources) = (None, None);
        config
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::message;

    /// The address with its parameters filled in.
    fn filled(address: &str, values: &HashMap<&str, String>) -> String {
        values.iter().fold(address.to_owned(), |address, (name, value)| address.replace(&format!("{{{name}}}"), value))
    }

    #[test]
    fn names_are_as_they_are_published() {
        let names = Topology::of(Uuid::from_u128(9));
        for trial_id in [None, Some(TrialId::from(Uuid::from_u128(8)))] {
            let envelope = message::example(trial_id);
            let values = HashMap::from([
                ("log", names.log_id().to_string()),
                ("trial", trial_id.map_or_else(|| "-".to_owned(), |id| id.to_string())),
                ("streamType", envelope.stream.kind.to_string()),
                ("streamId", envelope.stream.id.to_string()),
                ("eventType", envelope.event_type.clone()),
                ("controlType", "LogRepublished".to_owned()),
            ]);
            assert_eq!(filled(EVENT_ADDRESS, &values), names.subject(&envelope));
            assert_eq!(filled(CONTROL_ADDRESS, &values), names.control("LogRepublished"));
            assert_eq!(filled(STREAM_ADDRESS, &values), names.stream_name());
        }
    }
}
