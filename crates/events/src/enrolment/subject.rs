//! Events of a `subject` stream: a patient in a trial.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::{Change, OptionalChange};
use crate::ids::{PatientId, SiteId, TrialId};
use crate::trial::ObservationValue;
use crate::values::{Blinded, Prose};

/// The patient was screened for the trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatientScreened {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// The subject number, unique in the trial (CDISC `SUBJID`).
    pub subject_number: String,
}

/// The patient, whose earlier screening failed or who ended before allocation, was screened once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatientRescreened {
    /// The site.
    pub site_id: SiteId,
    /// The new subject number, unique in the trial; earlier ones stay taken.
    pub subject_number: String,
    /// 2 for the second screening, then up by one.
    pub screening_number: u32,
}

/// Whether a criterion was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CriterionResult {
    /// Met.
    Met,
    /// Not met.
    NotMet,
    /// Not known yet: the observation or the judgement is missing.
    Unknown,
}

/// The result of one criterion with the data that it saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CriterionAssessment {
    /// The criterion's code.
    pub code: String,
    /// Its result.
    pub result: CriterionResult,
    /// Whether the result keeps the patient out: an inclusion criterion not
    /// met, or an exclusion criterion met.
    pub against: bool,
    /// The value that was looked at, unless it is personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<ObservationValue>,
    /// The UCUM unit of the value that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_unit: Option<String>,
}

/// What the criteria say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EligibilityOutcome {
    /// Every inclusion criterion met, no exclusion criterion met.
    Eligible,
    /// At least one criterion decides against.
    Ineligible,
    /// Nothing decides against, something is unknown.
    Undetermined,
}

/// Eligibility was assessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EligibilityRecorded {
    /// Version of the trial's criteria.
    pub criteria_version: u32,
    /// Every criterion with its result.
    pub assessments: Vec<CriterionAssessment>,
    /// What they say together.
    pub outcome: EligibilityOutcome,
    /// Codes of the observations that are missing, or that cannot be compared with what the criterion says.
    pub missing_observations: Vec<String>,
    /// Codes of the criteria that the investigator has not judged yet.
    pub missing_judgements: Vec<String>,
}

/// Screening ended without enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScreeningFailed {
    /// Why: codes of criteria, of rules such as `site-cap-reached`, or what somebody wrote.
    pub reasons: Vec<Prose>,
}

/// The subject was enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectEnrolled {}

/// The subject was allocated to an arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectRandomised {
    /// The arm's code.
    pub arm: Blinded<String>,
}

/// The subject's participation ended before completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectDiscontinued {
    /// CDISC codelist NCOMPLT (C66727, extensible), such as `ADVERSE EVENT`.
    pub reason: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Prose>,
}

/// The subject completed the trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectCompleted {}

/// How participation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectEnd {
    /// As planned.
    Completed,
    /// Before completion.
    Discontinued,
}

/// How or when the subject's participation ended was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectEndCorrected {
    /// What is known now; a field that is absent did not change.
    pub changes: SubjectEndFields,
    /// What the same fields were.
    pub previous: SubjectEndFields,
    /// Why it was corrected.
    pub reason: Prose,
}

/// What is known of the end of participation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectEndFields {
    /// How it ended.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub end: Change<SubjectEnd>,
    /// CDISC codelist NCOMPLT (C66727, extensible), such as `ADVERSE EVENT`; none where the trial was completed.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub discontinuation_reason: OptionalChange<String>,
    /// More about it.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub detail: OptionalChange<Prose>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub ended_at: Change<DateTime<Utc>>,
}

/// How somebody came to learn a subject's allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnblindingCategory {
    /// The subject's care depends on it, now.
    Emergency,
    /// As the protocol foresees, such as for the expedited report of a suspected unexpected serious adverse reaction.
    Planned,
    /// Somebody learned it by mistake; they are told nothing by this.
    Inadvertent,
}

/// The blind was broken for this subject alone, by who is told as the event's actor.
///
/// What they were told does not stand here (ICH E6(R3), 4.1.4; EMA guideline on computerised systems, 6.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectUnblinded {
    /// How it came to that.
    pub category: UnblindingCategory,
    /// Why.
    pub reason: Prose,
}

event_set! {
    /// What can happen to a subject.
    pub enum SubjectEvent in Subject {
        PatientScreened = 1;
        PatientRescreened = 1;
        EligibilityRecorded = 1;
        ScreeningFailed = 1;
        SubjectEnrolled = 1;
        SubjectRandomised = 1;
        SubjectDiscontinued = 1;
        SubjectCompleted = 1;
        SubjectEndCorrected = 1;
        SubjectUnblinded = 1;
    }
}
