//! Every text of every command is checked before anything is looked up: the walk goes over the registry of commands, by
//! the examples that the interface document shows.

use std::collections::BTreeMap;

use decider::{Decide as _, Fact, Facts, Halt, Refusal, RefusalKind};
use domain::commands::{COMMANDS, CommandSpec};
use serde_json::Value;
use testkit::given::context;
use uuid::Uuid;

/// Bodies by command.
fn examples() -> BTreeMap<String, Value> {
    let examples = include_str!("../../../codegen/examples/commands.json");
    serde_json::from_str(examples).expect("examples are JSON")
}

/// Where texts stand in a body, as JSON Pointers.
fn texts(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(place.to_owned()),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| texts(value, &format!("{place}/{index}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| texts(value, &format!("{place}/{name}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What becomes of a body where nothing has happened yet.
fn sent(spec: &CommandSpec, body: &Value) -> Result<(), Refusal> {
    let bytes = serde_json::to_vec(body).expect("JSON");
    let command = (spec.parse)(Uuid::from_u128(1), &bytes).map_err(|error| Refusal {
        rule: "malformed".to_owned(),
        kind: RefusalKind::Invalid,
        field: Some(error.field),
        message: error.message,
        faults: Vec::new(),
    })?;
    let mut facts = Facts::new();
    loop {
        match command.decide(&context(), &facts) {
            Ok(_) => return Ok(()),
            Err(Halt::Refused(refusal)) => return Err(refusal),
            Err(Halt::Needs(needs)) => {
                for need in needs {
                    facts.insert(need.stream, Fact::absent(&need.fold));
                }
            }
        }
    }
}

/// Whether the refusal names the field, or what it is a part of.
fn names(refusal: &Refusal, field: &str) -> bool {
    let named = refusal.faults.iter().map(|fault| &fault.field).chain([&refusal.field]).flatten();
    named.into_iter().any(|named| named == field || field.starts_with(&format!("{named}/")))
}

#[test]
fn every_text_of_every_command_is_checked_before_anything_is_looked_up() {
    let examples = examples();
    let (mut checked, mut unchecked) = (0, Vec::new());
    // What the program writes down of a failure is taken as it is: it must not fail in turn.
    for spec in COMMANDS.iter().filter(|spec| !["RecordDeadLetter", "RecordIncident"].contains(&spec.name)) {
        let body = examples.get(spec.name).unwrap_or_else(|| panic!("{} has no example", spec.name));
        if let Err(refusal) = sent(spec, body) {
            assert_ne!(refusal.kind, RefusalKind::Invalid, "{}: {refusal:?}", spec.name);
        }
        let mut places = Vec::new();
        texts(body, "", &mut places);
        for place in places {
            let field = place.trim_start_matches('/');
            for wrong in [String::new(), "\u{200b}".to_owned(), "a\u{7}b".to_owned(), "x".repeat(20_001)] {
                let mut body = body.clone();
                *body.pointer_mut(&place).expect("it was found there") = Value::String(wrong.clone());
                match sent(spec, &body) {
                    Err(refusal) if refusal.kind == RefusalKind::Invalid && names(&refusal, field) => checked += 1,
                    other => unchecked.push(format!("{}: {field} = {wrong:.10?}…: {other:?}", spec.name)),
                }
            }
        }
    }
    assert!(unchecked.is_empty(), "{unchecked:#?}");
    assert!(checked > 200, "{checked}");
}

#[test]
fn every_list_of_every_command_has_an_end() {
    let (mut checked, mut unchecked) = (0, Vec::new());
    for (name, body) in examples() {
        let Some(spec) = COMMANDS.iter().find(|spec| spec.name == name) else { panic!("{name} is no command") };
        let mut lists = Vec::new();
        lists_of(&body, "", &mut lists);
        for place in lists {
            let mut body = body.clone();
            let list = body.pointer_mut(&place).and_then(Value::as_array_mut).expect("it was found there");
            let first = list[0].clone();
            list.resize(501, first);
            let field = place.trim_start_matches('/');
            match sent(spec, &body) {
                Err(refusal) if refusal.kind == RefusalKind::Invalid && names(&refusal, field) => checked += 1,
                other => unchecked.push(format!("{name}: {field}: {other:?}")),
            }
        }
    }
    assert!(unchecked.is_empty(), "{unchecked:#?}");
    assert!(checked > 5, "{checked}");
}

fn lists_of(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            if !values.is_empty() {
                found.push(place.to_owned());
            }
            values.iter().enumerate().for_each(|(index, value)| lists_of(value, &format!("{place}/{index}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| lists_of(value, &format!("{place}/{name}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
