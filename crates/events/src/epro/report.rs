//! Events of a `report` stream: one filled-in questionnaire.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::{Change, OptionalChange};
use crate::ids::{PatientId, SiteId, SubjectId, TrialId};
use crate::time_zone::TimeZone;
use crate::trial::questionnaire::{Answer, Answers, Score, TriggeredRule};
use crate::values::{Prose, Quantity};

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
    /// The day that it was then where it was filled in: that of the time's offset, of the time zone, or of the place.
    pub completed_on: NaiveDate,
    /// IANA time zone in which it was filled in.
    pub time_zone: Option<TimeZone>,
    /// The device that it came from.
    pub device: Option<Prose>,
    /// The visit that it belongs to (CDISC `VISIT`).
    pub visit: Option<String>,
    /// Whether it was brought in from a record of the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// Answers, times or the visit of a report were corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportCorrected {
    /// From 1, up by one with every correction.
    pub correction_number: u32,
    /// What differs, as it is now.
    pub changes: ReportFields,
    /// What differs, as it was.
    pub previous: ReportFields,
    /// All answers after the correction.
    pub answers: Answers,
    /// The scores of the corrected answers.
    pub scores: Vec<Score>,
    /// The alert rules that the corrected answers meet and the ones before did not, or less so.
    pub triggered_rules: Vec<TriggeredRule>,
    /// Why it was corrected.
    pub reason: Prose,
    /// Whether it was brought in from a record of the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// What a correction of a report concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportFields {
    /// Answers by item; `null` where there is none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Option<Answer>>,
    /// Values of scores by code; `null` where too many answers are missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Option<Quantity>>,
    /// When filling in began.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub started_at: OptionalChange<DateTime<Utc>>,
    /// When filling in ended.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub completed_at: Change<DateTime<Utc>>,
    /// The day that it was then where it was filled in.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub completed_on: Change<NaiveDate>,
    /// The visit that it belongs to.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub visit: OptionalChange<String>,
}

event_set! {
    /// What can happen to a report.
    pub enum ReportEvent in Report {
        ReportSubmitted = 1;
        ReportCorrected = 1;
    }
}
