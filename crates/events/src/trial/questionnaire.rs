//! Questionnaires as data: items, scoring and alert rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::Role;
use crate::safety::alert::Severity;
use crate::trial::Comparison;
use crate::values::{Prose, Quantity};

/// A questionnaire as the trial uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionnaireDefinition {
    /// The instrument's short name, such as `PHQ-9` (CDISC `QSCAT`).
    pub instrument: String,
    /// The version of the definition; instrument and version together are unique in the trial.
    pub version: String,
    /// The instrument's full name.
    pub title: String,
    /// Where the instrument and its scoring are published.
    pub source: String,
    /// The items, in order.
    pub items: Vec<Item>,
    /// The scores to compute.
    #[serde(default)]
    pub scores: Vec<ScoreDefinition>,
    /// When an answer or score must be looked at.
    #[serde(default)]
    pub alert_rules: Vec<AlertRule>,
}

/// One item of a questionnaire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Short code, unique in the questionnaire (CDISC `QSTESTCD`).
    pub code: String,
    /// The item's wording, where copyright allows it to be kept (CDISC `QSTEST`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether a report without an answer is refused.
    #[serde(default)]
    pub required: bool,
    /// What may be answered.
    pub answers: AllowedAnswers,
}

/// What may be answered to an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AllowedAnswers {
    /// A whole number from `min` to `max`, both allowed.
    Integer {
        /// Smallest answer.
        min: i32,
        /// Greatest answer.
        max: i32,
    },
    /// Any number from `min` to `max`, both allowed.
    Number {
        /// Smallest answer.
        min: Quantity,
        /// Greatest answer.
        max: Quantity,
    },
    /// One of the listed options.
    Choice {
        /// The options.
        options: Vec<AnswerOption>,
    },
    /// Free text of at most `length_max` characters.
    Text {
        /// Greatest number of characters.
        length_max: u32,
    },
}

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a code, or an object of `code` and `value`, the number that it counts for")]
pub enum AnswerOption {
    /// A code that counts for nothing.
    Code(String),
    /// A code with the number that it counts for in scores and alert rules.
    Valued(ValuedOption),
}

/// A code with the number that it counts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuedOption {
    /// The code that is answered.
    pub code: String,
    /// The number.
    pub value: Quantity,
}

impl AnswerOption {
    /// The code that is answered.
    pub fn code(&self) -> &str {
        match self {
            AnswerOption::Code(code) => code,
            AnswerOption::Valued(option) => &option.code,
        }
    }

    /// The number that it counts for, where it does.
    pub const fn value(&self) -> Option<Quantity> {
        match self {
            AnswerOption::Code(_) => None,
            AnswerOption::Valued(option) => Some(option.value),
        }
    }
}

/// How a score is computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreDefinition {
    /// Short code, unique in the questionnaire, such as `TOTAL`.
    pub code: String,
    /// The items that count.
    pub items: Vec<String>,
    /// Those of them whose answers count the other way round: smallest and greatest answer added, less the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reversed: Vec<String>,
    /// How they are combined.
    pub method: ScoreMethod,
    /// What happens where answers are missing.
    pub missing: MissingRule,
    /// Named ranges of the score, such as degrees of severity.
    #[serde(default)]
    pub bands: Vec<Band>,
}

/// How items are combined into a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreMethod {
    /// The sum of the answers.
    Sum,
    /// Their arithmetic mean, rounded half away from zero to six decimals.
    Mean,
}

/// What happens where answers are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MissingRule {
    /// The score needs every item; otherwise it is not computed.
    Complete,
    /// Up to `missing_max` items are replaced by the mean of the others
    /// (rounded half away from zero to six decimals); with more the score is not computed.
    Prorate {
        /// Greatest number of missing items.
        missing_max: u32,
    },
}

/// A named range of a score, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Lowest score of the band.
    pub from: Quantity,
    /// Highest score of the band.
    pub to: Quantity,
    /// Its name, such as `moderate`.
    pub label: String,
}

/// A rule that raises an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// Short code, unique in the questionnaire.
    pub code: String,
    /// What the rule looks at.
    pub measure: AlertMeasure,
    /// How it compares.
    pub operator: Comparison,
    /// What it compares with: a number, or the code of an option of the item (`equals`, `not-equals`).
    pub value: AlertValue,
    /// How severe the alert is.
    pub severity: Severity,
    /// Who is told first.
    pub recipients: Vec<Role>,
    /// Minutes until an alert that nobody acknowledged is escalated.
    pub acknowledge_within_minutes: u32,
}

/// What an alert rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AlertMeasure {
    /// The answer to an item.
    Answer {
        /// The item's code.
        item: String,
    },
    /// A computed score.
    Score {
        /// The score's code.
        score: String,
    },
}

/// What an alert rule compares with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a number or the code of an option")]
pub enum AlertValue {
    /// A number.
    Number(Quantity),
    /// The code of an option.
    Option(String),
}

impl From<i32> for AlertValue {
    fn from(number: i32) -> Self {
        AlertValue::Number(number.into())
    }
}

/// An answer to one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a number or text")]
pub enum Answer {
    /// A number.
    Number(Quantity),
    /// A code or free text.
    Text(Prose),
}

/// Answers by item code; an item that is absent was not answered.
pub type Answers = BTreeMap<String, Answer>;

/// A computed score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// The score's code.
    pub code: String,
    /// Its value; absent where too many answers were missing.
    pub value: Option<Quantity>,
    /// The band that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<String>,
    /// How many of its items were answered.
    pub answered: u32,
    /// How many items it has.
    pub items: u32,
}

/// An alert rule that an event met, with all that the alert needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriggeredRule {
    /// The rule's code.
    pub rule: String,
    /// How severe the alert is.
    pub severity: Severity,
    /// What was seen, such as `score TOTAL = 21, at-least 20`.
    pub finding: String,
    /// Who is told first.
    pub recipients: Vec<Role>,
    /// Minutes until an alert that nobody acknowledged is escalated.
    pub acknowledge_within_minutes: u32,
}
