//! Commands to a subject.

use std::collections::BTreeMap;

use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::enrolment::ledger::{PlaceReleased, PlaceTaken, SubjectNumberAssigned};
use events::enrolment::subject::{
    CriterionAssessment, CriterionResult, EligibilityOutcome, EligibilityRecorded, PatientRescreened, PatientScreened,
    ScreeningFailed, SubjectCompleted, SubjectDiscontinued, SubjectEnrolled, SubjectRandomised,
};
use events::envelope::References;
use events::identifier;
use events::ids::{ConsentId, EnrolmentId, PatientId, SubjectId, TrialId};
use events::trial::{Criterion, CriterionTest};
use events::values::Blinded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Stage, Subject, SubjectError, screened};
use crate::consent::participant::Participant;
use crate::consent::{Consent, ConsentError};
use crate::enrolment::eligibility::{Moment, assess};
use crate::enrolment::ledger::Ledger;
use crate::place::Place;
use crate::site::Site;
use crate::validate::{self, Invalid};
use crate::when::When;
use crate::{patient, trial};

/// Screens a patient for a trial at the site where the consent was given. Whoever was screened before and never
/// allocated to an arm is screened again, under a new subject number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScreenPatient {
    /// The trial.
    pub trial_id: TrialId,
    /// The subject number, unique in the trial; by default the site's next.
    #[serde(default)]
    pub subject_number: Option<String>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for ScreenPatient {
    type Target = PatientId;
    const NAME: &'static str = "ScreenPatient";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        vec![
            Need::of::<patient::Patient>(patient_id),
            Need::of::<trial::Trial>(self.trial_id),
            Need::of::<Subject>(SubjectId::of(patient_id, self.trial_id)),
            Need::of::<Consent>(ConsentId::of(patient_id, self.trial_id)),
            Need::of::<Ledger>(EnrolmentId::of(self.trial_id)),
        ]
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        if let Some(number) = &self.subject_number {
            validate::code("subject_number", number)?;
        }
        let trial_id = self.trial_id;
        patient::registered(facts, patient_id, None)?;
        let course = trial::registered(facts, trial_id, Some("trial_id"))?;
        let subject_id = SubjectId::of(patient_id, trial_id);
        let earlier = match facts.get::<Subject>(subject_id)? {
            Subject::Unscreened => None,
            Subject::Screened(earlier) if earlier.may_be_screened_again() => Some(earlier),
            Subject::Screened(_) => return Err(SubjectError::AlreadyScreened(subject_id).into()),
        };
        course.require_open()?;
        let consent = facts.get::<Consent>(ConsentId::of(patient_id, trial_id))?;
        let site_id = consent.latest().ok_or(ConsentError::NotInForce)?.site_id;
        let place = Place::site(facts, site_id);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        consent.require_cover(occurred_at, &place)?;
        let site = facts.get::<Site>(site_id)?;
        site.require_active()?;
        let site_code = &site.identity(site_id, None)?.code;
        let ledger_id = EnrolmentId::of(trial_id);
        let ledger = facts.get::<Ledger>(ledger_id)?;
        let subject_number = ledger.number(self.subject_number.as_deref(), site_id, site_code)?;
        let assigned = SubjectNumberAssigned { subject_id, site_id, subject_number: subject_number.clone() };
        let decision = Decision::new(References::subject(trial_id, site_id, patient_id), occurred_at);
        let decision = match earlier {
            None => decision.append(subject_id, PatientScreened { patient_id, trial_id, site_id, subject_number }),
            Some(earlier) => {
                earlier.require_after_stage(occurred_at, &place)?;
                let screening_number = earlier.screening_number + 1;
                decision.append(subject_id, PatientRescreened { site_id, subject_number, screening_number })
            }
        };
        Ok(decision.append(ledger_id, assigned))
    }
}

/// Assesses the trial's criteria on what is known about the patient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordEligibility {
    /// For criteria that the investigator judges: whether they are met, by code.
    /// What was judged before and is not given stays as it was.
    #[serde(default)]
    pub judgements: BTreeMap<String, bool>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for RecordEligibility {
    type Target = SubjectId;
    const NAME: &'static str = "RecordEligibility";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let participation = screened(facts, subject_id, None)?;
        let participant = Participant::of(subject_id, participation);
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        participant.require_consent(facts, occurred_at)?;
        participation.require_in(Stage::Screening, occurred_at, &place, SubjectError::NotInScreening)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let criteria = course.criteria.as_ref().ok_or(SubjectError::NoCriteria)?;
        let person = patient::registered(facts, participant.patient_id, None)?;
        let earlier = participation.assessed_on(criteria);
        let mut judgements = self.judgements_of(&criteria.criteria)?;
        for (code, judgement) in earlier.map(|earlier| earlier.judgements(&criteria.criteria)).unwrap_or_default() {
            judgements.entry(code).or_insert(judgement);
        }
        let moment = Moment { time: occurred_at, day: self.occurred_at.day(context, &place)?, place: &place };
        let assessment = assess(&criteria.criteria, person, &judgements, &moment)?;
        let decision = Decision::new(participant.references(), occurred_at);
        let unchanged = earlier.is_some_and(|earlier| earlier.assessments == assessment.assessments);
        if unchanged {
            return Ok(decision);
        }
        let recorded = EligibilityRecorded {
            criteria_version: criteria.version,
            assessments: assessment.assessments,
            outcome: assessment.outcome,
            missing_observations: assessment.missing_observations,
            missing_judgements: assessment.missing_judgements,
        };
        Ok(decision.append(subject_id, recorded))
    }
}

impl RecordEligibility {
    /// The judgements by the codes as the criteria have them.
    fn judgements_of(&self, criteria: &[Criterion]) -> Result<BTreeMap<String, bool>, Halt> {
        let mut judgements = BTreeMap::new();
        for (code, judgement) in &self.judgements {
            // The code is the caller's own text: it goes no further than the answer.
            validate::code("judgements", code)?;
            let judged = criteria.iter().filter(|criterion| criterion.test == CriterionTest::Judgement);
            let Some(criterion) = judged.into_iter().find(|criterion| identifier::same(&criterion.code, code)) else {
                return Err(SubjectError::NotJudged(code.clone()).into());
            };
            if judgements.insert(criterion.code.clone(), *judgement).is_some() {
                return Err(Invalid::Duplicate { field: "judgements".to_owned(), value: code.clone() }.into());
            }
        }
        Ok(judgements)
    }
}

/// Ends screening without enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailScreening {
    /// Why: codes of criteria or of rules, at least one.
    pub reasons: Vec<String>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for FailScreening {
    type Target = SubjectId;
    const NAME: &'static str = "FailScreening";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        if self.reasons.is_empty() {
            return Err(Invalid::Blank { field: "reasons".to_owned() }.into());
        }
        validate::list("reasons", &self.reasons)?;
        let each = self.reasons.iter().enumerate();
        validate::all(each.map(|(index, reason)| validate::text(&format!("reasons/{index}"), reason)))?;
        let participation = screened(facts, subject_id, None)?;
        let place = Place::site(facts, participation.site_id);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        if participation.stage != Stage::Screening {
            return Err(SubjectError::NotInScreening(participation.stage).into());
        }
        participation.require_after_stage(occurred_at, &place)?;
        let participant = Participant::of(subject_id, participation);
        let failed = ScreeningFailed { reasons: self.reasons.iter().cloned().map(Into::into).collect() };
        Ok(Decision::new(participant.references(), occurred_at).append(subject_id, failed))
    }
}

/// Enrols an eligible subject and takes a place at site and trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolSubject {
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for EnrolSubject {
    type Target = SubjectId;
    const NAME: &'static str = "EnrolSubject";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let participation = screened(facts, subject_id, None)?;
        let participant = Participant::of(subject_id, participation);
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        participant.require_consent(facts, occurred_at)?;
        participation.require_in(Stage::Screening, occurred_at, &place, SubjectError::NotInScreening)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let moment = Moment { time: occurred_at, day: self.occurred_at.day(context, &place)?, place: &place };
        if let Some(why) = why_not_eligible(participation, course, facts, &moment)? {
            return Err(SubjectError::NotEligible(why).into());
        }
        let decision = Decision::new(participant.references(), occurred_at).append(subject_id, SubjectEnrolled {});
        if participation.end.is_some() {
            // Whoever has left since takes nobody's place.
            return Ok(decision);
        }
        course.require_open()?;
        let capacity = facts.get::<Site>(participant.site_id)?.require_active()?;
        let ledger_id = EnrolmentId::of(participant.trial_id);
        let ledger = facts.get::<Ledger>(ledger_id)?;
        ledger.require_place(participant.site_id, capacity.enrolment_cap, course.planned_enrolment)?;
        let taken = PlaceTaken { subject_id, site_id: participant.site_id };
        Ok(decision.append(ledger_id, taken))
    }
}

/// Why the subject may not be enrolled; nothing where the subject was found eligible on the criteria in force and what is
/// known now, corrections among it, says the same.
fn why_not_eligible(
    participation: &super::Participation,
    course: &trial::RegisteredTrial,
    facts: &Facts,
    moment: &Moment<'_>,
) -> Result<Option<String>, Halt> {
    let why = |why: &str| Ok(Some(why.to_owned()));
    let Some(criteria) = &course.criteria else { return why("the trial has no eligibility criteria") };
    let Some(recorded) = &participation.eligibility else { return why("eligibility was not assessed yet") };
    if recorded.criteria_version != criteria.version {
        return why("the criteria changed since eligibility was assessed; assess it again");
    }
    if recorded.outcome != EligibilityOutcome::Eligible {
        return Ok(Some(undecided(&recorded.assessments)));
    }
    let person = patient::registered(facts, participation.patient_id, None)?;
    let assessment = assess(&criteria.criteria, person, &recorded.judgements(&criteria.criteria), moment)?;
    if assessment.outcome == EligibilityOutcome::Eligible {
        return Ok(None);
    }
    let now = undecided(&assessment.assessments);
    Ok(Some(format!("what is known now says otherwise than the assessment: {now}; assess it again")))
}

/// Which criteria stand in the way.
fn undecided(assessments: &[CriterionAssessment]) -> String {
    let codes = |of: &dyn Fn(&&CriterionAssessment) -> bool| {
        assessments.iter().filter(of).map(|known| known.code.as_str()).collect::<Vec<_>>().join(", ")
    };
    let against = codes(&|known| known.against);
    let unknown = codes(&|known| known.result == CriterionResult::Unknown);
    match (against.is_empty(), unknown.is_empty()) {
        (false, true) => format!("{against} speaks against it"),
        (false, false) => format!("{against} speaks against it; {unknown} is not decided"),
        (true, _) => format!("{unknown} is not decided"),
    }
}

/// Allocates an enrolled subject to an arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomiseSubject {
    /// The arm's code.
    pub arm: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for RandomiseSubject {
    type Target = SubjectId;
    const NAME: &'static str = "RandomiseSubject";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::code("arm", &self.arm)?;
        let participation = screened(facts, subject_id, None)?;
        let participant = Participant::of(subject_id, participation);
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        participant.require_consent(facts, occurred_at)?;
        participation.require_in(Stage::Enrolled, occurred_at, &place, SubjectError::NotEnrolled)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let arm = course.arm(&self.arm).ok_or(SubjectError::UnknownArm)?;
        let randomised = SubjectRandomised { arm: Blinded::new(arm.to_owned()) };
        let decision = Decision::new(participant.references(), occurred_at).append(subject_id, randomised);
        if participation.end.is_none() {
            return Ok(decision);
        }
        // The place was given back with the end, and was taken all the same. Where others have it by now the site's cap is
        // raised first: nobody stands in the record beyond what was approved.
        let capacity = facts.get::<Site>(participant.site_id)?.capacity()?;
        let ledger_id = EnrolmentId::of(participant.trial_id);
        let ledger = facts.get::<Ledger>(ledger_id)?;
        ledger.require_place(participant.site_id, capacity.enrolment_cap, course.planned_enrolment)?;
        Ok(decision.append(ledger_id, PlaceTaken { subject_id, site_id: participant.site_id }))
    }
}

/// Ends a subject's participation before completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscontinueSubject {
    /// CDISC codelist NCOMPLT (C66727, extensible), such as `ADVERSE EVENT`.
    pub reason: String,
    /// More about it.
    #[serde(default)]
    pub detail: Option<String>,
    /// Only unless a consent covers that time: what was withdrawn late may have been given anew meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unless_consented: bool,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for DiscontinueSubject {
    type Target = SubjectId;
    const NAME: &'static str = "DiscontinueSubject";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::text("reason", &self.reason),
            validate::optional_prose("detail", self.detail.as_deref()),
        ])?;
        let participation = screened(facts, subject_id, None)?;
        let place = Place::site(facts, participation.site_id);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let gives_place_back = match participation.stage {
            Stage::Screening | Stage::Randomised => false,
            Stage::Enrolled => true,
            Stage::ScreenFailed | Stage::Discontinued | Stage::Completed => return Err(SubjectError::Ended.into()),
        };
        participation.require_after_stage(occurred_at, &place)?;
        let participant = Participant::of(subject_id, participation);
        if self.unless_consented {
            let consent_id = ConsentId::of(participant.patient_id, participant.trial_id);
            if facts.get::<Consent>(consent_id)?.in_force().is_some() {
                return Err(ConsentError::InForce.into());
            }
        }
        let discontinued =
            SubjectDiscontinued { reason: self.reason.clone(), detail: self.detail.clone().map(Into::into) };
        let decision = Decision::new(participant.references(), occurred_at).append(subject_id, discontinued);
        if !gives_place_back {
            return Ok(decision);
        }
        let ledger_id = EnrolmentId::of(participant.trial_id);
        facts.get::<Ledger>(ledger_id)?;
        let released = PlaceReleased { subject_id, site_id: participant.site_id };
        Ok(decision.append(ledger_id, released))
    }
}

/// Records that a subject completed the trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteSubject {
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for CompleteSubject {
    type Target = SubjectId;
    const NAME: &'static str = "CompleteSubject";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let participation = screened(facts, subject_id, None)?;
        let participant = Participant::of(subject_id, participation);
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        participant.require_consent(facts, occurred_at)?;
        match participation.stage {
            Stage::Randomised => participation.require_after_stage(occurred_at, &place)?,
            Stage::Screening | Stage::Enrolled => return Err(SubjectError::NotRandomised.into()),
            Stage::ScreenFailed | Stage::Discontinued | Stage::Completed => return Err(SubjectError::Ended.into()),
        }
        Ok(Decision::new(participant.references(), occurred_at).append(subject_id, SubjectCompleted {}))
    }
}
