//! Whether a patient meets a trial's criteria.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use events::enrolment::subject::{CriterionAssessment, CriterionResult, EligibilityOutcome};
use events::trial::{Comparison, Criterion, CriterionCategory, CriterionTest, ObservationValue};
use events::values::Quantity;

use crate::patient::Person;

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

/// Assesses every criterion at `time`. `judgements` tells for criteria that the
/// investigator judges whether they are met.
pub fn assess(
    criteria: &[Criterion],
    person: &Person,
    judgements: &BTreeMap<String, bool>,
    time: DateTime<Utc>,
) -> Assessment {
    let mut missing_observations = Vec::new();
    let mut assessments = Vec::with_capacity(criteria.len());
    let mut outcome = EligibilityOutcome::Eligible;
    for criterion in criteria {
        let (result, seen) = match &criterion.test {
            CriterionTest::Judgement => (judged(judgements.get(&criterion.code)), None),
            CriterionTest::Observation { code, operator, value } => {
                let observed = observe(person, code, time);
                if observed.is_none() && !missing_observations.contains(code) {
                    missing_observations.push(code.clone());
                }
                compare(observed, *operator, value)
            }
        };
        let against = is_against(criterion.category, result);
        outcome = combine(outcome, against, result);
        assessments.push(CriterionAssessment { code: criterion.code.clone(), result, against, seen });
    }
    Assessment { assessments, outcome, missing_observations }
}

/// A value with whether it may be written down: what comes from the
/// demographics is personal data.
struct Observed {
    value: ObservationValue,
    personal: bool,
}

fn judged(judgement: Option<&bool>) -> CriterionResult {
    match judgement {
        Some(true) => CriterionResult::Met,
        Some(false) => CriterionResult::NotMet,
        None => CriterionResult::Unknown,
    }
}

fn observe(person: &Person, code: &str, time: DateTime<Utc>) -> Option<Observed> {
    // The demographics know better than what somebody wrote down at a visit.
    if let Some(value) = demographic(person, code, time) {
        return Some(Observed { value, personal: true });
    }
    let observation = person.observation(code, time)?;
    Some(Observed { value: observation.value.clone(), personal: false })
}

fn demographic(person: &Person, code: &str, time: DateTime<Utc>) -> Option<ObservationValue> {
    match code {
        AGE => {
            let born = person.birth_date.as_ref()?.expose().exact()?;
            Some(ObservationValue::Number(Quantity::from(age_years(born, time.date_naive()))))
        }
        SEX => Some(ObservationValue::Code(person.sex.as_ref()?.expose().code().to_owned())),
        _ => None,
    }
}

/// Age in completed years.
fn age_years(born: NaiveDate, day: NaiveDate) -> i32 {
    let birthday_to_come = (day.month(), day.day()) < (born.month(), born.day());
    day.year() - born.year() - i32::from(birthday_to_come)
}

fn compare(
    observed: Option<Observed>,
    operator: Comparison,
    wanted: &ObservationValue,
) -> (CriterionResult, Option<ObservationValue>) {
    let Some(Observed { value, personal }) = observed else { return (CriterionResult::Unknown, None) };
    let order = match (&value, wanted) {
        (ObservationValue::Number(value), ObservationValue::Number(wanted)) => Some(value.cmp(wanted)),
        // Codes are equal or not; they have no order.
        (ObservationValue::Code(value), ObservationValue::Code(wanted)) => {
            return (
                of_truth(code_holds(value == wanted, operator)),
                (!personal).then(|| ObservationValue::Code(value.clone())),
            );
        }
        (ObservationValue::Number(_), ObservationValue::Code(_))
        | (ObservationValue::Code(_), ObservationValue::Number(_)) => None,
    };
    (of_truth(order.map(|order| holds(order, operator))), (!personal).then_some(value))
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
