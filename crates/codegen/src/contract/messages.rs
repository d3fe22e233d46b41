//! The messages of the AsyncAPI document: each event on NATS and over HTTP, and what is said of the stream itself.

use std::path::Path;

use event_bus::control::Why;
use event_bus::headers::{CHECKS, DATA_REF, HEADERS, Header, On};
use events::registry::contracts;
use events::set::{EventContract, schema_id};
use serde_json::{Map, Value, json};

use super::examples::{self, Example};
use super::schemas;
use crate::golden::{self, NotMadeUp};

/// How the name of a message over HTTP begins.
const STORED: &str = "Stored";

/// Messages by name.
pub struct Messages {
    /// Events on NATS.
    pub events: Map<String, Value>,
    /// What is said of the stream itself.
    pub controls: Map<String, Value>,
    /// Events over HTTP.
    pub stored: Map<String, Value>,
}

impl Messages {
    /// All of them; examples have the golden payloads of the source tree.
    ///
    /// # Errors
    /// [`NotMadeUp`].
    pub fn all(root: &Path) -> Result<Self, NotMadeUp> {
        let (mut events, mut stored) = (Map::new(), Map::new());
        for contract in contracts() {
            let schema = schemas::of_event(contract);
            let example = Example::new(contract, golden::payload(root, contract, &schema)?);
            let meaning = schemas::meaning(&schema);
            events.insert(contract.event_type.to_owned(), on_nats(contract, meaning, &example));
            stored.insert(format!("{STORED}{}", contract.event_type), over_http(contract, meaning, &example));
        }
        let controls = Why::ALL.into_iter().map(|why| (why.kind().to_owned(), control(why))).collect();
        Ok(Self { events, controls, stored })
    }

    /// All of them as components.
    pub fn components(&self) -> Map<String, Value> {
        [&self.events, &self.controls, &self.stored]
            .into_iter()
            .flatten()
            .map(|(n, m)| (n.clone(), m.clone()))
            .collect()
    }
}

/// References to the components, for a channel.
pub fn references(messages: &Map<String, Value>) -> Value {
    let reference = |name: &String| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")}));
    Value::Object(messages.keys().map(reference).collect())
}

/// The schemas of headers that messages have in common.
pub fn header_schemas() -> [(String, Value); 2] {
    let event = "Headers of an event: CloudEvents 1.0 in binary mode. Values are percent-encoded where they have anything \
                 but printable ASCII, blanks, double quotes or percent signs; names are compared without regard to case.";
    let control = "Headers of a control message: those that every message of the log has.";
    [
        ("EventHeaders".to_owned(), header_schema(event, |header| (header.on != On::Controls).then_some(header.on))),
        ("ControlHeaders".to_owned(), header_schema(control, |header| of_controls(header.on).then_some(header.on))),
    ]
}

fn of_controls(on: On) -> bool {
    matches!(on, On::All | On::Controls)
}

fn header_schema(description: &str, on: impl Fn(&Header) -> Option<On>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for header in HEADERS {
        let Some(on) = on(header) else { continue };
        properties.insert(header.name.to_owned(), header.schema());
        if matches!(on, On::All | On::Controls | On::Events) {
            required.push(header.name);
        }
    }
    for (name, meaning) in CHECKS {
        properties.insert((*name).to_owned(), json!({"type": "string", "description": meaning}));
    }
    json!({"type": "object", "description": description, "properties": properties, "required": required})
}

fn on_nats(contract: &EventContract, meaning: &str, example: &Example) -> Value {
    let (event_type, version) = (contract.event_type, contract.schema_version);
    let stream = contract.stream_type;
    let of_whole = HEADERS.iter().filter(|header| header.on == On::WholeEvents);
    let whole: Vec<&str> = of_whole.map(|header| header.name).collect();
    json!({
        "name": event_type,
        "title": event_type,
        "summary": first_line(meaning),
        "description": format!(
            "{meaning}\n\nIts stream is of the kind `{stream}`. Where `ce-dataref` is given, the payload is empty and served \
             there by the query API."
        ),
        "contentType": "application/json",
        "tags": [{"name": stream.as_str()}],
        "correlationId": {
            "description": "The first command of the whole conversation.",
            "location": "$message.header#/ce-correlationid"
        },
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/EventHeaders"}, {"anyOf": [{"required": whole}, {"required": [DATA_REF]}]}],
            "properties": {
                "ce-type": {"const": event_type},
                "ce-schemaversion": {"const": version.to_string()},
                "ce-dataschema": {"const": schema_id(event_type, version)},
                "ce-subject": {"pattern": format!("^{stream}/[0-9a-f-]{{36}}$")}
            }
        },
        "payload": {"$ref": format!("#/components/schemas/{event_type}")},
        "examples": [example.message()]
    })
}

fn control(why: Why) -> Value {
    json!({
        "name": why.kind(),
        "title": why.kind(),
        "summary": first_line(why.meaning()),
        "description": format!(
            "{} Every subscriber needs it to know what it may keep of what it heard. `ce-position` is that position.",
            why.meaning()
        ),
        "contentType": "application/json",
        "tags": [{"name": "control"}],
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/ControlHeaders"}],
            "properties": {
                "ce-type": {"const": why.kind()},
                "ce-dataschema": {"const": why.schema_id()}
            }
        },
        "payload": {"$ref": "#/components/schemas/LogBegun"},
        "examples": [examples::control(why)]
    })
}

fn over_http(contract: &EventContract, meaning: &str, example: &Example) -> Value {
    let event_type = contract.event_type;
    json!({
        "name": event_type,
        "title": format!("{event_type} in its envelope"),
        "summary": first_line(meaning),
        "description": format!(
            "{meaning}\n\nThe `data` of a frame of the event stream whose `event` is `{event_type}` and whose `id` is the \
             event's id. Treatment allocation is left out for whom the trial blinds."
        ),
        "contentType": "application/json",
        "tags": [{"name": contract.stream_type.as_str()}],
        "payload": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/StoredEvent"}],
            "properties": {
                "type": {"const": event_type},
                "schema_version": {"const": contract.schema_version},
                "stream": {"type": "object", "properties": {"type": {"const": contract.stream_type.as_str()}}},
                "payload": {"$ref": format!("#/components/schemas/{event_type}")}
            }
        },
        "examples": [example.stored()]
    })
}

/// The sentence in which it is said shortly.
pub fn first_line(meaning: &str) -> &str {
    meaning.lines().next().unwrap_or_default()
}
