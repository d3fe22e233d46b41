//! What a correction changed, field by field.

use events::envelope::Envelope;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::blinding::Payload;

/// A field that an event corrected.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FieldChange {
    /// The field: names joined by `/`, such as `answers/PHQ0101`.
    pub field: String,
    /// What it was; null where it had no value.
    pub old: Value,
    /// What it is now; null where it has none any more.
    pub new: Value,
}

/// What the event corrected: it says so in two objects of one form, `changes` and `previous`.
pub fn of(event: &Envelope, payload: &Payload<'_>) -> Vec<FieldChange> {
    // Few events correct, and those name both.
    if !event.payload.windows(PREVIOUS.len()).any(|part| part == PREVIOUS) {
        return Vec::new();
    }
    let fields = match payload {
        Payload::Whole(raw) => serde_json::from_str(raw.get()).unwrap_or_default(),
        Payload::Blinded(value) => value.clone(),
    };
    let (Some(changes), Some(previous)) = (fields["changes"].as_object(), fields["previous"].as_object()) else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    compare("", changes, previous, &mut changed);
    changed
}

/// The name of the object that says what was.
const PREVIOUS: &[u8] = b"\"previous\"";

fn compare(above: &str, changes: &Map<String, Value>, previous: &Map<String, Value>, changed: &mut Vec<FieldChange>) {
    for (name, new) in changes {
        let field = format!("{above}{name}");
        match (new, previous.get(name)) {
            (Value::Object(new), Some(Value::Object(old))) => compare(&format!("{field}/"), new, old, changed),
            (new, old) => changed.push(FieldChange { field, old: old.cloned().unwrap_or_default(), new: new.clone() }),
        }
    }
}

/// A value as a cell of a table has it: text as it is, nothing for null.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{FieldChange, compare};

    #[test]
    fn fields_are_compared_however_deep_they_lie() {
        let (changes, previous) = (
            json!({"answers": {"A": 2, "B": null}, "term": "Rash", "ended": "2026-01-02"}),
            json!({"answers": {"A": 1, "B": 3}, "term": "Rsh", "ended": null}),
        );
        let fields = |value: &Value| value.as_object().expect("fields").clone();
        let mut changed = Vec::new();
        compare("", &fields(&changes), &fields(&previous), &mut changed);
        let change = |field: &str, old: Value, new: Value| FieldChange { field: field.to_owned(), old, new };
        let expected = [
            change("answers/A", json!(1), json!(2)),
            change("answers/B", json!(3), Value::Null),
            change("ended", Value::Null, json!("2026-01-02")),
            change("term", json!("Rsh"), json!("Rash")),
        ];
        assert_eq!(changed, expected);
    }
}
