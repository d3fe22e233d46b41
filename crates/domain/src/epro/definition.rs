//! What makes the definition of a questionnaire one that works: whatever could never come about is refused.

use std::collections::BTreeMap;

use events::envelope::Role;
use events::trial::Comparison;
use events::trial::questionnaire::{
    AlertMeasure, AlertRule, AlertValue, AllowedAnswers, Item, MissingRule, QuestionnaireDefinition, ScoreDefinition,
};
use events::values::Quantity;
use rust_decimal::Decimal;

use crate::epro::scoring::{Range, range_of_item, range_of_score};
use crate::safety::alert::ACKNOWLEDGE_MINUTES_MAX;
use crate::validate::{self, Invalid};

/// Checks that a definition makes sense: codes differ, scores and rules speak of items and scores that exist and can be
/// computed, every rule can be met and tells somebody, every band can be reached.
///
/// # Errors
/// [`Invalid`] naming the field under `field`.
pub fn check_definition(field: &str, definition: &QuestionnaireDefinition) -> Result<(), Invalid> {
    let at = |name: &str| format!("{field}/{name}");
    validate::code(&at("instrument"), &definition.instrument)?;
    validate::code(&at("version"), &definition.version)?;
    validate::text(&at("title"), &definition.title)?;
    validate::text(&at("source"), &definition.source)?;
    not_empty(at("items"), &definition.items)?;
    validate::list(&at("items"), &definition.items)?;
    validate::list(&at("scores"), &definition.scores)?;
    validate::list(&at("alert_rules"), &definition.alert_rules)?;
    validate::distinct(&at("items"), definition.items.iter().map(|item| item.code.as_str()))?;
    validate::distinct(&at("scores"), definition.scores.iter().map(|score| score.code.as_str()))?;
    validate::distinct(&at("alert_rules"), definition.alert_rules.iter().map(|rule| rule.code.as_str()))?;
    let items: BTreeMap<&str, &Item> = definition.items.iter().map(|item| (item.code.as_str(), item)).collect();
    for (index, item) in definition.items.iter().enumerate() {
        check_item(&at(&format!("items/{index}")), item)?;
    }
    for (index, score) in definition.scores.iter().enumerate() {
        check_score(&at(&format!("scores/{index}")), score, &items)?;
    }
    for (index, rule) in definition.alert_rules.iter().enumerate() {
        check_rule(&at(&format!("alert_rules/{index}")), rule, definition)?;
    }
    Ok(())
}

fn not_empty<T>(field: String, list: &[T]) -> Result<(), Invalid> {
    if list.is_empty() { Err(Invalid::Blank { field }) } else { Ok(()) }
}

fn out_of_range(field: String, expected: impl Into<String>) -> Invalid {
    Invalid::OutOfRange { field, expected: expected.into() }
}

fn check_item(field: &str, item: &Item) -> Result<(), Invalid> {
    validate::code(&format!("{field}/code"), &item.code)?;
    if let Some(text) = &item.text {
        validate::prose(&format!("{field}/text"), text)?;
    }
    let answers = format!("{field}/answers");
    let empty = match &item.answers {
        AllowedAnswers::Integer { min, max } => min > max,
        AllowedAnswers::Number { min, max } => min > max,
        AllowedAnswers::Choice { options } => {
            validate::list(&answers, options)?;
            validate::distinct(&answers, options.iter().map(|option| option.code()))?;
            for (index, option) in options.iter().enumerate() {
                validate::text(&format!("{answers}/options/{index}"), option.code())?;
            }
            options.is_empty()
        }
        AllowedAnswers::Text { length_max } => {
            let max = u32::try_from(validate::PROSE_LENGTH_MAX).unwrap_or(u32::MAX);
            validate::range(&format!("{answers}/length_max"), *length_max, 1, max)?;
            false
        }
    };
    if empty { Err(out_of_range(answers, "a range that allows an answer")) } else { Ok(()) }
}

fn check_score(field: &str, score: &ScoreDefinition, items: &BTreeMap<&str, &Item>) -> Result<(), Invalid> {
    validate::code(&format!("{field}/code"), &score.code)?;
    not_empty(format!("{field}/items"), &score.items)?;
    validate::distinct(&format!("{field}/items"), score.items.iter().map(String::as_str))?;
    for (index, code) in score.items.iter().enumerate() {
        let here = || format!("{field}/items/{index}");
        let Some(item) = items.get(code.as_str()) else {
            return Err(Invalid::Malformed { field: here(), expected: "the code of an item".to_owned() });
        };
        if range_of_item(item).is_none() {
            let expected = "an item that is answered with a number, or whose options all have one";
            return Err(out_of_range(here(), expected));
        }
    }
    validate::distinct(&format!("{field}/reversed"), score.reversed.iter().map(String::as_str))?;
    if let Some(index) = score.reversed.iter().position(|item| !score.items.contains(item)) {
        return Err(out_of_range(format!("{field}/reversed/{index}"), "one of the score's items"));
    }
    if let MissingRule::Prorate { missing_max } = score.missing
        && !(1..score.items.len()).contains(&(missing_max as usize))
    {
        let expected = format!("at least 1 and less than the {} items of the score", score.items.len());
        return Err(out_of_range(format!("{field}/missing/missing_max"), expected));
    }
    check_bands(field, score, &range_of_score(score, items))
}

fn check_bands(field: &str, score: &ScoreDefinition, range: &Range) -> Result<(), Invalid> {
    validate::list(&format!("{field}/bands"), &score.bands)?;
    for (index, band) in score.bands.iter().enumerate() {
        let here = format!("{field}/bands/{index}");
        validate::text(&format!("{here}/label"), &band.label)?;
        if band.from > band.to {
            return Err(out_of_range(here, "a band whose `from` is not greater than its `to`"));
        }
        let (from, to) = (band.from.decimal(), band.to.decimal());
        if to < range.min || from > range.max {
            return Err(out_of_range(
                here,
                format!("a band that the score can reach, from {} to {}", range.min, range.max),
            ));
        }
        let overlaps = |other: &&events::trial::questionnaire::Band| other.from <= band.to && band.from <= other.to;
        if let Some(other) = score.bands[..index].iter().find(overlaps) {
            return Err(out_of_range(here, format!("a band that does not overlap `{}`", other.label)));
        }
    }
    Ok(())
}

fn check_rule(field: &str, rule: &AlertRule, definition: &QuestionnaireDefinition) -> Result<(), Invalid> {
    validate::code(&format!("{field}/code"), &rule.code)?;
    not_empty(format!("{field}/recipients"), &rule.recipients)?;
    validate::list(&format!("{field}/recipients"), &rule.recipients)?;
    for (index, role) in rule.recipients.iter().enumerate() {
        if matches!(role, Role::System | Role::Integration) {
            return Err(out_of_range(format!("{field}/recipients/{index}"), "a role that people have"));
        }
        if rule.recipients[..index].contains(role) {
            return Err(out_of_range(format!("{field}/recipients/{index}"), "a role that is not named before"));
        }
    }
    let minutes = format!("{field}/acknowledge_within_minutes");
    validate::range(&minutes, rule.acknowledge_within_minutes, 1, ACKNOWLEDGE_MINUTES_MAX)?;
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
