//! Whether a patient meets a trial's criteria.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use decider::Halt;
use events::enrolment::subject::{CriterionAssessment, CriterionResult, EligibilityOutcome};
use events::identifier;
use events::patient::Sex;
use events::trial::{Comparison, Criterion, CriterionCategory, CriterionTest, ObservationValue};
use events::values::{Personal, Quantity};
use methods::unit;
use rust_decimal::Decimal;

use crate::patient::{Observation, Person};
use crate::place::Place;

/// The observation code of the age in completed years.
pub const AGE: &str = "AGE";
/// The observation code of the sex.
pub const SEX: &str = "SEX";
/// The UCUM unit of the age.
pub const YEAR: &str = "a";
/// The UCUM unit of a number without one.
const UNITY: &str = "1";

/// What the criteria say about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Every criterion with its result.
    pub assessments: Vec<CriterionAssessment>,
    /// What they say together.
    pub outcome: EligibilityOutcome,
    /// Codes of the observations that are missing.
    pub missing_observations: Vec<String>,
    /// Criteria that the investigator has not judged yet.
    pub missing_judgements: Vec<String>,
}

/// When and where eligibility is assessed.
pub struct Moment<'here> {
    /// The time.
    pub time: DateTime<Utc>,
    /// The day that it is there.
    pub day: NaiveDate,
    /// The place.
    pub place: &'here Place<'here>,
}

/// Assesses every criterion. `judgements` tells for criteria that the
/// investigator judges whether they are met.
///
/// # Errors
/// [`Halt::Needs`] where the place is not loaded yet.
pub fn assess(
    criteria: &[Criterion],
    person: &Person,
    judgements: &BTreeMap<String, bool>,
    moment: &Moment<'_>,
) -> Result<Assessment, Halt> {
    let mut missing_observations = Vec::new();
    let mut assessments = Vec::with_capacity(criteria.len());
    let mut outcome = EligibilityOutcome::Eligible;
    for criterion in criteria {
        let finding = match &criterion.test {
            CriterionTest::Judgement => Finding { result: judged(judgements, &criterion.code), seen: None },
            CriterionTest::Observation { code, operator, value, unit } => {
                let wanted = Wanted { code, operator: *operator, value, unit: unit.as_deref() };
                let finding = wanted.find_out(person, moment)?;
                if finding.result == CriterionResult::Unknown && !missing_observations.contains(code) {
                    missing_observations.push(code.clone());
                }
                finding
            }
        };
        let Finding { result, seen } = finding;
        let against = is_against(criterion.category, result);
        outcome = combine(outcome, against, result);
        let (seen, seen_unit) = seen.unzip();
        let seen_unit = seen_unit.flatten();
        assessments.push(CriterionAssessment { code: criterion.code.clone(), result, against, seen, seen_unit });
    }
    let is_open = |criterion: &&Criterion| {
        criterion.test == CriterionTest::Judgement && !judgements.contains_key(&criterion.code)
    };
    let missing_judgements = criteria.iter().filter(is_open).map(|criterion| criterion.code.clone()).collect();
    Ok(Assessment { assessments, outcome, missing_observations, missing_judgements })
}

/// What a criterion asks of an observation.
#[derive(Clone, Copy)]
struct Wanted<'criterion> {
    code: &'criterion str,
    operator: Comparison,
    value: &'criterion ObservationValue,
    unit: Option<&'criterion str>,
}

/// Whether a criterion is met; and the value with its unit, where it may be written down.
struct Finding {
    result: CriterionResult,
    seen: Option<(ObservationValue, Option<String>)>,
}

/// What is known of what a criterion asks for.
enum Observed<'person> {
    /// Nothing.
    Nothing,
    /// What was observed, which may be written down.
    Value(&'person Observation),
    /// A code of the demographics: personal data, not to be written down.
    Demographic(&'static str),
    /// The age in completed years, from the youngest to the oldest that the date of birth can mean: personal data.
    Age(i32, i32),
}

fn judged(judgements: &BTreeMap<String, bool>, criterion: &str) -> CriterionResult {
    of_truth(judgements.get(criterion).copied())
}

impl Wanted<'_> {
    /// What the demographics decide, which know better than what somebody wrote down at a visit; else what was
    /// observed.
    fn find_out(self, person: &Person, moment: &Moment<'_>) -> Result<Finding, Halt> {
        let finding = self.compare(&demographic(person, self.code, moment.day));
        if finding.result != CriterionResult::Unknown {
            return Ok(finding);
        }
        let observation = person.observation(self.code, moment.time, moment.place)?;
        Ok(self.compare(&observation.map_or(Observed::Nothing, Observed::Value)))
    }

    fn compare(self, observed: &Observed<'_>) -> Finding {
        let unseen = |truth| Finding { result: of_truth(truth), seen: None };
        match (observed, self.value) {
            (Observed::Value(observation), _) => {
                let seen = Some((observation.value.clone(), observation.unit.clone()));
                Finding { result: of_truth(self.decides(observation)), seen }
            }
            (Observed::Demographic(code), ObservationValue::Code(wanted)) => {
                unseen(code_holds(code == wanted, self.operator))
            }
            (Observed::Age(youngest, oldest), ObservationValue::Number(wanted)) => {
                // Decided where every day that the date of birth can mean decides alike.
                let mut answers =
                    (*youngest..=*oldest).map(|age| holds(Quantity::from(age).cmp(wanted), self.operator));
                let first = answers.next();
                unseen(first.filter(|first| answers.all(|answer| answer == *first)))
            }
            (Observed::Nothing | Observed::Demographic(_) | Observed::Age(..), _) => unseen(None),
        }
    }

    /// Whether what was observed meets the criterion, where it decides that.
    fn decides(self, observation: &Observation) -> Option<bool> {
        match (&observation.value, self.value) {
            (ObservationValue::Number(value), ObservationValue::Number(wanted)) => {
                let usual = identifier::same(self.code, AGE).then_some(YEAR);
                let value = comparable(value.decimal(), observation.unit.as_deref().or(usual), self.unit.or(usual))?;
                Some(holds(value.cmp(&wanted.decimal()), self.operator))
            }
            // Codes are equal or not; they have no order.
            (ObservationValue::Code(value), ObservationValue::Code(_)) if is_no_answer(self.code, value) => None,
            (ObservationValue::Code(value), ObservationValue::Code(wanted)) => {
                code_holds(identifier::same(value, wanted), self.operator)
            }
            (ObservationValue::Number(_), ObservationValue::Code(_))
            | (ObservationValue::Code(_), ObservationValue::Number(_)) => None,
        }
    }
}

/// A value as it compares with one in the unit `to`. Nobody knows what a number without a unit was measured in: it compares
/// with plain numbers only.
fn comparable(value: Decimal, from: Option<&str>, to: Option<&str>) -> Option<Decimal> {
    let is_plain = |unit: &str| unit::convert(Decimal::ONE, unit, UNITY) == Some(Decimal::ONE);
    match (from, to) {
        (Some(from), Some(to)) => unit::convert(value, from, to),
        (None, None) => Some(value),
        (Some(unit), None) | (None, Some(unit)) => is_plain(unit).then_some(value),
    }
}

/// Words that stand where nothing is known, was asked or was done (HL7 NullFlavor, and what forms have for it).
const NO_ANSWERS: [&str; 16] = [
    "U",
    "UN",
    "UNK",
    "UNKNOWN",
    "NA",
    "N/A",
    "ND",
    "NI",
    "NAV",
    "NASK",
    "ASKU",
    "NOT DONE",
    "NOT KNOWN",
    "NOT APPLICABLE",
    ".",
    "-",
];

/// Whether a code says nothing: a word for that, or of the sex none of its codes (CDISC codelist SEX, C66731).
fn is_no_answer(code: &str, value: &str) -> bool {
    const SEXES: [&str; 4] = ["F", "M", "INTERSEX", "UNDIFFERENTIATED"];
    let is_one_of = |words: &[&str]| words.iter().any(|word| identifier::same(word, value));
    is_one_of(&NO_ANSWERS) || (identifier::same(code, SEX) && !is_one_of(&SEXES))
}

fn demographic(person: &Person, code: &str, day: NaiveDate) -> Observed<'static> {
    // Of whose data were erased nothing is known.
    let (born, sex) = (person.birth_date.as_ref(), person.sex.as_ref());
    match (born.and_then(Personal::expose), sex.and_then(Personal::expose)) {
        (Some(born), _) if identifier::same(code, AGE) => {
            Observed::Age(age_years(born.latest(), day), age_years(born.earliest(), day))
        }
        (_, Some(sex)) if *sex != Sex::U && identifier::same(code, SEX) => Observed::Demographic(sex.code()),
        _ => Observed::Nothing,
    }
}

/// Age in completed years. Who was born on a 29 February completes a year on the 1 March of other years.
fn age_years(born: NaiveDate, day: NaiveDate) -> i32 {
    let birthday_to_come = (day.month(), day.day()) < (born.month(), born.day());
    day.year() - born.year() - i32::from(birthday_to_come)
}

/// Whether a comparison holds, given how the value stands to the one it is compared with.
pub const fn holds(order: Ordering, operator: Comparison) -> bool {
    match operator {
        Comparison::LessThan => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Equals => order.is_eq(),
        Comparison::NotEquals => order.is_ne(),
        Comparison::AtLeast => order.is_ge(),
        Comparison::GreaterThan => order.is_gt(),
    }
}

const fn code_holds(equal: bool, operator: Comparison) -> Option<bool> {
    match operator {
        Comparison::Equals => Some(equal),
        Comparison::NotEquals => Some(!equal),
        Comparison::LessThan | Comparison::AtMost | Comparison::AtLeast | Comparison::GreaterThan => None,
    }
}

const fn of_truth(truth: Option<bool>) -> CriterionResult {
    match truth {
        Some(true) => CriterionResult::Met,
        Some(false) => CriterionResult::NotMet,
        None => CriterionResult::Unknown,
    }
}

const fn is_against(category: CriterionCategory, result: CriterionResult) -> bool {
    matches!(
        (category, result),
        (CriterionCategory::Inclusion, CriterionResult::NotMet) | (CriterionCategory::Exclusion, CriterionResult::Met)
    )
}

const fn combine(outcome: EligibilityOutcome, against: bool, result: CriterionResult) -> EligibilityOutcome {
    match (outcome, against, result) {
        (_, true, _) | (EligibilityOutcome::Ineligible, ..) => EligibilityOutcome::Ineligible,
        (_, false, CriterionResult::Unknown) | (EligibilityOutcome::Undetermined, ..) => {
            EligibilityOutcome::Undetermined
        }
        (EligibilityOutcome::Eligible, false, CriterionResult::Met | CriterionResult::NotMet) => {
            EligibilityOutcome::Eligible
        }
    }
}
