//! Asking whether a patient meets a trial's criteria, without recording anything.

use authority::Sight;
use chrono::{DateTime, Utc};
use decider::{Facts, Halt, Inquire, Need};
use events::enrolment::subject::{CriterionResult, EligibilityOutcome};
use events::envelope::References;
use events::ids::{PatientId, SubjectId, TrialId};
use events::trial::{CriterionCategory, ObservationValue};
use schemars::JsonSchema;
use serde::Serialize;

use super::eligibility::{Moment, assess};
use super::subject::{Subject, SubjectError};
use crate::access::outlook::Outlook;
use crate::patient::{self, Patient, PatientError};
use crate::place::Place;
use crate::trial::{self, Trial, TrialError};
use crate::validate::NotFound;

/// The question, as somebody asks it who sees only so much.
#[derive(Clone, Debug)]
pub struct CheckEligibility {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// What they see of participants.
    pub clinical: Sight,
    /// What they see of trials' protocols.
    pub protocols: Sight,
}

/// Whether a patient meets the criteria in force, on what is known now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EligibilityCheck {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// Whether every inclusion criterion is met and no exclusion criterion is.
    pub eligible: bool,
    /// The same, with what is not known yet told apart.
    pub outcome: EligibilityOutcome,
    /// The version of the criteria.
    pub criteria_version: u32,
    /// Every criterion, in the order in which they are defined.
    pub criteria: Vec<CriterionCheck>,
    /// Codes of observations that are missing.
    pub missing_observations: Vec<String>,
    /// Codes of criteria that the investigator has not judged yet.
    pub missing_judgements: Vec<String>,
}

/// A criterion with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CriterionCheck {
    /// Its code (CDISC `IETESTCD`).
    pub code: String,
    /// Its text (CDISC `IETEST`).
    pub text: String,
    /// Inclusion or exclusion.
    pub category: CriterionCategory,
    /// Whether it is met.
    pub result: CriterionResult,
    /// Whether the result keeps the patient out.
    pub against: bool,
    /// The value that was looked at, unless it is personal data.
    pub seen: Option<ObservationValue>,
    /// The UCUM unit of that value.
    pub seen_unit: Option<String>,
}

impl Inquire for CheckEligibility {
    type Answer = EligibilityCheck;

    fn reads(&self) -> Vec<Need> {
        vec![
            Need::of::<Patient>(self.patient_id),
            Need::of::<Trial>(self.trial_id),
            Need::of::<Subject>(SubjectId::of(self.patient_id, self.trial_id)),
        ]
    }

    fn answer(&self, now: DateTime<Utc>, facts: &Facts) -> Result<EligibilityCheck, Halt> {
        let Self { patient_id, trial_id, .. } = *self;
        let person = patient::registered(facts, patient_id, None)?;
        // What is out of sight does not exist.
        if !Outlook::new(&self.clinical, facts).covers(&References::patient(patient_id))? {
            return Err(NotFound::halt(PatientError::NOT_FOUND, "patient", patient_id, None));
        }
        let course = trial::registered(facts, trial_id, Some("trial_id"))?;
        if !Outlook::new(&self.protocols, facts).is_within(trial_id)? {
            return Err(NotFound::halt(TrialError::NOT_FOUND, "trial", trial_id, Some("trial_id")));
        }
        let criteria = course.criteria.as_ref().ok_or(SubjectError::NoCriteria)?;
        let subject = match facts.get::<Subject>(SubjectId::of(patient_id, trial_id))? {
            Subject::Screened(participation) => Some(&**participation),
            Subject::Unscreened => None,
        };
        let recorded = subject.and_then(|participation| participation.assessed_on(criteria));
        let judgements = recorded.map(|recorded| recorded.judgements(&criteria.criteria)).unwrap_or_default();
        let place = match subject {
            Some(participation) => Place::site(facts, participation.site_id),
            None => person.place(facts),
        };
        let moment = Moment { time: now, day: place.day(now)?, place: &place };
        let assessment = assess(&criteria.criteria, person, &judgements, &moment)?;
        let checked = criteria.criteria.iter().zip(assessment.assessments).map(|(criterion, found)| CriterionCheck {
            code: found.code,
            text: criterion.text.clone(),
            category: criterion.category,
            result: found.result,
            against: found.against,
            seen: found.seen,
            seen_unit: found.seen_unit,
        });
        Ok(EligibilityCheck {
            patient_id,
            trial_id,
            eligible: assessment.outcome == EligibilityOutcome::Eligible,
            outcome: assessment.outcome,
            criteria_version: criteria.version,
            criteria: checked.collect(),
            missing_observations: assessment.missing_observations,
            missing_judgements: assessment.missing_judgements,
        })
    }
}
