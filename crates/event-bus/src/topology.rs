//! Every name, limit and pause of JetStream, in one place.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use events::envelope::Envelope;

/// The stream that holds all events.
pub const STREAM: &str = "ANAMNESIS_EVENTS";
/// What the subjects of all events begin with.
pub const SUBJECT_PREFIX: &str = "anamnesis.events";
/// The subjects of all events.
pub const ALL_SUBJECTS: &str = "anamnesis.events.>";
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

/// The stream's configuration. Nothing runs out: the log decides what is kept.
///
/// Without replicas the server acknowledges before it has written: what it then
/// loses is the stream's end, and the relay publishes it again, for it goes by
/// the stream's last message (ADR 0012). Servers before 2.12 pass over this.
pub fn stream(replicas: usize) -> Config {
    Config {
        name: STREAM.to_owned(),
        description: Some("Every event of Anamnesis, in order; a copy of its log.".to_owned()),
        subjects: vec![ALL_SUBJECTS.to_owned()],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        num_replicas: replicas,
        persist_mode: (replicas == 1).then_some(PersistenceMode::Async),
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}

/// The subject of an event: `anamnesis.events.<trial|->.<stream type>.<stream id>.<EventType>`.
pub fn subject(envelope: &Envelope) -> String {
    let trial = envelope.references.trial_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let (kind, id) = (envelope.stream.kind, envelope.stream.id);
    format!("{SUBJECT_PREFIX}.{trial}.{kind}.{id}.{}", envelope.event_type)
}
