//! Commands to a trial.

use chrono::NaiveDate;
use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::envelope::References;
use events::identifier;
use events::ids::{ProtocolNumberId, TrialId};
use events::patient::Sex;
use events::trial::protocol_number::ProtocolNumberClaimed;
use events::trial::questionnaire::QuestionnaireDefinition;
use events::trial::{
    ArmAdded, Blinding, Comparison, ConsentFormPublished, Criterion, CriterionTest, EligibilityDefined,
    EnrolmentClosed, EnrolmentMode, EnrolmentOpened, EnrolmentPaused, ObservationValue, QuestionnaireDefined,
    TrialRegistered,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnrolmentStatus, Trial, TrialError, registered};
use crate::enrolment::eligibility::{AGE, SEX, YEAR};
use crate::epro::definition::check_definition;
use crate::epro::instruments::Instrument;
use crate::place::Place;
use crate::site::Site;
use crate::trial::protocol_number::ProtocolNumber;
use crate::validate::{self, Faults, Invalid};
use crate::when::{When, read_day};

/// Greatest planned number of subjects.
const PLANNED_ENROLMENT_MAX: u32 = 1_000_000;
/// Greatest part of the allocation ratio.
const ALLOCATION_WEIGHT_MAX: u32 = 1_000;

/// Registers a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterTrial {
    /// The sponsor's protocol number, unique in the installation.
    pub protocol: String,
    /// The trial's title.
    pub title: String,
    /// The trial's phase, such as `PHASE II TRIAL`.
    #[serde(default)]
    pub phase: Option<String>,
    /// Who knows the treatment allocation.
    pub blinding: Blinding,
    /// Planned number of subjects, at least 1.
    pub planned_enrolment: u32,
    /// How participants reach enrolment; by default the enrolment process manager leads them.
    #[serde(default)]
    pub enrolment_mode: EnrolmentMode,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for RegisterTrial {
    type Target = TrialId;
    const NAME: &'static str = "RegisterTrial";

    fn reads(&self, trial_id: TrialId) -> Vec<Need> {
        vec![Need::of::<Trial>(trial_id), Need::of::<ProtocolNumber>(ProtocolNumberId::of(&self.protocol))]
    }

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("protocol", &self.protocol),
            validate::text("title", &self.title),
            validate::optional_text("phase", self.phase.as_deref()),
            validate::range("planned_enrolment", self.planned_enrolment, 1, PLANNED_ENROLMENT_MAX),
        ])?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        if *facts.get::<Trial>(trial_id)? != Trial::Unregistered {
            return Err(TrialError::AlreadyRegistered.into());
        }
        let claim = ProtocolNumberId::of(&self.protocol);
        if *facts.get::<ProtocolNumber>(claim)? != ProtocolNumber::Free {
            return Err(TrialError::ProtocolTaken.into());
        }
        let registered = TrialRegistered {
            protocol: self.protocol.clone(),
            title: self.title.clone(),
            phase: self.phase.clone(),
            blinding: self.blinding,
            planned_enrolment: self.planned_enrolment,
            enrolment_mode: self.enrolment_mode,
        };
        let claimed = ProtocolNumberClaimed { trial_id, protocol: self.protocol.clone() };
        Ok(Decision::new(References::trial(trial_id), occurred_at).append(trial_id, registered).append(claim, claimed))
    }
}

/// Adds an arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddArm {
    /// Short code, unique in the trial.
    pub code: String,
    /// Name.
    pub name: String,
    /// Parts of the allocation ratio that the arm gets; by default 1.
    #[serde(default = "one")]
    pub allocation_weight: u32,
    /// When it happened; by default now.
    pub occurred_at: When,
}

const fn one() -> u32 {
    1
}

impl Command for AddArm {
    type Target = TrialId;
    const NAME: &'static str = "AddArm";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("code", &self.code),
            validate::text("name", &self.name),
            validate::range("allocation_weight", self.allocation_weight, 1, ALLOCATION_WEIGHT_MAX),
        ])?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        let course = registered(facts, trial_id, None)?;
        if course.enrolment != EnrolmentStatus::NotOpened {
            return Err(TrialError::ArmsFixed.into());
        }
        if let Some(known) = course.arm(&self.code) {
            return Err(TrialError::ArmExists(known.to_owned()).into());
        }
        let (code, name) = (self.code.clone(), self.name.clone());
        let added = ArmAdded { code, name, allocation_weight: self.allocation_weight };
        Ok(Decision::new(References::trial(trial_id), occurred_at).append(trial_id, added))
    }
}

/// Defines the eligibility criteria, in place of earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineEligibility {
    /// All criteria, at least one.
    pub criteria: Vec<Criterion>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for DefineEligibility {
    type Target = TrialId;
    const NAME: &'static str = "DefineEligibility";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        self.check()?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        let course = registered(facts, trial_id, None)?;
        let criteria_version = course.criteria.as_ref().map_or(1, |criteria| criteria.version + 1);
        let defined = EligibilityDefined { criteria_version, criteria: self.criteria.clone() };
        Ok(Decision::new(References::trial(trial_id), occurred_at).append(trial_id, defined))
    }
}

impl DefineEligibility {
    fn check(&self) -> Result<(), Faults> {
        if self.criteria.is_empty() {
            return Err(Invalid::Blank { field: "criteria".to_owned() }.into());
        }
        validate::list("criteria", &self.criteria)?;
        let codes = self.criteria.iter().map(|criterion| criterion.code.as_str());
        let criteria = self.criteria.iter().enumerate().map(|(index, criterion)| {
            let field = |name: &str| format!("criteria/{index}/{name}");
            validate::all([
                validate::code(&field("code"), &criterion.code).map_err(Faults::from),
                validate::prose(&field("text"), &criterion.text).map_err(Faults::from),
                check_test(&field("test"), &criterion.test),
            ])
        });
        let distinct = validate::distinct("criteria", codes).map_err(Faults::from);
        validate::all(criteria.chain([distinct]))
    }
}

/// Checks that a test can decide something.
fn check_test(field: &str, test: &CriterionTest) -> Result<(), Faults> {
    let CriterionTest::Observation { code, operator, value, unit } = test else { return Ok(()) };
    let at = |name: &str| format!("{field}/{name}");
    let must = |holds: bool, name: &str, expected: &str| match holds {
        true => Ok(()),
        false => Err(Invalid::OutOfRange { field: at(name), expected: expected.to_owned() }),
    };
    let (is_age, is_sex) = (identifier::same(code, AGE), identifier::same(code, SEX));
    let coded = match value {
        ObservationValue::Code(code) => Some(code.as_str()),
        ObservationValue::Number(_) => None,
    };
    let is_equality = matches!(operator, Comparison::Equals | Comparison::NotEquals);
    let is_sex_code = coded.is_some_and(|coded| [Sex::F, Sex::M, Sex::Intersex].map(Sex::code).contains(&coded));
    let is_year = unit.as_deref().is_none_or(|unit| unit == YEAR);
    validate::all([
        validate::code(&at("code"), code),
        validate::optional_unit(&at("unit"), unit.as_deref()),
        coded.map_or(Ok(()), |coded| validate::code(&at("value"), coded)),
        must(coded.is_none() || is_equality, "operator", "`equals` or `not-equals`: codes have no order"),
        must(coded.is_none() || unit.is_none(), "unit", "left out: a code has no unit"),
        must(!is_age || coded.is_none(), "value", "a number of years"),
        must(!is_age || is_year, "unit", "left out or `a`: the age counts in completed years"),
        must(!is_sex || is_sex_code, "value", "`F`, `M` or `INTERSEX` (CDISC codelist C66731)"),
    ])
}

/// Publishes a consent form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishConsentForm {
    /// The form's version, unique with its language.
    pub form_version: String,
    /// BCP 47 language tag.
    pub language: String,
    /// SHA-256 of the form's text, 64 lower-case hexadecimal digits.
    pub text_sha256: String,
    /// First day on which it may be signed.
    #[serde(deserialize_with = "read_day")]
    pub effective_on: NaiveDate,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for PublishConsentForm {
    type Target = TrialId;
    const NAME: &'static str = "PublishConsentForm";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("form_version", &self.form_version),
            validate::language("language", &self.language),
            validate::sha256("text_sha256", &self.text_sha256),
            validate::planned_day("effective_on", self.effective_on),
        ])?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        let course = registered(facts, trial_id, None)?;
        if course.form(&self.form_version, &self.language).is_some() {
            return Err(TrialError::FormExists(self.form_version.clone()).into());
        }
        let published = ConsentFormPublished {
            form_version: self.form_version.clone(),
            language: self.language.clone(),
            text_sha256: self.text_sha256.clone(),
            effective_on: self.effective_on,
        };
        Ok(Decision::new(References::trial(trial_id), occurred_at).append(trial_id, published))
    }
}

/// Where a questionnaire's definition comes from: give one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum QuestionnaireSource {
    /// An instrument that comes with the program.
    Instrument(Instrument),
    /// A definition of the trial's own.
    Definition(QuestionnaireDefinition),
}

/// Defines a questionnaire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineQuestionnaire {
    /// The questionnaire.
    pub questionnaire: QuestionnaireSource,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for DefineQuestionnaire {
    type Target = TrialId;
    const NAME: &'static str = "DefineQuestionnaire";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let questionnaire = match &self.questionnaire {
            QuestionnaireSource::Instrument(instrument) => instrument.definition(),
            QuestionnaireSource::Definition(definition) => definition.clone(),
        };
        check_definition("questionnaire/definition", &questionnaire)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        let course = registered(facts, trial_id, None)?;
        if course.questionnaire(&questionnaire.instrument, &questionnaire.version).is_some() {
            let QuestionnaireDefinition { instrument, version, .. } = questionnaire;
            return Err(TrialError::QuestionnaireExists(instrument, version).into());
        }
        course.require_place_for(&questionnaire, occurred_at)?;
        let defined = QuestionnaireDefined { questionnaire };
        Ok(Decision::new(References::trial(trial_id), occurred_at).append(trial_id, defined))
    }
}

/// Opens the trial for enrolment, at first or after a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenEnrolment {
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for OpenEnrolment {
    type Target = TrialId;
    const NAME: &'static str = "OpenEnrolment";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let course = registered(facts, trial_id, None)?;
        let occurred_at = course.next(self.occurred_at, context)?;
        let decision = Decision::new(References::trial(trial_id), occurred_at);
        match course.enrolment {
            EnrolmentStatus::Open => return Ok(decision),
            EnrolmentStatus::Closed => return Err(TrialError::Closed.into()),
            EnrolmentStatus::NotOpened | EnrolmentStatus::Paused => {}
        }
        let missing = [
            (course.arms.is_empty(), "an arm"),
            (course.criteria.is_none(), "eligibility criteria"),
            (course.forms.is_empty(), "a consent form"),
            (!any_site_active(course, facts)?, "an active site"),
        ];
        let missing: Vec<&str> = missing.into_iter().filter_map(|(missing, what)| missing.then_some(what)).collect();
        if !missing.is_empty() {
            return Err(TrialError::NotReady(missing.join(", ")).into());
        }
        Ok(decision.append(trial_id, EnrolmentOpened {}))
    }
}

fn any_site_active(course: &super::RegisteredTrial, facts: &Facts) -> Result<bool, Halt> {
    facts.require(course.sites.iter().map(|(site_id, _)| Need::of::<Site>(*site_id)))?;
    for (site_id, _) in &course.sites {
        if facts.get::<Site>(*site_id)?.is_active() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pauses enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseEnrolment {
    /// Why.
    pub reason: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for PauseEnrolment {
    type Target = TrialId;
    const NAME: &'static str = "PauseEnrolment";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let course = registered(facts, trial_id, None)?;
        let occurred_at = course.next(self.occurred_at, context)?;
        let decision = Decision::new(References::trial(trial_id), occurred_at);
        match course.enrolment {
            EnrolmentStatus::Paused => Ok(decision),
            EnrolmentStatus::Open => {
                let paused = EnrolmentPaused { reason: self.reason.clone() };
                Ok(decision.append(trial_id, paused))
            }
            EnrolmentStatus::NotOpened => Err(TrialError::NotOpen.into()),
            EnrolmentStatus::Closed => Err(TrialError::Closed.into()),
        }
    }
}

/// Closes enrolment for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseEnrolment {
    /// Why.
    pub reason: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for CloseEnrolment {
    type Target = TrialId;
    const NAME: &'static str = "CloseEnrolment";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let course = registered(facts, trial_id, None)?;
        let occurred_at = course.next(self.occurred_at, context)?;
        let decision = Decision::new(References::trial(trial_id), occurred_at);
        match course.enrolment {
            EnrolmentStatus::Closed => Ok(decision),
            EnrolmentStatus::NotOpened => Err(TrialError::NotOpen.into()),
            EnrolmentStatus::Open | EnrolmentStatus::Paused => {
                let closed = EnrolmentClosed { reason: self.reason.clone() };
                Ok(decision.append(trial_id, closed))
            }
        }
    }
}
