//! What the log keeps around every event.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{PatientId, SiteId, StreamId, TrialId};
use crate::set::EventSet;

/// What somebody is in a trial; authority hangs on it.
///
/// Sponsor, investigator, monitor and participant as in ICH E6(R3), glossary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the installation; does no clinical work, blinded.
    Administrator,
    /// The sponsor's staff; blinded.
    Sponsor,
    /// The sponsor's safety physician; blinded until an unblinding is recorded.
    MedicalMonitor,
    /// Responsible for the trial at a site.
    Investigator,
    /// Coordinates the trial at a site.
    Coordinator,
    /// Checks the conduct of the trial at sites; reads, blinded.
    Monitor,
    /// Reads everything but allocation; changes nothing.
    Auditor,
    /// May see treatment allocation: the unblinded statistician or pharmacist.
    UnblindedStatistician,
    /// A participant, for reports about themselves.
    Participant,
    /// Another system, such as an importer or a randomisation service.
    Integration,
    /// Anamnesis itself: its process managers.
    System,
}

impl Role {
    /// Every role, in the order in which they are told.
    pub const ALL: [Role; 11] = [
        Role::Administrator,
        Role::Sponsor,
        Role::Investigator,
        Role::Coordinator,
        Role::MedicalMonitor,
        Role::Monitor,
        Role::Auditor,
        Role::UnblindedStatistician,
        Role::Participant,
        Role::Integration,
        Role::System,
    ];

    /// Whether the role receives treatment allocation however the trial is blinded
    /// ([`Blinding::shows_allocation_to`](crate::trial::Blinding::shows_allocation_to)).
    pub const fn sees_allocation(self) -> bool {
        match self {
            Role::UnblindedStatistician | Role::Integration | Role::System => true,
            Role::Administrator
            | Role::Sponsor
            | Role::MedicalMonitor
            | Role::Investigator
            | Role::Coordinator
            | Role::Monitor
            | Role::Auditor
            | Role::Participant => false,
        }
    }
}

/// Who caused an event: an account, never a person's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// The account's username.
    pub id: String,
    /// The role in which the actor acted.
    pub role: Role,
    /// The organisation for which the actor acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl Actor {
    /// Anamnesis itself, acting through the process manager `name`.
    pub fn system(name: &str) -> Self {
        Self { id: format!("system:{name}"), role: Role::System, organisation: None }
    }
}

/// What an event is about; each is indexed in the log, so that "everything
/// about this patient" is one range read over all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct References {
    /// The trial that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_id: Option<TrialId>,
    /// The site that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_id: Option<SiteId>,
    /// The patient that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<PatientId>,
}

impl References {
    /// About a trial as a whole.
    pub const fn trial(trial_id: TrialId) -> Self {
        Self { trial_id: Some(trial_id), site_id: None, patient_id: None }
    }

    /// About a site of a trial.
    pub const fn site(trial_id: TrialId, site_id: SiteId) -> Self {
        Self { trial_id: Some(trial_id), site_id: Some(site_id), patient_id: None }
    }

    /// About a patient, outside any trial.
    pub const fn patient(patient_id: PatientId) -> Self {
        Self { trial_id: None, site_id: None, patient_id: Some(patient_id) }
    }

    /// About a patient in a trial at a site.
    pub const fn subject(trial_id: TrialId, site_id: SiteId, patient_id: PatientId) -> Self {
        Self { trial_id: Some(trial_id), site_id: Some(site_id), patient_id: Some(patient_id) }
    }
}

/// An event as its own type: one of the set of its kind of stream.
pub type TypedEvent = Arc<dyn Any + Send + Sync>;

/// An event that a decision made and the log has not stored yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The event's type, such as `ConsentSigned`.
    pub event_type: &'static str,
    /// The version of the payload's schema.
    pub schema_version: u16,
    /// The payload's exact bytes (JSON).
    pub payload: Bytes,
    /// When it happened, in UTC; a day alone is its first instant at the place.
    pub occurred_at: DateTime<Utc>,
    /// What it is about.
    pub references: References,
    /// The event itself, kept until the append is done so that nobody has to read its bytes again.
    pub typed: Option<TypedEvent>,
}

impl NewEvent {
    /// The event as its stream's type writes it now; not kept as its own type.
    pub fn of(event: &impl EventSet, occurred_at: DateTime<Utc>, references: References) -> Self {
        Self {
            event_type: event.event_type(),
            schema_version: event.schema_version(),
            payload: event.encode(),
            occurred_at,
            references,
            typed: None,
        }
    }
}

impl PartialEq for NewEvent {
    fn eq(&self, other: &Self) -> bool {
        // What is stored; the typed event says the same as the payload.
        self.event_type == other.event_type
            && self.schema_version == other.schema_version
            && self.payload == other.payload
            && self.occurred_at == other.occurred_at
            && self.references == other.references
    }
}

impl Eq for NewEvent {}

/// A stored event with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Place in the log's one total order; from 1, without gaps.
    pub position: u64,
    /// The stream that the event belongs to.
    pub stream: StreamId,
    /// Place in the stream; from 1, without gaps.
    pub version: u64,
    /// The event's own id (UUIDv7).
    pub event_id: Uuid,
    /// The event's type, such as `ConsentSigned`.
    pub event_type: String,
    /// The version of the payload's schema when it was written.
    pub schema_version: u16,
    /// The payload's bytes exactly as written (JSON).
    pub payload: Bytes,
    /// When it happened: in UTC, in microseconds; a day alone is its first instant at the place.
    pub occurred_at: DateTime<Utc>,
    /// When the log stored it; UTC, in microseconds, never decreasing with position.
    pub recorded_at: DateTime<Utc>,
    /// Who caused it.
    pub actor: Actor,
    /// The command that decided it.
    pub command_id: Uuid,
    /// What it belongs to: the first command of the whole conversation.
    pub correlation_id: Uuid,
    /// The event that led to the command, where a process manager sent it.
    pub causation_id: Option<Uuid>,
    /// W3C `traceparent` of the request.
    pub trace_context: Option<String>,
    /// What it is about.
    pub references: References,
}
