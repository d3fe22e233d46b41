//! Golden files: a payload of each event type and version, which every later program must still read.
//!
//! The first is made up here, of the event's JSON Schema, with every field filled. One that is there is never written
//! again: whoever wants another payload in it writes it by hand before the event is used.

use std::path::{Path, PathBuf};

use events::Misfit;
use events::ids::derive_id;
use events::set::{DecodeError, EventContract};
use serde_json::{Map, Value, json};

/// Where they are.
const FOLDER: &str = "schemas/events/golden";
/// A schema that contains itself is filled this deep.
const DEPTH_MAX: usize = 8;

/// A payload that was made up is not read as the event's: its type asks for more than its schema says.
#[derive(Debug, thiserror::Error)]
#[error("no payload of `{event_type}` can be made up: write {} by hand", path.display())]
pub struct NotMadeUp {
    event_type: &'static str,
    path: PathBuf,
    #[source]
    source: DecodeError,
}

/// The golden file of the event below `root`, with a payload, where there is none yet.
///
/// # Errors
/// [`NotMadeUp`].
pub fn missing(root: &Path, contract: &EventContract, schema: &Value) -> Result<Option<(PathBuf, Value)>, NotMadeUp> {
    let path = file(root, contract);
    if path.exists() {
        return Ok(None);
    }
    let made_up = value_of(schema, schema, contract.event_type, 0).to_string();
    // As the event writes it, so that reading it gives the same again.
    match (contract.rewrite)(contract.schema_version, made_up.as_bytes()) {
        Ok(payload) => Ok(Some((path, payload))),
        Err(source) => Err(NotMadeUp { event_type: contract.event_type, path, source }),
    }
}

/// The golden payload of the event below `root`, made up where there is none yet.
///
/// # Errors
/// [`NotMadeUp`].
pub fn payload(root: &Path, contract: &EventContract, schema: &Value) -> Result<Value, NotMadeUp> {
    if let Some((_, payload)) = missing(root, contract, schema)? {
        return Ok(payload);
    }
    let (event_type, path) = (contract.event_type, file(root, contract));
    let misfit = |error: Misfit| {
        let source = DecodeError::Payload { event_type, schema_version: contract.schema_version, source: error };
        NotMadeUp { event_type, path: path.clone(), source }
    };
    let text = std::fs::read(&path).map_err(|error| misfit(serde_json::Error::io(error).into()))?;
    serde_json::from_slice(&text).map_err(|error| misfit(error.into()))
}

fn file(root: &Path, contract: &EventContract) -> PathBuf {
    root.join(FOLDER).join(format!("{}.v{}.json", contract.event_type, contract.schema_version))
}

/// A value that the schema allows; `name` is the field that it is for.
pub fn value_of(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if let Some(example) = schema["examples"].get(0).or_else(|| schema.get("const")).or_else(|| schema["enum"].get(0)) {
        return example.clone();
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#'))) {
        return value_of(target, root, name, depth);
    }
    let of = |schema: &Value| value_of(schema, root, name, depth);
    let mut alternatives = ["oneOf", "anyOf"].iter().filter_map(|word| schema[word].as_array()).flatten();
    if let Some(alternative) = alternatives.find(|alternative| alternative["type"] != "null") {
        return with_fields(of(alternative), schema, root, depth);
    }
    if let Some(all) = schema["allOf"].as_array() {
        let parts = all.iter().map(of).filter_map(|part| part.as_object().cloned());
        return with_fields(Value::Object(parts.flatten().collect()), schema, root, depth);
    }
    match kind(schema) {
        Some("string") => text(schema, name),
        Some("integer") => json!(within(schema, 1.0) as i64),
        Some("number") => json!(within(schema, 1.5)),
        Some("boolean") => json!(true),
        Some("array") => array(schema, root, name, depth),
        Some("object") => with_fields(json!({}), schema, root, depth),
        _ => Value::Null,
    }
}

/// The schema's type, without the null of what may be absent.
fn kind(schema: &Value) -> Option<&str> {
    let kinds = schema["type"].as_array().map_or_else(|| std::slice::from_ref(&schema["type"]), Vec::as_slice);
    kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
}

fn text(schema: &Value, name: &str) -> Value {
    match schema["format"].as_str() {
        Some("uuid") => json!(derive_id("golden", &[name.as_bytes()])),
        Some("date-time") => json!("2026-01-31T12:00:00Z"),
        Some("date") => json!("2026-01-31"),
        _ => {
            let bound = |word: &str| schema[word].as_u64().and_then(|length| usize::try_from(length).ok());
            let words = name.replace('_', " ");
            let padded = format!("{words:x<width$}", width = bound("minLength").unwrap_or(0));
            json!(padded.chars().take(bound("maxLength").unwrap_or(usize::MAX)).collect::<String>())
        }
    }
}

/// The number, or the bound that it is beyond.
fn within(schema: &Value, number: f64) -> f64 {
    let bound = |inclusive: &str, exclusive: &str, step: f64| {
        schema[inclusive].as_f64().or_else(|| schema[exclusive].as_f64().map(|bound| bound + step))
    };
    let least = bound("minimum", "exclusiveMinimum", 1.0).unwrap_or(f64::MIN);
    number.min(bound("maximum", "exclusiveMaximum", -1.0).unwrap_or(f64::MAX)).max(least)
}

fn array(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if let Some(places) = schema["prefixItems"].as_array() {
        return places.iter().map(|place| value_of(place, root, name, depth + 1)).collect();
    }
    let least = schema["minItems"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let count = least.max(usize::from(depth < DEPTH_MAX));
    (0..count).map(|_| value_of(&schema["items"], root, name, depth + 1)).collect()
}

/// The value with the fields that the schema names; of a map, with one entry.
fn with_fields(value: Value, schema: &Value, root: &Value, depth: usize) -> Value {
    let Value::Object(mut fields) = value else { return value };
    let empty = Map::new();
    let is_required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, property) in schema["properties"].as_object().unwrap_or(&empty) {
        if depth < DEPTH_MAX || is_required(name) {
            fields.insert(name.clone(), value_of(property, root, name, depth + 1));
        }
    }
    if schema["additionalProperties"].is_object() && depth < DEPTH_MAX {
        fields.insert("key".to_owned(), value_of(&schema["additionalProperties"], root, "value", depth + 1));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use events::registry::contracts;
    use serde_json::{Value, json};

    use super::{missing, value_of};

    fn schema_of(contract: &events::set::EventContract) -> Value {
        (contract.schema)(&mut schemars::SchemaGenerator::default()).to_value()
    }

    #[test]
    fn a_payload_is_made_up_of_every_event_and_read_back_as_it_is() {
        let nowhere = tempfile::TempDir::new().expect("a folder");
        for contract in contracts() {
            let made_up = missing(nowhere.path(), contract, &schema_of(contract)).expect("a payload");
            let (path, payload) = made_up.expect("there is no file");
            let read = (contract.rewrite)(contract.schema_version, payload.to_string().as_bytes()).expect("it is read");
            assert_eq!(read, payload, "{}", path.display());
            assert!(!payload.to_string().contains("null"), "every field is filled: {payload:#}");
        }
    }

    #[test]
    fn a_golden_file_that_is_there_is_left_alone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for contract in contracts() {
            let made_up = missing(&root, contract, &schema_of(contract)).expect("nothing to make up");
            assert!(made_up.is_none(), "{made_up:?}: run `cargo xtask codegen`");
        }
    }

    #[test]
    fn values_keep_to_form_and_bounds() {
        let schema = json!({
            "type": "object",
            "required": ["trial_id"],
            "properties": {
                "trial_id": {"$ref": "#/$defs/Id"},
                "at": {"type": ["string", "null"], "format": "date-time"},
                "on": {"type": "string", "format": "date"},
                "grade": {"type": "integer", "minimum": 3, "maximum": 5},
                "share": {"type": "number", "maximum": 0},
                "code": {"type": "string", "maxLength": 2},
                "digest": {"type": "string", "minLength": 8},
                "severity": {"anyOf": [{"type": "null"}, {"oneOf": [{"const": "mild"}, {"const": "severe"}]}]},
                "notes": {"type": "array", "minItems": 2, "items": {"enum": ["seen", "heard"]}},
                "born": {"type": "string", "pattern": "^[0-9]{4}$", "examples": ["1961"]},
                "by_item": {"type": "object", "additionalProperties": {"type": "boolean"}},
                "within": {"$ref": "#"},
            },
            "$defs": {"Id": {"type": "string", "format": "uuid"}},
        });
        let mut value = value_of(&schema, &schema, "example", 0);
        let mut depth = 0;
        let mut within = value["within"].take();
        while !within["within"].is_null() {
            (within, depth) = (within["within"].take(), depth + 1);
        }
        assert!((1..20).contains(&depth), "a schema within itself comes to an end");
        let expected = json!({
            "trial_id": events::ids::derive_id("golden", &[b"trial_id"]), "at": "2026-01-31T12:00:00Z",
            "on": "2026-01-31", "grade": 3, "share": 0.0, "code": "co", "digest": "digestxx", "severity": "mild",
            "notes": ["seen", "seen"], "born": "1961", "by_item": {"key": true}, "within": null,
        });
        assert_eq!(value, expected);
    }
}
