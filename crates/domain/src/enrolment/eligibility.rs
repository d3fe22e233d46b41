//! Whether a patient meets a trial's criteria.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use decider::Halt;
use events::enrolment::subject::{CriterionAssessment, CriterionResult, EligibilityOutcome};
use events::patient::Sex;
use events::trial::{Comparison, Criterion, CriterionCategory, CriterionTest, ObservationValue};
use events::values::Quantity;

use crate::patient::Person;
use crate::place::Place;

/// The observation code of the age in completed years.
pub const AGE: &str = "AGE";
/// The observation code of the sex.
pub const SEX: &str = "SEX";

/// What the criteria say about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Every criterion with its result.
    pub assessments: Vec<CriterionAssessment>,
    /// What they say together.
    pub outcome: EligibilityOutcome,
    /// Codes of the observations that are missing.
    pub missing_observations: Vec<String>,
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
        let (result, seen) = match &criterion.test {
            CriterionTest::Judgement => (judged(judgements.get(&criterion.code)), None),
            CriterionTest::Observation { code, operator, value } => {
                let (result, seen) = find_out(person, code, moment, |observed| observed.compare(*operator, value))?;
                if result == CriterionResult::Unknown && seen.is_none() && !missing_observations.contains(code) {
                    missing_observations.push(code.clone());
                }
                (result, seen)
            }
        };
        let against = is_against(criterion.category, result);
        outcome = combine(outcome, against, result);
        assessments.push(CriterionAssessment { code: criterion.code.clone(), result, against, seen });
    }
    Ok(Assessment { assessments, outcome, missing_observations })
}

/// What is known of what a criterion asks for.
enum Observed<'person> {
    /// Nothing.
    Nothing,
    /// The value, which may be written down.
    Value(&'person ObservationValue),
    /// A code of the demographics: personal data, not to be written down.
    Demographic(&'static str),
    /// The age in completed years, from the youngest to the oldest that the date of birth can mean: personal data.
    Age(i32, i32),
}

fn judged(judgement: Option<&bool>) -> CriterionResult {
    match judgement {
        Some(true) => CriterionResult::Met,
        Some(false) => CriterionResult::NotMet,
        None => CriterionResult::Unknown,
    }
}

/// What the demographics decide, which know better than what somebody wrote down at a visit; else what was observed.
fn find_out(
    person: &Person,
    code: &str,
    moment: &Moment<'_>,
    compare: impl Fn(Observed<'_>) -> (CriterionResult, Option<ObservationValue>),
) -> Result<(CriterionResult, Option<ObservationValue>), Halt> {
    let (result, seen) = compare(demographic(person, code, moment.day));
    if result != CriterionResult::Unknown {
        return Ok((result, seen));
    }
    let observation = person.observation(code, moment.time, moment.place)?;
    Ok(compare(observation.map_or(Observed::Nothing, |observation| Observed::Value(&observation.value))))
}

fn demographic(person: &Person, code: &str, day: NaiveDate) -> Observed<'static> {
    match (code, &person.birth_date, &person.sex) {
        (AGE, Some(born), _) => {
            let (earliest, latest) = (born.expose().earliest(), born.expose().latest());
            Observed::Age(age_years(latest, day), age_years(earliest, day))
        }
        (SEX, _, Some(sex)) if *sex.expose() != Sex::U => Observed::Demographic(sex.expose().code()),
        _ => Observed::Nothing,
    }
}

/// Age in completed years. Who was born on a 29 February completes a year on the 1 March of other years.
fn age_years(born: NaiveDate, day: NaiveDate) -> i32 {
    let birthday_to_come = (day.month(), day.day()) < (born.month(), born.day());
    day.year() - born.year() - i32::from(birthday_to_come)
}

impl Observed<'_> {
    /// Whether what is known meets the criterion; and the value, where it may be written down.
    fn compare(self, operator: Comparison, wanted: &ObservationValue) -> (CriterionResult, Option<ObservationValue>) {
        match (self, wanted) {
            (Observed::Value(ObservationValue::Number(value)), ObservationValue::Number(wanted)) => {
                (of_truth(Some(holds(value.cmp(wanted), operator))), Some(ObservationValue::Number(*value)))
            }
            // Codes are equal or not; they have no order.
            (Observed::Value(ObservationValue::Code(value)), ObservationValue::Code(wanted)) => {
                (of_truth(code_holds(value == wanted, operator)), Some(ObservationValue::Code(value.clone())))
            }
            (Observed::Value(value), _) => (CriterionResult::Unknown, Some(value.clone())),
            (Observed::Demographic(code), ObservationValue::Code(wanted)) => {
                (of_truth(code_holds(code == wanted.as_str(), operator)), None)
            }
            (Observed::Age(youngest, oldest), ObservationValue::Number(wanted)) => {
                // Decided where every day that the date of birth can mean decides alike.
                let mut answers = (youngest..=oldest).map(|age| holds(Quantity::from(age).cmp(wanted), operator));
                let first = answers.next();
                (of_truth(first.filter(|first| answers.all(|answer| answer == *first))), None)
            }
            (Observed::Nothing | Observed::Demographic(_) | Observed::Age(..), _) => (CriterionResult::Unknown, None),
        }
    }
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
