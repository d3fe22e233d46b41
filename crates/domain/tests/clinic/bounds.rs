//! What is read as one has an end.

use domain::trial::{DefineQuestionnaire, TrialError};
use domain::validate::Invalid;
use serde_json::{Value, json};

use crate::world::{command, open_trial, trial};

fn define(instrument: &str, items: &Value, rules: &Value) -> DefineQuestionnaire {
    let definition = json!({"instrument": instrument, "version": "1", "title": "T", "source": "S", "items": items,
        "scores": [], "alert_rules": rules});
    command(json!({"questionnaire": {"definition": definition}}))
}

fn item(code: &str, text: &str) -> Value {
    json!({"code": code, "text": text, "answers": {"kind": "number", "min": 0, "max": 10}})
}

fn rule(code: &str) -> Value {
    json!({"code": code, "measure": {"kind": "answer", "item": "Q"}, "operator": "at-least", "value": 1,
        "severity": "high", "recipients": ["investigator"], "acknowledge_within_minutes": 60})
}

#[test]
fn a_protocol_ends_where_it_could_not_be_read_as_one() {
    let items: Value = (0..100).map(|number| item(&format!("Q{number}"), &"x".repeat(9_000))).collect();
    let long = |instrument: usize| define(&format!("I{instrument}"), &items, &json!([]));
    let mut world = open_trial(10, 10);
    for instrument in 0..4 {
        world = world.when(trial(), &long(instrument)).then(&["QuestionnaireDefined"]);
    }
    world.when(trial(), &long(4)).then_refused(TrialError::TOO_LARGE);
}

#[test]
fn a_questionnaire_has_so_many_rules() {
    let rules = |count: usize| -> Value { (0..count).map(|number| rule(&format!("R{number}"))).collect() };
    let with = |count: usize| define("MOOD", &json!([item("Q", "Q")]), &rules(count));
    let world = open_trial(10, 10);
    world.when(trial(), &with(50)).then(&["QuestionnaireDefined"]);
    world.when(trial(), &with(51)).then_refused(Invalid::TOO_MANY);
}
