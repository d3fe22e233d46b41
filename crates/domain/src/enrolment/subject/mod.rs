//! The subject: a patient in a trial.

mod commands;
mod end;
mod unblinding;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use decider::{Aggregate, Facts, Halt};
use events::enrolment::subject::{CriterionAssessment, CriterionResult, EligibilityOutcome, SubjectEnd, SubjectEvent};
use events::ids::{PatientId, SiteId, SubjectId, TrialId};
use events::trial::{Criterion, CriterionTest};
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::trial::Criteria;
use crate::validate::NotFound;

pub use commands::{
    CompleteSubject, DiscontinueSubject, EnrolSubject, FailScreening, RandomiseSubject, RecordEligibility,
    ScreenPatient,
};
pub use end::{CorrectSubjectEnd, End};
pub use unblinding::UnblindSubject;

/// A subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The patient was not screened for the trial.
    #[default]
    Unscreened,
    /// The patient was screened.
    Screened(Box<Participation>),
}

/// A screened subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participation {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// How many times the patient was screened for the trial.
    pub screening_number: u32,
    /// Whether the subject was enrolled since the latest screening.
    pub enrolled: bool,
    /// Whether the subject was ever allocated to an arm.
    pub randomised: bool,
    /// Where the subject stands.
    pub stage: Stage,
    /// When the subject came there.
    pub stage_since: DateTime<Utc>,
    /// The latest assessment of eligibility.
    pub eligibility: Option<Eligibility>,
    /// How participation ended, where it did after screening or before completion.
    pub end: Option<End>,
}

impl Participation {
    /// Whether the subject takes part no longer, or never did.
    pub const fn has_left(&self) -> bool {
        self.end.is_some() || matches!(self.stage, Stage::ScreenFailed | Stage::Discontinued | Stage::Completed)
    }
}

/// Where a subject stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// In screening.
    Screening,
    /// Screening ended without enrolment.
    ScreenFailed,
    /// Enrolled, not allocated yet.
    Enrolled,
    /// Allocated to an arm.
    Randomised,
    /// Ended before completion.
    Discontinued,
    /// Completed the trial.
    Completed,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Stage::Screening => "in screening",
            Stage::ScreenFailed => "screen failed",
            Stage::Enrolled => "enrolled",
            Stage::Randomised => "randomised",
            Stage::Discontinued => "discontinued",
            Stage::Completed => "completed",
        })
    }
}

/// An assessment of eligibility.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility {
    /// The version of the criteria.
    pub criteria_version: u32,
    /// The criteria with their results.
    pub assessments: Vec<CriterionAssessment>,
    /// What they say together.
    pub outcome: EligibilityOutcome,
}

rules! {
    /// Why a command to a subject is refused.
    pub enum SubjectError {
        AlreadyScreened(subject_id: SubjectId) => ALREADY_SCREENED = "subject-already-screened":
            "the patient was screened for this trial already, as subject {0}";
        NotInScreening(stage: Stage) => NOT_IN_SCREENING = "subject-not-in-screening":
            "the subject is not in screening but {0}";
        NoCriteria => NO_CRITERIA = "trial-without-criteria": "the trial has no eligibility criteria";
        NotJudged(code: String) => NOT_JUDGED = "criterion-not-judged":
            "`{0}` is not a criterion that the investigator judges", field format!("judgements/{code}");
        NotEligible(why: String) => NOT_ELIGIBLE = "subject-not-eligible":
            "the subject is not known to be eligible: {0}";
        NotEnrolled(stage: Stage) => NOT_ENROLLED = "subject-not-enrolled":
            "only who is enrolled is allocated to an arm; the subject is {0}";
        UnknownArm => UNKNOWN_ARM = "arm-not-found": "the trial has no such arm", field "arm";
        Ended => ENDED = "subject-ended": "the subject's participation has ended";
        NotEnded => NOT_ENDED = "subject-not-ended": "the subject's participation has not ended";
        NoReason => NO_REASON = "subject-discontinued-without-reason":
            "a subject that was discontinued has a reason", field "discontinuation_reason";
        CompletedForNoReason => COMPLETED_FOR_NO_REASON = "subject-completed-with-reason":
            "a subject that completed the trial has neither a reason for discontinuation nor details of it",
            field "discontinuation_reason";
        NotRandomised => NOT_RANDOMISED = "subject-not-randomised": "the subject was not randomised";
        OutOfOrder(stage: Stage, since: NaiveDate) => OUT_OF_ORDER = "subject-stage-later":
            "the subject is {0} since {1}, later than this", field "occurred_at";
        UnblindedNow => UNBLINDED_NOW = "unblinding-is-now":
            "the allocation is told now: leave the time out", field "occurred_at";
        NotBlinded => NOT_BLINDED = "trial-not-blinded":
            "treatment allocation is hidden from nobody in this trial: there is nothing to unblind";
        _ => NOT_FOUND = "subject-not-found";
    }
}

/// A screened subject. `field` names the command's field that holds the id.
///
/// # Errors
/// [`Halt`] where it is not loaded, or was never screened.
pub fn screened<'facts>(
    facts: &'facts Facts,
    subject_id: SubjectId,
    field: Option<&'static str>,
) -> Result<&'facts Participation, Halt> {
    match facts.get::<Subject>(subject_id)? {
        Subject::Screened(participation) => Ok(participation),
        Subject::Unscreened => Err(NotFound::halt(SubjectError::NOT_FOUND, "subject", subject_id, field)),
    }
}

impl Participation {
    /// The latest assessment, where it is of these criteria: judged on other ones is not judged on these, whatever their codes.
    pub fn assessed_on(&self, criteria: &Criteria) -> Option<&Eligibility> {
        self.eligibility.as_ref().filter(|recorded| recorded.criteria_version == criteria.version)
    }

    fn enter(&mut self, stage: Stage, since: DateTime<Utc>) {
        self.stage = stage;
        self.stage_since = since;
    }

    /// A stage was reached: where participation has ended already, before that end.
    fn reach(&mut self, stage: Stage, since: DateTime<Utc>) {
        match &mut self.end {
            Some(end) => end.not_before = since,
            None => self.enter(stage, since),
        }
    }

    /// Refuses what is neither done in this stage nor told late of it: participation ended since, and what happened before
    /// its end is taken whenever it arrives.
    ///
    /// # Errors
    /// `otherwise`; [`SubjectError::OutOfOrder`]; [`Halt::Needs`] where the place is not loaded yet.
    pub fn require_in(
        &self,
        stage: Stage,
        occurred_at: DateTime<Utc>,
        place: &Place<'_>,
        otherwise: impl FnOnce(Stage) -> SubjectError,
    ) -> Result<(), Halt> {
        if self.stage == stage {
            return self.require_after_stage(occurred_at, place);
        }
        let was_there = match stage {
            Stage::Screening => !self.enrolled && !self.randomised,
            Stage::Enrolled => self.enrolled && !self.randomised,
            Stage::ScreenFailed | Stage::Randomised | Stage::Discontinued | Stage::Completed => false,
        };
        match &self.end {
            Some(end) if was_there && place.is_before_end(occurred_at, self.stage_since)? => {
                place.require_not_before(occurred_at, end.not_before, |since| SubjectError::OutOfOrder(stage, since))
            }
            _ => Err(otherwise(self.stage).into()),
        }
    }

    /// What comes next cannot lie before the stage that it comes after.
    ///
    /// # Errors
    /// [`SubjectError::OutOfOrder`]; [`Halt::Needs`] where the place is not loaded yet.
    pub fn require_after_stage(&self, occurred_at: DateTime<Utc>, place: &Place<'_>) -> Result<(), Halt> {
        place.require_not_before(occurred_at, self.stage_since, |since| SubjectError::OutOfOrder(self.stage, since))
    }

    /// Whether the patient may be screened for the trial once more: after a screening failure, or after an end before
    /// allocation.
    pub const fn may_be_screened_again(&self) -> bool {
        match self.stage {
            Stage::ScreenFailed => true,
            Stage::Discontinued => !self.randomised,
            Stage::Screening | Stage::Enrolled | Stage::Randomised | Stage::Completed => false,
        }
    }
}

impl Eligibility {
    /// What was judged about those of the criteria that the investigator judges.
    pub fn judgements(&self, criteria: &[Criterion]) -> BTreeMap<String, bool> {
        let judged = criteria.iter().filter(|criterion| criterion.test == CriterionTest::Judgement);
        judged.filter_map(|criterion| Some((criterion.code.clone(), self.judgement(&criterion.code)?))).collect()
    }

    /// What was judged about a criterion, where it was.
    pub fn judgement(&self, code: &str) -> Option<bool> {
        let assessment = self.assessments.iter().find(|assessment| assessment.code == code)?;
        match assessment.result {
            CriterionResult::Met => Some(true),
            CriterionResult::NotMet => Some(false),
            CriterionResult::Unknown => None,
        }
    }
}

impl Aggregate for Subject {
    type Id = SubjectId;
    type Event = SubjectEvent;
    const SNAPSHOT_VERSION: u16 = 5;

    fn evolve(self, event: &SubjectEvent, occurred_at: DateTime<Utc>) -> Self {
        let mut participation = match (self, event) {
            (Subject::Screened(participation), _) => participation,
            (Subject::Unscreened, SubjectEvent::PatientScreened(screened)) => {
                return Subject::Screened(Box::new(Participation {
                    patient_id: screened.patient_id,
                    trial_id: screened.trial_id,
                    site_id: screened.site_id,
                    screening_number: 1,
                    enrolled: false,
                    randomised: false,
                    stage: Stage::Screening,
                    stage_since: occurred_at,
                    eligibility: None,
                    end: None,
                }));
            }
            (Subject::Unscreened, _) => return Subject::Unscreened,
        };
        match event {
            SubjectEvent::PatientScreened(_) => {}
            SubjectEvent::PatientRescreened(again) => {
                participation.site_id = again.site_id;
                participation.screening_number = again.screening_number;
                participation.eligibility = None;
                participation.enrolled = false;
                participation.end = None;
                participation.enter(Stage::Screening, occurred_at);
            }
            SubjectEvent::EligibilityRecorded(recorded) => {
                participation.eligibility = Some(Eligibility {
                    criteria_version: recorded.criteria_version,
                    assessments: recorded.assessments.clone(),
                    outcome: recorded.outcome,
                });
            }
            SubjectEvent::ScreeningFailed(_) => participation.enter(Stage::ScreenFailed, occurred_at),
            SubjectEvent::SubjectEnrolled(_) => {
                participation.enrolled = true;
                participation.reach(Stage::Enrolled, occurred_at);
            }
            SubjectEvent::SubjectRandomised(_) => {
                participation.randomised = true;
                participation.reach(Stage::Randomised, occurred_at);
            }
            SubjectEvent::SubjectDiscontinued(discontinued) => {
                let (reason, detail) = (Some(discontinued.reason.clone()), discontinued.detail.clone());
                participation.finish(SubjectEnd::Discontinued, reason, detail, occurred_at);
            }
            SubjectEvent::SubjectCompleted(_) => {
                participation.finish(SubjectEnd::Completed, None, None, occurred_at);
            }
            SubjectEvent::SubjectEndCorrected(corrected) => participation.correct_end(&corrected.changes),
            // Whoever was unblinded goes on, or is discontinued by somebody.
            SubjectEvent::SubjectUnblinded(_) => {}
        }
        Subject::Screened(participation)
    }
}
