//! Every identifier of the system, in one registry.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::identity::OWN_ISSUER;
use crate::identifier;
use crate::messaging::message::Recipient;
use crate::set::EventSet;
// All of them: a list here would be a second one to keep.
pub use crate::registry::*;

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

/// What tells a stream from others in an entity tag: the last 12 of its id's hexadecimal digits, which are random in ids
/// that begin with a time.
pub fn mark(id: Uuid) -> String {
    format!("{:012x}", id.as_u128() & 0xffff_ffff_ffff)
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
    /// The events that such a stream holds, and no others.
    type Event: EventSet;

    /// The stream that this id names.
    fn stream(self) -> StreamId {
        StreamId::new(Self::STREAM_TYPE, self.into())
    }
}

impl ProtocolNumberId {
    /// One claim per protocol number, however it is written.
    pub fn of(protocol_number: &str) -> Self {
        Self::new(derive_id("protocol-number", &[identifier::key(protocol_number).as_bytes()]))
    }
}

impl ConsentId {
    /// A patient has one consent per trial, so the two name it.
    pub fn of(patient_id: PatientId, trial_id: TrialId) -> Self {
        Self::new(derive_id("consent", &[patient_id.uuid().as_bytes(), trial_id.uuid().as_bytes()]))
    }
}

impl SubjectId {
    /// A patient is in a trial at most once, so the two name the subject.
    pub fn of(patient_id: PatientId, trial_id: TrialId) -> Self {
        Self::new(derive_id("subject", &[patient_id.uuid().as_bytes(), trial_id.uuid().as_bytes()]))
    }
}

impl EnrolmentId {
    /// The ledger of a trial carries the trial's id.
    pub const fn of(trial_id: TrialId) -> Self {
        Self::new(trial_id.uuid())
    }
}

impl CasebookId {
    /// The casebook of a subject carries the subject's id.
    pub const fn of(subject_id: SubjectId) -> Self {
        Self::new(subject_id.uuid())
    }
}

impl AccountId {
    /// The id that our own tools give to the account of a username.
    pub fn of(username: &str) -> Self {
        Self::new(derive_id("account", &[identifier::key(username).as_bytes()]))
    }
}

impl IdentityId {
    /// One identity per issuer and subject, letter by letter as the issuer writes them.
    pub fn of(issuer: &str, subject: &str) -> Self {
        Self::new(derive_id("identity", &[issuer.as_bytes(), subject.as_bytes()]))
    }

    /// The identity of an account at our own issuer; usernames that look the same are the same.
    pub fn own(username: &str) -> Self {
        Self::of(OWN_ISSUER, &identifier::key(username))
    }
}

impl AlertId {
    /// One alert per rule and source event, however often the event is delivered.
    pub fn of(source_event_id: Uuid, rule: &str) -> Self {
        Self::new(derive_id("alert", &[source_event_id.as_bytes(), rule.as_bytes()]))
    }
}

impl NotificationId {
    /// One notification per cause, template and recipient.
    pub fn of(cause: Uuid, template: &str, recipient: &str) -> Self {
        Self::new(derive_id("notification", &[cause.as_bytes(), template.as_bytes(), recipient.as_bytes()]))
    }
}

impl MessageId {
    /// One message per notification and recipient.
    pub fn of(notification_id: NotificationId, recipient: Recipient) -> Self {
        let (kind, id): (&str, Uuid) = match recipient {
            Recipient::Patient { patient_id } => ("patient", patient_id.into()),
            Recipient::Account { account_id } => ("account", account_id.into()),
        };
        Self::new(derive_id("message", &[notification_id.uuid().as_bytes(), kind.as_bytes(), id.as_bytes()]))
    }
}

impl DeviceId {
    /// A device has one identifier in a trial, so the two name it.
    pub fn of(trial_id: TrialId, device: &str) -> Self {
        Self::new(derive_id("device", &[trial_id.uuid().as_bytes(), identifier::key(device).as_bytes()]))
    }

    /// By which what is stored apart of the device for a subject is known.
    pub fn apart(self, subject_id: SubjectId) -> Uuid {
        derive_id("readings-apart", &[self.uuid().as_bytes(), subject_id.uuid().as_bytes()])
    }
}

impl ArticleId {
    /// By which the article's text in one language is known.
    pub fn text(self, language: &str) -> Uuid {
        derive_id("article-text", &[self.uuid().as_bytes(), language.to_ascii_lowercase().as_bytes()])
    }
}

impl DeadLetterId {
    /// The dead letter of a step carries the id of the step's command.
    pub const fn of(step_command_id: Uuid) -> Self {
        Self::new(step_command_id)
    }
}
