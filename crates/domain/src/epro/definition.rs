//! What makes the definition of a questionnaire one that works: whatever could never come about is refused.

use std::collections::BTreeMap;

use events::trial::Comparison;
use events::trial::questionnaire::{
    AlertMeasure, AlertRule, AlertValue, AllowedAnswers, Item, MissingRule, QuestionnaireDefinition, ScoreDefinition,
};
use events::values::Quantity;
use rust_decimal::Decimal;

use crate::epro::scoring::{Range, range_of_item, range_of_score};
use crate::safety::alert_rule;
use crate::validate::{self, Faults, Invalid};

/// Alert rules of a questionnaire: one report may meet them all, and each tells all its recipients.
const ALERT_RULES_MAX: usize = 50;

/// Checks that a definition makes sense: codes differ, scores and rules speak of items and scores that exist and can be
/// computed, every rule can be met and tells somebody, every band can be reached.
///
/// # Errors
/// [`Faults`], each naming the field under `field`.
pub fn check_definition(field: &str, definition: &QuestionnaireDefinition) -> Result<(), Faults> {
    let at = |name: &str| format!("{field}/{name}");
    validate::all([
        validate::code(&at("instrument"), &definition.instrument),
        validate::code(&at("version"), &definition.version),
        validate::text(&at("title"), &definition.title),
        validate::text(&at("source"), &definition.source),
        not_empty(at("items"), &definition.items),
        validate::list(&at("items"), &definition.items),
        validate::list(&at("scores"), &definition.scores),
        validate::count(&at("alert_rules"), definition.alert_rules.len(), ALERT_RULES_MAX),
        validate::distinct(&at("items"), definition.items.iter().map(|item| item.code.as_str())),
        validate::distinct(&at("scores"), definition.scores.iter().map(|score| score.code.as_str())),
        validate::distinct(&at("alert_rules"), definition.alert_rules.iter().map(|rule| rule.code.as_str())),
    ])?;
    let items: BTreeMap<&str, &Item> = definition.items.iter().map(|item| (item.code.as_str(), item)).collect();
    let numbered = |name: &str, index: usize| format!("{field}/{name}/{index}");
    let of_items = definition.items.iter().enumerate().map(|(index, item)| check_item(&numbered("items", index), item));
    let of_scores = definition.scores.iter().enumerate();
    let of_scores = of_scores.map(|(index, score)| check_score(&numbered("scores", index), score, &items));
    let of_rules = definition.alert_rules.iter().enumerate();
    let of_rules = of_rules.map(|(index, rule)| check_rule(&numbered("alert_rules", index), rule, definition));
    validate::all(of_items.chain(of_scores).chain(of_rules))
}

fn not_empty<T>(field: String, list: &[T]) -> Result<(), Invalid> {
    if list.is_empty() { Err(Invalid::Blank { field }) } else { Ok(()) }
}

fn out_of_range(field: String, expected: impl Into<String>) -> Invalid {
    Invalid::OutOfRange { field, expected: expected.into() }
}

fn check_item(field: &str, item: &Item) -> Result<(), Faults> {
    let text = item.text.as_deref();
    validate::all([
        validate::code(&format!("{field}/code"), &item.code).map_err(Faults::from),
        validate::optional_prose(&format!("{field}/text"), text).map_err(Faults::from),
        check_allowed(&format!("{field}/answers"), &item.answers),
    ])
}

fn check_allowed(field: &str, answers: &AllowedAnswers) -> Result<(), Faults> {
    let empty = match answers {
        AllowedAnswers::Integer { min, max } => min > max,
        AllowedAnswers::Number { min, max } => min > max,
        AllowedAnswers::Choice { options } => {
            validate::list(field, options)?;
            let codes = options.iter().map(|option| option.code());
            let each = codes.clone().enumerate();
            let each = each.map(|(index, code)| validate::text(&format!("{field}/options/{index}"), code));
            validate::all(each.chain([validate::distinct(field, codes)]))?;
            options.is_empty()
        }
        AllowedAnswers::Text { length_max } => {
            let max = u32::try_from(validate::PROSE_LENGTH_MAX).unwrap_or(u32::MAX);
            validate::range(&format!("{field}/length_max"), *length_max, 1, max)?;
            false
        }
    };
    if empty { Err(out_of_range(field.to_owned(), "a range that allows an answer").into()) } else { Ok(()) }
}

fn check_score(field: &str, score: &ScoreDefinition, items: &BTreeMap<&str, &Item>) -> Result<(), Faults> {
    let of_items = score.items.iter().enumerate().map(|(index, code)| {
        let here = format!("{field}/items/{index}");
        match items.get(code.as_str()) {
            None => Err(Invalid::Malformed { field: here, expected: "the code of an item".to_owned() }),
            Some(item) if range_of_item(item).is_none() => {
                Err(out_of_range(here, "an item that is answered with a number, or whose options all have one"))
            }
            Some(_) => Ok(()),
        }
    });
    let of_reversed = score.reversed.iter().enumerate().map(|(index, item)| match score.items.contains(item) {
        true => Ok(()),
        false => Err(out_of_range(format!("{field}/reversed/{index}"), "one of the score's items")),
    });
    let others = [
        validate::code(&format!("{field}/code"), &score.code),
        not_empty(format!("{field}/items"), &score.items),
        validate::distinct(&format!("{field}/items"), score.items.iter().map(String::as_str)),
        validate::distinct(&format!("{field}/reversed"), score.reversed.iter().map(String::as_str)),
        check_missing(field, score),
    ];
    validate::all(others.into_iter().chain(of_items).chain(of_reversed))?;
    check_bands(field, score, &range_of_score(score, items))
}

fn check_missing(field: &str, score: &ScoreDefinition) -> Result<(), Invalid> {
    match score.missing {
        MissingRule::Prorate { missing_max } if !(1..score.items.len()).contains(&(missing_max as usize)) => {
            let expected = format!("at least 1 and less than the {} items of the score", score.items.len());
            Err(out_of_range(format!("{field}/missing/missing_max"), expected))
        }
        MissingRule::Prorate { .. } | MissingRule::Complete => Ok(()),
    }
}

fn check_bands(field: &str, score: &ScoreDefinition, range: &Range) -> Result<(), Faults> {
    validate::list(&format!("{field}/bands"), &score.bands)?;
    validate::all(score.bands.iter().enumerate().map(|(index, band)| {
        let here = format!("{field}/bands/{index}");
        validate::text(&format!("{here}/label"), &band.label)?;
        if band.from > band.to {
            return Err(out_of_range(here, "a band whose `from` is not greater than its `to`"));
        }
        let (from, to) = (band.from.decimal(), band.to.decimal());
        if to < range.min || from > range.max {
            let expected = format!("a band that the score can reach, from {} to {}", range.min, range.max);
            return Err(out_of_range(here, expected));
        }
        match score.bands[..index].iter().find(|other| other.from <= band.to && band.from <= other.to) {
            Some(other) => Err(out_of_range(here, format!("a band that does not overlap `{}`", other.label))),
            None => Ok(()),
        }
    }))
}

fn check_rule(field: &str, rule: &AlertRule, definition: &QuestionnaireDefinition) -> Result<(), Faults> {
    validate::all([
        alert_rule::check(field, &rule.code, &rule.recipients, rule.acknowledge_within_minutes),
        check_measure(field, rule, definition).map_err(Faults::from),
    ])
}

/// A rule that no answer can meet is refused.
fn check_measure(field: &str, rule: &AlertRule, definition: &QuestionnaireDefinition) -> Result<(), Invalid> {
    let unknown = |what: &str| {
        let expected = format!("{what} of the questionnaire");
        Err(Invalid::Malformed { field: format!("{field}/measure"), expected })
    };
    let can_be_met = match &rule.measure {
        AlertMeasure::Answer { item } => match definition.items.iter().find(|known| known.code == *item) {
            Some(item) => can_be_answered(item, rule.operator, &rule.value),
            None => return unknown("an item"),
        },
        AlertMeasure::Score { score } => match definition.scores.iter().find(|known| known.code == *score) {
            Some(score) => {
                let items = definition.items.iter().map(|item| (item.code.as_str(), item)).collect();
                match &rule.value {
                    AlertValue::Number(value) => range_of_score(score, &items).can_be(rule.operator, *value),
                    AlertValue::Option(_) => false,
                }
            }
            None => return unknown("a score"),
        },
    };
    if can_be_met {
        return Ok(());
    }
    Err(out_of_range(format!("{field}/value"), "a value with which the rule can be met by some answer"))
}

/// Whether some answer to the item meets the comparison.
fn can_be_answered(item: &Item, operator: Comparison, value: &AlertValue) -> bool {
    match (&item.answers, value) {
        (AllowedAnswers::Choice { options }, AlertValue::Option(code)) => match operator {
            Comparison::Equals => options.iter().any(|option| option.code() == code),
            Comparison::NotEquals => {
                options.iter().any(|option| option.code() == code) && options.iter().any(|option| option.code() != code)
            }
            Comparison::LessThan | Comparison::AtMost | Comparison::AtLeast | Comparison::GreaterThan => false,
        },
        (AllowedAnswers::Choice { options }, AlertValue::Number(value)) => {
            let values = options.iter().filter_map(|option| option.value());
            values.into_iter().any(|option| crate::enrolment::eligibility::holds(option.cmp(value), operator))
        }
        (_, AlertValue::Number(value)) => range_of_item(item).is_some_and(|range| range.can_be(operator, *value)),
        (_, AlertValue::Option(_)) => false,
    }
}

impl Range {
    /// Whether some value of the range meets the comparison.
    fn can_be(&self, operator: Comparison, value: Quantity) -> bool {
        let value = value.decimal();
        match operator {
            Comparison::LessThan => self.min < value,
            Comparison::AtMost => self.min <= value,
            Comparison::AtLeast => self.max >= value,
            Comparison::GreaterThan => self.max > value,
            Comparison::Equals => self.holds(value),
            Comparison::NotEquals => self.min != self.max || self.min != value,
        }
    }

    fn holds(&self, value: Decimal) -> bool {
        self.min <= value && value <= self.max && (!self.whole || value.is_integer())
    }
}
