//! Checking answers against a questionnaire, and computing its scores and alerts.

use events::trial::questionnaire::{
    AlertMeasure, AllowedAnswers, Answer, Answers, Item, MissingRule, QuestionnaireDefinition, Score, ScoreDefinition,
    ScoreMethod, TriggeredRule,
};
use events::values::Quantity;
use methods::score;
use rust_decimal::Decimal;

use crate::enrolment::eligibility::holds;
use crate::validate::{self, Invalid};

/// Checks every answer against its item.
///
/// # Errors
/// [`Invalid`] naming `answers/<item>`.
pub fn check_answers(questionnaire: &QuestionnaireDefinition, answers: &Answers) -> Result<(), Invalid> {
    for (code, answer) in answers {
        let Some(item) = questionnaire.items.iter().find(|item| item.code == *code) else {
            validate::code("answers", code)?;
            let expected = format!("answers to items of {} only", questionnaire.instrument);
            return Err(Invalid::Malformed { field: format!("answers/{code}"), expected });
        };
        check_answer(item, answer)?;
    }
    let missing = questionnaire.items.iter().find(|item| item.required && !answers.contains_key(&item.code));
    match missing {
        Some(item) => Err(Invalid::Blank { field: format!("answers/{}", item.code) }),
        None => Ok(()),
    }
}

fn check_answer(item: &Item, answer: &Answer) -> Result<(), Invalid> {
    let field = || format!("answers/{}", item.code);
    let expected = match (&item.answers, answer) {
        (AllowedAnswers::Integer { min, max }, Answer::Number(number)) => {
            let value = number.decimal();
            let fits = value.is_integer() && value >= Decimal::from(*min) && value <= Decimal::from(*max);
            (!fits).then(|| format!("a whole number from {min} to {max}"))
        }
        (AllowedAnswers::Number { min, max }, Answer::Number(number)) => {
            (number < min || number > max).then(|| format!("a number from {min} to {max}"))
        }
        (AllowedAnswers::Choice { options }, Answer::Text(text)) => {
            (!options.contains(text)).then(|| format!("one of {}", options.join(", ")))
        }
        (AllowedAnswers::Text { length_max }, Answer::Text(text)) => {
            if !text.is_empty() {
                validate::prose(&field(), text.trim())?;
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
        Some(expected) => Err(Invalid::OutOfRange { field: field(), expected }),
        None => Ok(()),
    }
}

/// Computes every score of the questionnaire.
pub fn scores(questionnaire: &QuestionnaireDefinition, answers: &Answers) -> Vec<Score> {
    questionnaire.scores.iter().map(|definition| scored(definition, answers)).collect()
}

fn scored(definition: &ScoreDefinition, answers: &Answers) -> Score {
    let numbers: Vec<Decimal> = definition
        .items
        .iter()
        .filter_map(|item| match answers.get(item) {
            Some(Answer::Number(number)) => Some(number.decimal()),
            Some(Answer::Text(_)) | None => None,
        })
        .collect();
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

/// The alert rules that the answers and scores meet.
pub fn triggered(questionnaire: &QuestionnaireDefinition, answers: &Answers, scores: &[Score]) -> Vec<TriggeredRule> {
    let met = |rule: &events::trial::questionnaire::AlertRule| {
        let (name, value) = match &rule.measure {
            AlertMeasure::Answer { item } => match answers.get(item)? {
                Answer::Number(number) => (format!("answer {item}"), *number),
                Answer::Text(_) => return None,
            },
            AlertMeasure::Score { score } => {
                let found = scores.iter().find(|candidate| candidate.code == *score)?;
                (format!("score {score}"), found.value?)
            }
        };
        holds(value.cmp(&rule.value), rule.operator).then(|| TriggeredRule {
            rule: rule.code.clone(),
            severity: rule.severity,
            finding: format!("{name} of {} = {value}", questionnaire.instrument),
            recipients: rule.recipients.clone(),
            acknowledge_within_minutes: rule.acknowledge_within_minutes,
        })
    };
    questionnaire.alert_rules.iter().filter_map(met).collect()
}
