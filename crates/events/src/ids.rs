//! Every identifier of the system, in one registry.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of all ids that are derived from other ids or from names.
///
/// Frozen: another value would give every derived stream a new identity.
const DERIVED: Uuid = Uuid::from_u128(0x6f1d_3d0c_5a53_4d0e_9b7e_a4c1_7a52_e001);

/// Derives an id from its parts: the same parts give the same id for ever.
pub fn derive_id(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut name = Vec::with_capacity(64);
    name.extend_from_slice(kind.as_bytes());
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&DERIVED, &name)
}

macro_rules! stream_types {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The kinds of stream in the log; one per aggregate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum StreamType { $(#[serde(rename = $name)] $variant),+ }

        impl StreamType {
            /// All stream types, in the order of the registry.
            pub const ALL: &'static [StreamType] = &[$(StreamType::$variant),+];

            /// The name in the log, in subjects and in addresses.
            pub const fn as_str(self) -> &'static str {
                match self { $(StreamType::$variant => $name),+ }
            }
        }

        impl FromStr for StreamType {
            type Err = UnknownStreamType;
            fn from_str(name: &str) -> Result<Self, UnknownStreamType> {
                match name {
                    $($name => Ok(StreamType::$variant),)+
                    other => Err(UnknownStreamType(other.to_owned())),
                }
            }
        }
    };
}

stream_types! {
    Trial = "trial",
    Protocol = "protocol",
    Site = "site",
    Patient = "patient",
    Consent = "consent",
    Enrolment = "enrolment",
    Subject = "subject",
    Report = "report",
    AdverseEvent = "adverse-event",
    Alert = "alert",
    Visit = "visit",
    Notification = "notification",
    DeadLetter = "dead-letter",
}

/// A stream type that this version of the program does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown stream type `{0}`")]
pub struct UnknownStreamType(pub String);

impl fmt::Display for StreamType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One stream of the log: what kind of thing, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct StreamId {
    /// The kind of stream.
    #[serde(rename = "type")]
    pub kind: StreamType,
    /// The aggregate's own id.
    pub id: Uuid,
}

impl StreamId {
    /// Names the stream of `kind` with this `id`.
    pub const fn new(kind: StreamType, id: Uuid) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id)
    }
}

/// An id that names a stream.
pub trait StreamKey: Copy + fmt::Display + From<Uuid> + Into<Uuid> + Send + Sync + 'static {
    /// The kind of stream that ids of this type name.
    const STREAM_TYPE: StreamType;

    /// The stream that this id names.
    fn stream(self) -> StreamId {
        StreamId::new(Self::STREAM_TYPE, self.into())
    }
}

macro_rules! stream_keys {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id as a plain UUID.
            pub const fn uuid(self) -> Uuid { self.0 }
        }
        impl From<Uuid> for $name { fn from(id: Uuid) -> Self { Self(id) } }
        impl From<$name> for Uuid { fn from(id: $name) -> Uuid { id.0 } }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> { text.parse().map(Self) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(formatter) }
        }
        impl StreamKey for $name { const STREAM_TYPE: StreamType = StreamType::$kind; }
    )+};
}

stream_keys! {
    /// A clinical trial.
    TrialId => Trial,
    /// The claim of one protocol number.
    ProtocolId => Protocol,
    /// A site: a hospital or research centre in one trial.
    SiteId => Site,
    /// A person.
    PatientId => Patient,
    /// The consent of one patient to one trial.
    ConsentId => Consent,
    /// The enrolment ledger of one trial: its subject numbers and places.
    EnrolmentId => Enrolment,
    /// A patient in a trial.
    SubjectId => Subject,
    /// A patient-reported outcome: one filled-in questionnaire.
    ReportId => Report,
    /// An adverse event of one subject.
    AdverseEventId => AdverseEvent,
    /// A safety alert.
    AlertId => Alert,
    /// One attended visit of one subject.
    VisitId => Visit,
    /// One message to one recipient.
    NotificationId => Notification,
    /// A step of a process manager that could not be carried out.
    DeadLetterId => DeadLetter,
}

impl ProtocolId {
    /// One claim per protocol number, however it is written in upper and lower case.
    pub fn of(protocol: &str) -> Self {
        Self(derive_id("protocol", &[protocol.to_lowercase().as_bytes()]))
    }
}

impl ConsentId {
    /// A patient has one consent per trial, so the two name it.
    pub fn of(patient_id: PatientId, trial_id: TrialId) -> Self {
        Self(derive_id("consent", &[patient_id.0.as_bytes(), trial_id.0.as_bytes()]))
    }
}

impl SubjectId {
    /// A patient is in a trial at most once, so the two name the subject.
    pub fn of(patient_id: PatientId, trial_id: TrialId) -> Self {
        Self(derive_id("subject", &[patient_id.0.as_bytes(), trial_id.0.as_bytes()]))
    }
}

impl EnrolmentId {
    /// The ledger of a trial carries the trial's id.
    pub const fn of(trial_id: TrialId) -> Self {
        Self(trial_id.0)
    }
}

impl AlertId {
    /// One alert per rule and source event, however often the event is delivered.
    pub fn of(source_event_id: Uuid, rule: &str) -> Self {
        Self(derive_id("alert", &[source_event_id.as_bytes(), rule.as_bytes()]))
    }
}

impl NotificationId {
    /// One notification per cause, template and recipient.
    pub fn of(cause: Uuid, template: &str, recipient: &str) -> Self {
        Self(derive_id("notification", &[cause.as_bytes(), template.as_bytes(), recipient.as_bytes()]))
    }
}

impl DeadLetterId {
    /// The dead letter of a step carries the id of the step's command.
    pub const fn of(step_command_id: Uuid) -> Self {
        Self(step_command_id)
    }
}
