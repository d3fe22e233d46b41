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

event_set! {
    /// What can happen to a visit.
    pub enum VisitEvent in Visit {
        VisitAttended = 1;
    }
}
