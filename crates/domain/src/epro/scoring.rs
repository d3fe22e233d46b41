//! Checking answers against a questionnaire, and computing its scores and alerts.

use std::collections::BTreeMap;

use events::identifier;
use events::trial::Comparison;
use events::trial::questionnaire::{
    AlertMeasure, AlertRule, AlertValue, AllowedAnswers, Answer, Answers, Item, MissingRule, QuestionnaireDefinition,
    Score, ScoreDefinition, ScoreMethod, TriggeredRule,
};
use events::values::Quantity;
use methods::score;
use rust_decimal::Decimal;

use crate::enrolment::eligibility::holds;
use crate::validate::{self, Faults, Invalid, LIST_LENGTH_MAX};

/// Checks every answer against its item, and gives them by the items' codes as they were defined.
///
/// # Errors
/// [`Faults`], each naming `answers/<item>`.
pub fn check_answers(questionnaire: &QuestionnaireDefinition, answers: &Answers) -> Result<Answers, Faults> {
    // Each is compared with every item.
    validate::count("answers", answers.len(), LIST_LENGTH_MAX)?;
    let mut checked = Answers::new();
    let of_answers: Vec<_> =
        answers.iter().map(|(code, answer)| take_answer(questionnaire, code, answer, &mut checked)).collect();
    let missing = questionnaire.items.iter().filter(|item| item.required && !checked.contains_key(&item.code));
    let of_missing: Vec<_> =
        missing.map(|item| Err(Invalid::Missing { field: format!("answers/{}", item.code) })).collect();
    validate::all(of_answers.into_iter().chain(of_missing))?;
    Ok(checked)
}

fn take_answer(
    questionnaire: &QuestionnaireDefinition,
    code: &str,
    answer: &Answer,
    checked: &mut Answers,
) -> Result<(), Invalid> {
    // The code is the caller's own text.
    validate::code("answers", code)?;
    let field = format!("answers/{code}");
    let Some(item) = questionnaire.items.iter().find(|item| identifier::same(&item.code, code)) else {
        let expected = format!("answers to items of {} only", questionnaire.instrument);
        return Err(Invalid::Malformed { field, expected });
    };
    let answer = as_defined(item, answer);
    check_answer(&field, item, &answer)?;
    let taken = checked.insert(item.code.clone(), answer);
    match taken {
        Some(_) => Err(Invalid::Duplicate { field, value: item.code.clone() }),
        None => Ok(()),
    }
}

/// An option's code as it was defined, whichever way it was written.
fn as_defined(item: &Item, answer: &Answer) -> Answer {
    let (AllowedAnswers::Choice { options }, Answer::Text(text)) = (&item.answers, answer) else {
        return answer.clone();
    };
    let option = options.iter().find(|option| text.expose().is_some_and(|text| identifier::same(option.code(), text)));
    option.map_or_else(|| answer.clone(), |option| Answer::Text(option.code().into()))
}

fn check_answer(field: &str, item: &Item, answer: &Answer) -> Result<(), Invalid> {
    let text = match answer {
        Answer::Number(_) => None,
        Answer::Text(text) => match text.expose() {
            Some(text) => Some(text),
            // It was checked when it was open.
            None => return Ok(()),
        },
    };
    let expected = match (&item.answers, answer) {
        (AllowedAnswers::Integer { min, max }, Answer::Number(number)) => {
            let value = number.decimal();
            let fits = value.is_integer() && value >= Decimal::from(*min) && value <= Decimal::from(*max);
            (!fits).then(|| format!("a whole number from {min} to {max}"))
        }
        (AllowedAnswers::Number { min, max }, Answer::Number(number)) => {
            (number < min || number > max).then(|| format!("a number from {min} to {max}"))
        }
        (AllowedAnswers::Choice { options }, Answer::Text(_)) => {
            let known = options.iter().any(|option| Some(option.code()) == text);
            let codes = || options.iter().map(|option| option.code()).collect::<Vec<_>>().join(", ");
            (!known).then(|| format!("one of {}", codes()))
        }
        (AllowedAnswers::Text { length_max }, Answer::Text(_)) => {
            let text = text.unwrap_or_default();
            if !text.is_empty() {
                // Blanks around it are as they were typed; a control character is not a blank.
                let is_blank = |character: char| {
                    character.is_whitespace() && (!character.is_control() || matches!(character, '\n' | '\t' | '\r'))
                };
                validate::prose(field, text.trim_matches(is_blank))?;
            }
            let too_long = text.chars().count() > *length_max as usize;
            too_long.then(|| format!("text of at most {length_max} characters"))
        }
        (AllowedAnswers::Integer { .. } | AllowedAnswers::Number { .. }, Answer::Text(_)) => {
            Some("a number".to_owned())
        }
        (AllowedAnswers::Choice { .. } | AllowedAnswers::Text { .. }, Answer::Number(_)) => Some("text".to_owned()),
    };
    match expected {
        Some(expected) => Err(Invalid::OutOfRange { field: field.to_owned(), expected }),
        None => Ok(()),
    }
}

/// The values that something can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest.
    pub min: Decimal,
    /// The greatest.
    pub max: Decimal,
    /// Whether only whole numbers.
    pub whole: bool,
}

/// What the answers to an item can count for; none where some of them are no number.
pub fn range_of_item(item: &Item) -> Option<Range> {
    match &item.answers {
        AllowedAnswers::Integer { min, max } => Some(Range { min: (*min).into(), max: (*max).into(), whole: true }),
        AllowedAnswers::Number { min, max } => {
            Some(Range { min: min.decimal(), max: max.decimal(), whole: min == max && min.decimal().is_integer() })
        }
        AllowedAnswers::Choice { options } => {
            let values = options.iter().map(|option| Some(option.value()?.decimal()));
            let values: Vec<Decimal> = values.collect::<Option<_>>()?;
            let (min, max) = (*values.iter().min()?, *values.iter().max()?);
            Some(Range { min, max, whole: values.iter().all(Decimal::is_integer) })
        }
        AllowedAnswers::Text { .. } => None,
    }
}

/// What a score of these items can be, as far as it follows from each item alone.
pub fn range_of_score(score: &ScoreDefinition, items: &BTreeMap<&str, &Item>) -> Range {
    let ranges: Vec<Range> =
        score.items.iter().filter_map(|item| items.get(item.as_str()).and_then(|item| range_of_item(item))).collect();
    let count = Decimal::from(ranges.len().max(1) as u64);
    let whole = ranges.iter().all(|range| range.whole);
    let lowest = ranges.iter().map(|range| range.min).min().unwrap_or_default();
    let highest = ranges.iter().map(|range| range.max).max().unwrap_or_default();
    let sum = |value: fn(&Range) -> Decimal| ranges.iter().map(value).fold(Decimal::ZERO, Decimal::saturating_add);
    match (score.method, score.missing) {
        (ScoreMethod::Sum, MissingRule::Complete) => {
            Range { min: sum(|range| range.min), max: sum(|range| range.max), whole }
        }
        // Whichever items are missing count as the mean of the others.
        (ScoreMethod::Sum, MissingRule::Prorate { .. }) => {
            Range { min: lowest.saturating_mul(count), max: highest.saturating_mul(count), whole: false }
        }
        (ScoreMethod::Mean, _) => Range { min: lowest, max: highest, whole: false },
    }
}

/// What an answer counts for; none where it is no number.
fn number(item: &Item, answer: &Answer) -> Option<Decimal> {
    match (answer, &item.answers) {
        (Answer::Number(number), _) => Some(number.decimal()),
        (Answer::Text(code), AllowedAnswers::Choice { options }) => {
            let code = code.expose()?;
            options.iter().find(|option| option.code() == code)?.value().map(Quantity::decimal)
        }
        (Answer::Text(_), _) => None,
    }
}

/// Computes every score of the questionnaire.
pub fn scores(questionnaire: &QuestionnaireDefinition, answers: &Answers) -> Vec<Score> {
    questionnaire.scores.iter().map(|definition| scored(questionnaire, definition, answers)).collect()
}

fn scored(questionnaire: &QuestionnaireDefinition, definition: &ScoreDefinition, answers: &Answers) -> Score {
    let counts = |code: &String| {
        let item = questionnaire.items.iter().find(|item| item.code == *code)?;
        let number = number(item, answers.get(code)?)?;
        if !definition.reversed.contains(code) {
            return Some(number);
        }
        let range = range_of_item(item)?;
        range.min.checked_add(range.max)?.checked_sub(number)
    };
    let numbers: Vec<Decimal> = definition.items.iter().filter_map(counts).collect();
    let value = combine(definition, &numbers).and_then(|value| Quantity::new(value).ok());
    let band = value.and_then(|value| {
        definition.bands.iter().find(|band| band.from <= value && value <= band.to).map(|band| band.label.clone())
    });
    Score {
        code: definition.code.clone(),
        value,
        band,
        answered: u32::try_from(numbers.len()).unwrap_or(u32::MAX),
        items: u32::try_from(definition.items.len()).unwrap_or(u32::MAX),
    }
}

/// The score of the answered items, where the missing ones allow one.
fn combine(definition: &ScoreDefinition, numbers: &[Decimal]) -> Option<Decimal> {
    let missing = definition.items.len() - numbers.len();
    let missing_max = match definition.missing {
        MissingRule::Complete => 0,
        MissingRule::Prorate { missing_max } => missing_max as usize,
    };
    if missing > missing_max {
        return None;
    }
    match definition.method {
        ScoreMethod::Mean => score::mean(numbers),
        ScoreMethod::Sum => score::prorated_sum(numbers, definition.items.len()),
    }
}

/// A report's answers with their scores.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'report> {
    /// The answers.
    pub answers: &'report Answers,
    /// Their scores.
    pub scores: &'report [Score],
}

/// The alert rules that a report meets now and did not `before`, or that it meets worse: a value further beyond the
/// threshold than it was.
pub fn triggered(
    questionnaire: &QuestionnaireDefinition,
    now: Scored<'_>,
    before: Option<Scored<'_>>,
) -> Vec<TriggeredRule> {
    let met = |rule: &AlertRule| {
        let value = met(questionnaire, rule, now)?;
        let earlier = before.and_then(|before| self::met(questionnaire, rule, before));
        if earlier.is_some_and(|earlier| !is_worse(rule.operator, &value, &earlier)) {
            return None;
        }
        let name = match &rule.measure {
            AlertMeasure::Answer { item } => format!("answer {item}"),
            AlertMeasure::Score { score } => format!("score {score}"),
        };
        Some(TriggeredRule {
            rule: rule.code.clone(),
            severity: rule.severity,
            finding: format!("{name} of {} = {value}", questionnaire.instrument),
            recipients: rule.recipients.clone(),
            acknowledge_within_minutes: rule.acknowledge_within_minutes,
        })
    };
    questionnaire.alert_rules.iter().filter_map(met).collect()
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Measured {
    Number(Quantity),
    Code(String),
}

impl std::fmt::Display for Measured {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Measured::Number(number) => number.fmt(formatter),
            Measured::Code(code) => code.fmt(formatter),
        }
    }
}

/// The value that meets the rule, where it does.
fn met(questionnaire: &QuestionnaireDefinition, rule: &AlertRule, report: Scored<'_>) -> Option<Measured> {
    match (&rule.measure, &rule.value) {
        (AlertMeasure::Answer { item }, AlertValue::Option(wanted)) => {
            let Answer::Text(code) = report.answers.get(item)? else { return None };
            let code = code.expose()?;
            let met = match rule.operator {
                Comparison::Equals => code == wanted,
                Comparison::NotEquals => code != wanted,
                Comparison::LessThan | Comparison::AtMost | Comparison::AtLeast | Comparison::GreaterThan => false,
            };
            met.then(|| Measured::Code(code.to_owned()))
        }
        (AlertMeasure::Answer { item }, AlertValue::Number(wanted)) => {
            let item = questionnaire.items.iter().find(|known| known.code == *item)?;
            let value = Quantity::new(number(item, report.answers.get(&item.code)?)?).ok()?;
            holds(value.cmp(wanted), rule.operator).then_some(Measured::Number(value))
        }
        (AlertMeasure::Score { score }, AlertValue::Number(wanted)) => {
            let value = report.scores.iter().find(|known| known.code == *score)?.value?;
            holds(value.cmp(wanted), rule.operator).then_some(Measured::Number(value))
        }
        (AlertMeasure::Score { .. }, AlertValue::Option(_)) => None,
    }
}

/// Whether what meets the rule lies further beyond its threshold than what met it earlier.
fn is_worse(operator: Comparison, value: &Measured, earlier: &Measured) -> bool {
    match (value, earlier) {
        (Measured::Number(value), Measured::Number(earlier)) => match operator {
            Comparison::AtLeast | Comparison::GreaterThan => value > earlier,
            Comparison::AtMost | Comparison::LessThan => value < earlier,
            Comparison::Equals | Comparison::NotEquals => value != earlier,
        },
        (Measured::Code(value), Measured::Code(earlier)) => value != earlier,
        (Measured::Number(_), Measured::Code(_)) | (Measured::Code(_), Measured::Number(_)) => true,
    }
}
