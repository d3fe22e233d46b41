//! Events of an `adverse-event` stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::{Change, OptionalChange};
use crate::ids::{PatientId, SiteId, SubjectId, TrialId};
use crate::trial::questionnaire::TriggeredRule;
use crate::values::{PartialDate, Prose};

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
    /// The reporter's own words, where `term` is the coded one (CDISC `AETERM`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_term: Option<Prose>,
    /// How severe.
    pub severity: AdverseEventSeverity,
    /// Common Terminology Criteria grade, 1 to 5.
    pub ctcae_grade: Option<u8>,
    /// Whether it is serious (ICH E2A, II.B). What is fatal is.
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
    /// Whether no consent covers when it was reported: a serious adverse event is taken all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside_consent: bool,
    /// Whether it was brought in from a record of the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// More became known of it, or something of it was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdverseEventUpdated {
    /// What is known now; a field that is absent did not change.
    pub changes: AdverseEventFields,
    /// What the same fields were.
    pub previous: AdverseEventFields,
    /// Why it was updated.
    pub reason: Prose,
    /// The alert rules that are met now and were not before, or less so.
    pub triggered_rules: Vec<TriggeredRule>,
    /// Whether it was brought in from a record of the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// Fields of an adverse event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdverseEventFields {
    /// What happened.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub term: Change<String>,
    /// The reporter's own words, where `term` is the coded one.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub reported_term: OptionalChange<Prose>,
    /// How severe.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub severity: Change<AdverseEventSeverity>,
    /// Common Terminology Criteria grade, 1 to 5.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub ctcae_grade: OptionalChange<u8>,
    /// Whether it is serious.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub serious: Change<bool>,
    /// Relation to treatment.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub relatedness: OptionalChange<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub onset: OptionalChange<PartialDate>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub ended: OptionalChange<PartialDate>,
    /// Outcome.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub outcome: OptionalChange<String>,
}

event_set! {
    /// What can happen to an adverse event.
    pub enum AdverseEventChange in AdverseEvent {
        AdverseEventReported = 1;
        AdverseEventUpdated = 1;
    }
}
