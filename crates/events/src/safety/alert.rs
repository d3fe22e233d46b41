//! Events of an `alert` stream.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::Role;
use crate::ids::{AdverseEventId, PatientId, SiteId, StreamId, SubjectId, TrialId};
use crate::values::Prose;

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// To be looked at in the ordinary course.
    Low,
    /// To be looked at soon.
    Medium,
    /// To be looked at now.
    High,
    /// A person may be in danger.
    Critical,
}

/// An alert was raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertRaised {
    /// The event that met the rule.
    pub source_event_id: Uuid,
    /// The stream of that event.
    pub source: StreamId,
    /// The rule's code.
    pub rule: String,
    /// How urgent.
    pub severity: Severity,
    /// What was seen.
    pub finding: String,
    /// The subject that it is about.
    pub subject_id: SubjectId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// The patient.
    pub patient_id: PatientId,
    /// Who is told first.
    pub recipients: Vec<Role>,
    /// When it is escalated unless somebody acknowledges it; absent where it is historical.
    pub acknowledge_by: Option<DateTime<Utc>>,
    /// Minutes that each level has to acknowledge.
    pub acknowledge_within_minutes: u32,
    /// Whether its source was brought in from a record of the past: nobody is told, and no clock runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// Somebody took notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertAcknowledged {
    /// What was said about it.
    pub note: Option<Prose>,
}

/// Somebody, after an acknowledgement, had something to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertNoteAdded {
    /// What was said.
    pub note: Prose,
}

/// Nobody acknowledged in time; the next level was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertEscalated {
    /// From 1, up by one with every escalation.
    pub level: u32,
    /// Who is told now.
    pub recipients: Vec<Role>,
    /// When the next level is told unless somebody acknowledges; absent at the last level.
    pub acknowledge_by: Option<DateTime<Utc>>,
}

/// What had to be done was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertResolved {
    /// What was done.
    pub action_taken: Prose,
    /// The adverse event that was reported in consequence.
    pub adverse_event_id: Option<AdverseEventId>,
}

event_set! {
    /// What can happen to an alert.
    pub enum AlertEvent in Alert {
        AlertRaised = 1;
        AlertAcknowledged = 1;
        AlertNoteAdded = 1;
        AlertEscalated = 1;
        AlertResolved = 1;
    }
}
