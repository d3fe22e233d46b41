//! Events of an `adverse-event` stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PatientId, SiteId, SubjectId, TrialId};
use crate::trial::questionnaire::TriggeredRule;
use crate::values::PartialDate;

/// Severity (CDISC codelist AESEV, C66769).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdverseEventSeverity {
    /// Mild.
    Mild,
    /// Moderate.
    Moderate,
    /// Severe.
    Severe,
}

/// An adverse event was reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdverseEventReported {
    /// The subject.
    pub subject_id: SubjectId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// The patient.
    pub patient_id: PatientId,
    /// What happened, coded or as told (CDISC `AEDECOD`).
    pub term: String,
    /// How severe.
    pub severity: AdverseEventSeverity,
    /// Common Terminology Criteria grade, 1 to 5.
    pub ctcae_grade: Option<u8>,
    /// Whether it is serious (ICH E2A, II.B).
    pub serious: bool,
    /// Relation to treatment (CDISC `AEREL`).
    pub relatedness: Option<String>,
    /// When it began.
    pub onset: Option<PartialDate>,
    /// When it ended.
    pub ended: Option<PartialDate>,
    /// Outcome (CDISC `AEOUT`).
    pub outcome: Option<String>,
    /// The alert rules that were met.
    pub triggered_rules: Vec<TriggeredRule>,
}

/// More became known; a field that is absent did not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdverseEventUpdated {
    /// How severe.
    pub severity: Option<AdverseEventSeverity>,
    /// Common Terminology Criteria grade, 1 to 5.
    pub ctcae_grade: Option<u8>,
    /// Whether it is serious.
    pub serious: Option<bool>,
    /// Relation to treatment.
    pub relatedness: Option<String>,
    /// When it ended.
    pub ended: Option<PartialDate>,
    /// Outcome.
    pub outcome: Option<String>,
    /// Why it was updated.
    pub reason: String,
    /// The alert rules that are met now and were not before.
    pub triggered_rules: Vec<TriggeredRule>,
}

event_set! {
    /// What can happen to an adverse event.
    pub enum AdverseEventChange in AdverseEvent {
        AdverseEventReported = 1;
        AdverseEventUpdated = 1;
    }
}
