//! Events of a `visit` stream.

use crate::prelude::*;

/// The subject came to a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VisitAttended {
    /// The subject.
    pub subject_id: SubjectId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// The patient.
    pub patient_id: PatientId,
    /// The visit's name (CDISC `VISIT`).
    pub visit: String,
    /// The visit's number; fractions are unscheduled visits (CDISC `VISITNUM`).
    pub visit_number: Option<Quantity>,
    /// The day of the visit (CDISC `SVSTDTC`).
    pub attended_on: PartialDate,
}

/// What was recorded of the visit was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VisitCorrected {
    /// What is known now; a field that is absent did not change.
    pub changes: VisitFields,
    /// What the same fields were.
    pub previous: VisitFields,
    /// Why it was corrected.
    pub reason: Prose,
}

/// Fields of a visit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VisitFields {
    /// The visit's name.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub visit: Change<String>,
    /// The visit's number.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub visit_number: OptionalChange<Quantity>,
    /// The day of the visit.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub attended_on: Change<PartialDate>,
}

event_set! {
    /// What can happen to a visit.
    pub enum VisitEvent in Visit {
        VisitAttended = 1;
        VisitCorrected = 1;
    }
}
