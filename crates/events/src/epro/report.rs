//! Events of a `report` stream: one filled-in questionnaire.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PatientId, SiteId, SubjectId, TrialId};
use crate::trial::questionnaire::{Answers, Score, TriggeredRule};

/// A report was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportSubmitted {
    /// The subject.
    pub subject_id: SubjectId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// The patient.
    pub patient_id: PatientId,
    /// The instrument's short name.
    pub instrument: String,
    /// Version of the questionnaire's definition.
    pub questionnaire_version: String,
    /// The answers as given.
    pub answers: Answers,
    /// The scores by the definition.
    pub scores: Vec<Score>,
    /// The alert rules that were met.
    pub triggered_rules: Vec<TriggeredRule>,
    /// When filling in began.
    pub started_at: Option<DateTime<Utc>>,
    /// When filling in ended.
    pub completed_at: DateTime<Utc>,
    /// IANA time zone in which it was filled in.
    pub time_zone: Option<String>,
    /// The device that it came from.
    pub device: Option<String>,
    /// The visit that it belongs to (CDISC `VISIT`).
    pub visit: Option<String>,
}

/// Answers were corrected; the old ones stay in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportCorrected {
    /// From 1, up by one with every correction.
    pub correction_number: u32,
    /// All answers after the correction.
    pub answers: Answers,
    /// The scores of the corrected answers.
    pub scores: Vec<Score>,
    /// The scores before the correction.
    pub previous_scores: Vec<Score>,
    /// The alert rules that the corrected answers meet and the earlier ones did not.
    pub triggered_rules: Vec<TriggeredRule>,
    /// Why it was corrected.
    pub reason: String,
}

event_set! {
    /// What can happen to a report.
    pub enum ReportEvent in Report {
        ReportSubmitted = 1;
        ReportCorrected = 1;
    }
}
