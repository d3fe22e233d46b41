//! Schemas as generated clients understand them best.

use events::values::ALLOCATION;
use serde_json::{Map, Value, json};

/// The same schemas, said more plainly.
///
/// Enums of documented words come out of `schemars` as `oneOf` of constants, which several
/// generators cannot tell apart: they become an `enum`, with the words' meanings in its
/// description. What blinded roles do not receive is not required.
pub fn tidied(mut value: Value) -> Value {
    tidy(&mut value);
    value
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(tidy);
            default(fields);
            words(fields);
            allocation(fields);
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Says in words what counts where a field is left out: of what has a `default`, generators make fields that must be
/// sent. Of parameters it stays; they have no such schemas.
fn default(schema: &mut Map<String, Value>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        let told = match property.remove("default") {
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => continue,
            Some(Value::String(word)) => word,
            Some(value) => value.to_string(),
        };
        let own = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{own} Where it is left out: `{told}`.").trim().to_owned();
        property.insert("description".to_owned(), text.into());
    }
}

/// Makes an `enum` of a `oneOf` that has nothing but words.
fn words(schema: &mut Map<String, Value>) {
    let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let mut words = Vec::new();
    let mut meanings = Vec::new();
    for alternative in alternatives {
        let constant = alternative.get("const").map(std::slice::from_ref);
        let several = || alternative.get("enum").and_then(Value::as_array).map(Vec::as_slice);
        let Some(some) = constant.or_else(several) else { return };
        if !some.iter().all(Value::is_string) {
            return;
        }
        if let (Some(meaning), [Value::String(word)]) = (alternative["description"].as_str(), some) {
            meanings.push(format!("- `{word}`: {meaning}"));
        }
        words.extend_from_slice(some);
    }
    schema.remove("oneOf");
    let own = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let text = [own, Some(meanings.join("\n"))].into_iter().flatten().filter(|part| !part.is_empty());
    schema.insert("description".to_owned(), json!(text.collect::<Vec<_>>().join("\n\n")));
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(words));
}

fn allocation(schema: &mut Map<String, Value>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let is_open = |name: &Value| name.as_str().is_none_or(|name| properties[name][ALLOCATION] != true);
    let Some(required) = schema.get("required").and_then(Value::as_array) else { return };
    let required = required.iter().filter(|name| is_open(name)).cloned().collect();
    schema.insert("required".to_owned(), Value::Array(required));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::tidied;

    #[test]
    fn words_become_an_enum_allocation_is_not_required_and_defaults_are_words() {
        let schema = json!({
            "type": "object",
            "required": ["arm", "status"],
            "properties": {
                "arm": {"type": "string", "x-allocation": true},
                "status": {"description": "How far.", "oneOf": [
                    {"type": "string", "const": "open", "description": "It is."},
                    {"type": "string", "enum": ["closed", "gone"]}
                ]},
                "choice": {"oneOf": [{"type": "string", "const": "a"}, {"type": "object"}]},
                "weight": {"type": "integer", "description": "Parts.", "default": 1},
                "note": {"type": ["string", "null"], "default": null}
            }
        });
        let expected = json!({
            "type": "object",
            "required": ["status"],
            "properties": {
                "arm": {"type": "string", "x-allocation": true},
                "status": {
                    "description": "How far.\n\n- `open`: It is.", "type": "string", "enum": ["open", "closed", "gone"]
                },
                "choice": {"oneOf": [{"type": "string", "const": "a"}, {"type": "object"}]},
                "weight": {"type": "integer", "description": "Parts. Where it is left out: `1`."},
                "note": {"type": ["string", "null"]}
            }
        });
        assert_eq!(tidied(schema), expected);
    }
}
