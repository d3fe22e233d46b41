//! The JSON Schemas of what is sent: each as a file of its own, and all of them as one document's components.

use event_bus::control::{Begun, Why};
use events::ids::StreamType;
use events::registry::contracts;
use events::set::{EventContract, schema_id};
use events::values::{ALLOCATION, PERSONAL, SEALED};
use query_api::answers::Entry;
use schemars::generate::SchemaSettings;
use schemars::{SchemaGenerator, schema_for};
use serde_json::{Map, Value, json};

use crate::tidy::tidied;

/// Where the components of a document are.
const COMPONENTS: &str = "/components/schemas";
/// Formats that tell how wide a whole number is kept.
const WIDTHS: [&str; 8] = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"];
/// The id of the envelope's schema.
const ENVELOPE_ID: &str = "urn:anamnesis:schema:envelope";

/// The schema of an event's payloads.
pub fn of_event(contract: &EventContract) -> Value {
    let schema = as_stored((contract.schema)(&mut SchemaGenerator::default()).to_value());
    with_id(schema, schema_id(contract.event_type, contract.schema_version))
}

/// The schema of a control message's data.
pub fn of_control(why: Why) -> Value {
    let mut schema = SchemaGenerator::default().root_schema_for::<Begun>().to_value();
    schema["title"] = why.kind().into();
    schema["description"] = why.meaning().into();
    with_id(schema, why.schema_id())
}

/// The schema of an event in its envelope, as the query API sends it.
pub fn of_envelope() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    with_id(tidied(generator.into_root_schema_for::<Entry<'_>>().to_value()), ENVELOPE_ID.to_owned())
}

fn with_id(schema: Value, id: String) -> Value {
    let mut schema = of_any_program(schema);
    schema["$id"] = id.into();
    schema
}

/// Without how wide our program keeps a whole number, such as `uint32`: JSON Schema has no such formats, and validators
/// warn of what they do not know. What values there can be, `minimum` and `maximum` say.
fn of_any_program(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            let is_width = |format: &Value| format.as_str().is_some_and(|format| WIDTHS.contains(&format));
            if fields.get("format").is_some_and(is_width) {
                fields.remove("format");
            }
            fields.values_mut().for_each(|value| *value = of_any_program(value.take()));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = of_any_program(value.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    schema
}

/// As it is stored and published: personal data and treatment allocation may stand there sealed.
fn as_stored(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) if fields.contains_key(PERSONAL) || fields.contains_key(ALLOCATION) => {
            let marks = [PERSONAL, ALLOCATION].into_iter().filter_map(|mark| fields.remove_entry(mark));
            let mut outside: Map<String, Value> = marks.collect();
            // What tells of the field, and not of its value.
            outside.extend(["description", "default"].into_iter().filter_map(|word| fields.remove_entry(word)));
            let sealed = json!({
                "type": "object",
                "description": "Sealed: bound to whom it tells of, to the event and the field; opened by Anamnesis alone.",
                "properties": {SEALED: {"type": "string"}},
                "required": [SEALED],
                "additionalProperties": false,
            });
            outside.insert("anyOf".to_owned(), Value::Array(vec![Value::Object(std::mem::take(fields)), sealed]));
            Value::Object(outside)
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| *value = as_stored(value.take()));
            schema
        }
        Value::Array(values) => {
            values.iter_mut().for_each(|value| *value = as_stored(value.take()));
            schema
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema,
    }
}

/// What happened, in the words of the event's declaration.
pub fn meaning(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// What a kind of stream is of, in the words of the registry.
pub fn stream_meaning(stream_type: StreamType) -> String {
    let schema = schema_for!(StreamType).to_value();
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    let mut found = alternatives.filter(|alternative| alternative["const"] == stream_type.as_str());
    found.next().map(|found| meaning(found).to_owned()).unwrap_or_default()
}

/// The schemas of all payloads and of the envelope, with all that they refer to, by name.
///
/// In the dialect of AsyncAPI (JSON Schema draft 7). Treatment allocation is not required: over HTTP blinded roles do
/// not get it.
pub fn components() -> Map<String, Value> {
    all().into_iter().collect()
}

/// The same, as they come: a name that means two things is there with both.
pub fn all() -> Vec<(String, Value)> {
    let settings = || {
        SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = COMPONENTS.into();
            settings.meta_schema = None;
        })
    };
    let mut read = settings().into_generator();
    let mut schemas = Vec::new();
    for contract in contracts() {
        schemas.push((contract.event_type.to_owned(), component(as_stored((contract.schema)(&mut read).to_value()))));
    }
    schemas.push(("LogBegun".to_owned(), component(read.root_schema_for::<Begun>().to_value())));
    let mut written = settings().for_serialize().into_generator();
    schemas.push(("StoredEvent".to_owned(), component(written.root_schema_for::<Entry<'_>>().to_value())));
    schemas.extend(read.take_definitions(true).into_iter().map(|(name, schema)| (name, as_stored(schema))));
    schemas.extend(written.take_definitions(true));
    schemas.into_iter().map(|(name, schema)| (name, of_any_program(tidied(schema)))).collect()
}

/// A root schema without what it refers to: that is a component itself.
fn component(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("components");
    }
    schema
}
