//! The AsyncAPI document: where events are sent, and what each of them is.

use std::path::Path;

use event_bus::control::Why;
use event_bus::topology::{CONTROL_ADDRESS, EVENT_ADDRESS, STREAM_ADDRESS};
use events::ids::StreamType;
use events::registry::contracts;
use query_api::sse;
use serde_json::{Map, Value, json};

use super::messages::{Messages, header_schemas, references};
use super::schemas;
use crate::document::openapi;
use crate::golden::NotMadeUp;

/// What the document says first.
const ABOUT: &str = "Every event of an Anamnesis log, in the log's one order: on NATS JetStream as CloudEvents 1.0 in \
    binary mode, and over HTTP as server-sent events. A subscriber keeps of which log, in which epoch, and the position \
    and id of the last event that it took, stored together with what it made of the event; so it notices whatever can \
    happen to a stream. On NATS every message is signed by the relay (Ed25519, `ce-signature`; its public keys are at \
    `/v1/event-keys` of the query API): a subscriber proves it before it believes anything. Signed is the line \
    `anamnesis-event-signature-v1`, then for every header that begins with `ce-`, but for `ce-signature`, a line \
    `name:value`, in the order of the names, these in lower case and the values as they are on the wire, each line ended \
    by a line feed; the payload by `ce-datahash`. The examples are signed by the key of RFC 8037, appendix A. Delivery is \
    at least once. Schemas are JSON Schema draft 7.";

/// The document.
///
/// # Errors
/// [`NotMadeUp`].
pub fn document(root: &Path) -> Result<Value, NotMadeUp> {
    let messages = Messages::all(root)?;
    let mut components = schemas::components();
    components.extend(header_schemas());
    Ok(json!({
        "asyncapi": "3.0.0",
        "id": "urn:anamnesis:events",
        "info": {
            "title": "Anamnesis: events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "contact": {"name": "Whoever runs this server"},
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": tags(),
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": {
            "events": events(&messages),
            "control": control(&messages),
            "stream": stream(&messages),
        },
        "operations": operations(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A token of `anamnesis token`: it names an account and its role."}},
            "messages": messages.components(),
            "schemas": components,
        }
    }))
}

fn tags() -> Vec<Value> {
    let streams = StreamType::ALL.iter().map(|kind| (kind.as_str(), schemas::stream_meaning(*kind)));
    let control = ("control", "The stream of messages itself.".to_owned());
    streams.chain([control]).map(|(name, meaning)| json!({"name": name, "description": meaning})).collect()
}

fn servers() -> Value {
    json!({
        "nats": {
            "host": "{host}",
            "protocol": "nats",
            "description": format!(
                "NATS with JetStream, in the distributed form. All messages are in the stream `{STREAM_ADDRESS}`. How to \
                 authenticate is up to the installation; subscribers need no more than to read."
            ),
            "variables": {"host": {"default": "127.0.0.1:4222", "description": "Host and port of NATS."}}
        },
        "http": {
            "host": "{host}",
            "protocol": "http",
            "description": "The query API.",
            "variables": {"host": {"default": "127.0.0.1:8080", "description": "Host and port of the query API."}},
            "security": [{"$ref": "#/components/securitySchemes/token"}]
        }
    })
}

fn uuid(meaning: &str) -> Value {
    json!({"description": meaning, "examples": ["01890a5d-ac96-774b-bcce-b302099a8057"]})
}

fn events(messages: &Messages) -> Value {
    let types: Vec<&str> = contracts().map(|contract| contract.event_type).collect();
    let streams: Vec<&str> = StreamType::ALL.iter().map(|kind| kind.as_str()).collect();
    json!({
        "address": EVENT_ADDRESS,
        "title": "Events on NATS",
        "description": "One subject for each event: a subscriber filters by any part of it, such as \
            `anamnesis.*.events.*.*.*.AlertRaised`. Who filters cannot see gaps; who takes everything can, by \
            `ce-position`.",
        "servers": [{"$ref": "#/servers/nats"}],
        "parameters": {
            "log": uuid("The log's id."),
            "trial": uuid("The id of the trial that the event is about; `-` where it is about none."),
            "streamType": {"description": "The type of the event's stream.", "enum": streams},
            "streamId": uuid("The id of the event's stream."),
            "eventType": {"description": "The event's type.", "enum": types}
        },
        "messages": references(&messages.events)
    })
}

fn control(messages: &Messages) -> Value {
    let types = Why::ALL.map(Why::kind);
    json!({
        "address": CONTROL_ADDRESS,
        "title": "The stream itself, on NATS",
        "description": "What is said of the stream, between the two events where it counts. Every subscriber takes \
            `anamnesis.<log>.control.>` as well.",
        "servers": [{"$ref": "#/servers/nats"}],
        "parameters": {
            "log": uuid("The log's id."),
            "controlType": {"description": "What is said.", "enum": types}
        },
        "messages": references(&messages.controls)
    })
}

fn stream(messages: &Messages) -> Value {
    json!({
        "address": "/v1/events",
        "title": "Events over HTTP",
        "description": format!(
            "Server-sent events. `event` is the event's type, `id` its id, `data` one line of JSON: the event in its \
             envelope. The first frame asks browsers to come again after {} ms where the stream ends (`retry`). Where \
             nothing was sent for {} s, and where many events did not pass the filter, comes a comment (`:`) with the \
             `id` of the last event that was looked at and without `data`: it is no event, and `Last-Event-ID` may name \
             it. `Last-Event-ID` or `after` go on behind an event; 409 says that the log no longer has it. The stream \
             ends with the token.",
            sse::RETRY.as_millis(),
            sse::HEARTBEAT.as_secs()
        ),
        "servers": [{"$ref": "#/servers/http"}],
        "messages": references(&messages.stored)
    })
}

fn operations() -> Value {
    json!({
        "publishEvents": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "title": "Publish events",
            "summary": "Publishes every event of the log, in order."
        },
        "publishControl": {
            "action": "send",
            "channel": {"$ref": "#/channels/control"},
            "title": "Say what happened to the stream",
            "summary": "Says where the log began a new epoch, and that events come again."
        },
        "streamEvents": {
            "action": "send",
            "channel": {"$ref": "#/channels/stream"},
            "title": "Stream events",
            "summary": "Sends events from a place in the log on, then as they happen.",
            "bindings": {"http": {"method": "GET", "query": query(), "bindingVersion": "0.3.0"}}
        }
    })
}

/// The parameters of the event stream, as the OpenAPI document has them.
fn query() -> Value {
    let document = openapi();
    let parameters = document["paths"]["/v1/events"]["get"]["parameters"].as_array().cloned().unwrap_or_default();
    let mut properties = Map::new();
    for parameter in parameters.into_iter().filter(|parameter| parameter["in"] == "query") {
        let Some(name) = parameter["name"].as_str() else { continue };
        let mut schema = parameter["schema"].clone();
        if let Some(meaning) = parameter["description"].as_str() {
            schema["description"] = meaning.into();
        }
        properties.insert(name.to_owned(), schema);
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}
