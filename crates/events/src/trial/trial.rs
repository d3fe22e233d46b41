//! Events of a `trial` stream: the protocol and its course.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::Role;
use crate::identifier::{same, same_language};
use crate::ids::SiteId;
use crate::readings::rule::ReadingRule;
use crate::trial::questionnaire::QuestionnaireDefinition;
use crate::values::Quantity;

/// How participants reach enrolment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnrolmentMode {
    /// The enrolment process manager screens, checks eligibility and enrols.
    #[default]
    Automatic,
    /// Site staff or another system sends each command itself.
    Manual,
}

/// Who knows the treatment allocation (CDISC codelist C66735, `TBLIND`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Blinding {
    /// Everybody knows.
    OpenLabel,
    /// The participant does not know.
    SingleBlind,
    /// Neither participant nor investigator knows.
    DoubleBlind,
}

impl Blinding {
    /// Whether the trial hides treatment allocation from nobody in this role.
    pub const fn shows_allocation_to(self, role: Role) -> bool {
        match self {
            Blinding::OpenLabel => true,
            Blinding::SingleBlind => role.sees_allocation() || !matches!(role, Role::Participant),
            Blinding::DoubleBlind => role.sees_allocation(),
        }
    }
}

/// Whether a criterion lets in or keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CriterionCategory {
    /// Must be met (CDISC `IECAT` = INCLUSION).
    Inclusion,
    /// Must not be met (CDISC `IECAT` = EXCLUSION).
    Exclusion,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// Smaller than.
    LessThan,
    /// Smaller than or equal to.
    AtMost,
    /// Equal to.
    Equals,
    /// Not equal to.
    NotEquals,
    /// Greater than or equal to.
    AtLeast,
    /// Greater than.
    GreaterThan,
}

/// What a criterion looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CriterionTest {
    /// Compares the patient's latest observation of `code`; `AGE` (years) and
    /// `SEX` come from the demographics where there is no such observation.
    Observation {
        /// The observation's code, such as `MMSE`.
        code: String,
        /// How to compare.
        operator: Comparison,
        /// What to compare with.
        value: ObservationValue,
        /// UCUM unit of the number, such as `kg` or `mmol/L`; left out for a number without a unit. What was observed
        /// in another unit is converted where UCUM says how, else it decides nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
    },
    /// Judged by the investigator, who states the result.
    Judgement,
}

/// One eligibility criterion.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Short code, unique in the trial (CDISC `IETESTCD`).
    pub code: String,
    /// The criterion's text (CDISC `IETEST`).
    pub text: String,
    /// Inclusion or exclusion.
    pub category: CriterionCategory,
    /// How it is decided.
    pub test: CriterionTest,
}

/// An observed value: a number or a code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a number or a code")]
pub enum ObservationValue {
    /// A number, in the observation's unit.
    Number(Quantity),
    /// A coded value, such as `F`.
    Code(String),
}

/// The trial was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRegistered {
    /// The sponsor's protocol number, unique in the installation (CDISC `STUDYID`).
    pub protocol: String,
    /// The trial's title.
    pub title: String,
    /// The trial's phase (CDISC `TPHASE`), such as `PHASE II TRIAL`.
    pub phase: Option<String>,
    /// Who knows the allocation.
    pub blinding: Blinding,
    /// Planned number of subjects.
    pub planned_enrolment: u32,
    /// How participants reach enrolment.
    pub enrolment_mode: EnrolmentMode,
}

/// A site joined the trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteJoined {
    /// The site.
    pub site_id: SiteId,
    /// The site's number, unique in the trial (CDISC `SITEID`).
    pub code: String,
}

/// An arm was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArmAdded {
    /// Short code, unique in the trial (CDISC `ARMCD`).
    pub code: String,
    /// Name (CDISC `ARM`).
    pub name: String,
    /// Parts of the allocation ratio that the arm gets.
    pub allocation_weight: u32,
}

/// The eligibility criteria were defined, in place of earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EligibilityDefined {
    /// From 1, up by one with every definition.
    pub criteria_version: u32,
    /// All criteria.
    pub criteria: Vec<Criterion>,
}

/// A consent form was published and is in force from its effective date on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentFormPublished {
    /// The form's version, unique with its language.
    pub form_version: String,
    /// BCP 47 language tag.
    pub language: String,
    /// SHA-256 of the form's text, 64 hexadecimal digits.
    pub text_sha256: String,
    /// First day on which it may be signed.
    pub effective_on: NaiveDate,
}

/// A questionnaire was defined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionnaireDefined {
    /// The definition.
    pub questionnaire: QuestionnaireDefinition,
}

/// The trial opened for enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentOpened {}

/// Enrolment was paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentPaused {
    /// Why.
    pub reason: String,
}

/// Enrolment was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentClosed {
    /// Why.
    pub reason: String,
}

/// The text of a message was defined, in place of earlier ones of this code and language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageTemplateDefined {
    /// The template's code.
    pub template: String,
    /// BCP 47 language tag.
    pub language: String,
    /// From 1, up by one with every definition of this code and language.
    pub template_version: u32,
    /// The subject line of e-mails, and the title where an app shows one.
    pub subject: String,
    /// The text, with placeholders in braces.
    pub text: String,
}

impl MessageTemplateDefined {
    /// Whether it is of this code and language; those that look the same are the same.
    pub fn is_of(&self, template: &str, language: &str) -> bool {
        same(&self.template, template) && same_language(&self.language, language)
    }
}

/// The rules by which readings raise alerts were defined, in place of earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingRulesDefined {
    /// From 1, up by one with every definition.
    pub rules_version: u32,
    /// All of them.
    pub rules: Vec<ReadingRule>,
}

event_set! {
    /// What can happen to a trial.
    pub enum TrialEvent in Trial {
        TrialRegistered = 1;
        SiteJoined = 1;
        ArmAdded = 1;
        EligibilityDefined = 1;
        ConsentFormPublished = 1;
        QuestionnaireDefined = 1;
        EnrolmentOpened = 1;
        EnrolmentPaused = 1;
        EnrolmentClosed = 1;
        MessageTemplateDefined = 1;
        ReadingRulesDefined = 1;
    }
}
