//! The contract's own part of the OpenAPI document: where it is served.

use serde_json::{Value, json};

/// The media type of a JSON Schema.
const SCHEMA: &str = "application/schema+json";

/// Paths and schemas.
pub fn fragment() -> Value {
    let schema = json!({SCHEMA: {"schema": {"type": "object", "description": "A JSON Schema (2020-12) with an `$id`.",
        "additionalProperties": true}}});
    let asyncapi = json!({"application/json": {"schema": {"type": "object",
        "description": "An AsyncAPI document (3.0).", "additionalProperties": true}}});
    let list = json!({"application/json": {"schema": {"$ref": "#/components/schemas/SchemaList"}}});
    let kind = json!({"name": "kind", "in": "path", "required": true, "schema": {"type": "string",
        "enum": ["events", "control"]}, "description": "Whether it is an event's, or that of a message about the stream."});
    let name = json!({"name": "name", "in": "path", "required": true, "schema": {"type": "string",
        "examples": ["ConsentSigned"]}, "description": "The event's type."});
    let version = json!({"name": "version", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1,
        "maximum": 65535}, "description": "The version of the payload's schema."});
    json!({
        "paths": {
            "/asyncapi.json": get("getAsyncapi", "Gets the contract of events",
                "The AsyncAPI document: where events are sent, on NATS and over HTTP, and what each of them is.",
                &[], asyncapi),
            "/v1/schemas": get("listSchemas", "Lists the schemas of messages",
                "Every event and control message in every version, with what it means and where its schema is.",
                &[], list),
            "/v1/schemas/{kind}/{name}/{version}": get("getSchema", "Gets a message's schema",
                "The JSON Schema of the payload. Its address is what follows `urn:anamnesis:schema:` in the messages' \
                 `ce-dataschema`.", &[&kind, &name, &version], schema.clone()),
            "/v1/schemas/envelope": get("getEnvelopeSchema", "Gets the envelope's schema",
                "The JSON Schema of an event in its envelope, as the event stream and histories have it.", &[], schema),
            "/v1/event-keys": event_keys(),
            "/v1/events/{id}/payload": payload()
        },
        "components": {"schemas": {"EventKeys": event_keys_schema(), "SchemaList": list_schema(), "SchemaEntry": entry_schema()}}
    })
}

/// An operation that needs no token.
fn get(id: &str, summary: &str, description: &str, parameters: &[&Value], content: Value) -> Value {
    let mut responses = json!({
        "200": {"description": "Found.", "content": content},
        "400": problem("A parameter is unknown.")
    });
    if !parameters.is_empty() {
        responses["404"] = problem("There is no such message, or not in this version.");
    }
    json!({"get": {"operationId": id, "summary": summary, "description": description, "tags": ["schemas"],
        "security": [], "parameters": parameters, "responses": responses}})
}

fn event_keys() -> Value {
    let keys = json!({"application/jwk-set+json": {"schema": {"$ref": "#/components/schemas/EventKeys"}}});
    let mut operation = get(
        "getEventKeys",
        "Gets the keys of published events",
        "The public keys of the relay (RFC 7517, RFC 8037), by which subscribers verify `ce-signature` of messages on NATS. \
         While the relay's key is changed, the old one and the new one.",
        &[],
        keys,
    );
    operation["get"]["responses"]["404"] = problem("This server was not told any.");
    operation["get"]["tags"] = json!(["events"]);
    operation
}

fn event_keys_schema() -> Value {
    let text = |meaning: &str, pattern: &str| json!({"type": "string", "description": meaning, "pattern": pattern});
    json!({"type": "object", "required": ["keys"], "description": "A JSON Web Key Set.", "properties": {"keys": {
        "type": "array", "minItems": 1, "description": "In no order.", "items": {"type": "object",
        "description": "A public key of Ed25519.", "required": ["kty", "crv", "x", "kid", "use", "alg"], "properties": {
            "kty": {"type": "string", "const": "OKP", "description": "The kind of key."},
            "crv": {"type": "string", "const": "Ed25519", "description": "The curve."},
            "x": text("The key: a point, in base64url.", "^[A-Za-z0-9_-]{43}$"),
            "kid": text("Its thumbprint (RFC 7638), which messages name in `ce-keyid`.", "^[A-Za-z0-9_-]{43}$"),
            "use": {"type": "string", "const": "sig", "description": "What it is for."},
            "alg": {"type": "string", "const": "EdDSA", "description": "How it verifies."}
        }}
    }}})
}

fn payload() -> Value {
    let id = json!({"name": "id", "in": "path", "required": true, "description": "The event's id.",
        "schema": {"type": "string", "format": "uuid"}});
    let payload = json!({"application/json": {"schema": {"type": ["object", "null"], "additionalProperties": true,
        "description": "As the schema of the event's type and version says; null where the caller must not see any of it."}}});
    json!({"get": {"operationId": "getEventPayload", "summary": "Gets one event's payload",
    "description": "Only the payload of an event, without treatment allocation where the caller must not see it. The \
        address is what `ce-dataref` of a message gives whose payload is too large for NATS.",
    "tags": ["events"], "parameters": [id], "responses": {
        "200": {"description": "Found.", "content": payload},
        "400": problem("The id is malformed, or a parameter is unknown."),
        "401": problem("No token, or one that is malformed, forged or has run out."),
        "404": problem("There is no such event."),
        "429": problem("This account has too many requests at once."),
        "500": problem("The server failed; the cause is in its log under `trace_id`."),
        "503": problem("Not now: the database is away.")
    }}})
}

fn problem(description: &str) -> Value {
    json!({"description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}})
}

fn list_schema() -> Value {
    json!({"type": "object", "required": ["items"], "description": "Every schema of a message.", "properties": {
        "items": {"type": "array", "items": {"$ref": "#/components/schemas/SchemaEntry"},
            "description": "In the order of the kinds of stream, older versions first."}
    }})
}

fn entry_schema() -> Value {
    let text = |meaning: &str, example: &str| json!({"type": "string", "description": meaning, "examples": [example]});
    json!({"type": "object", "description": "The schema of a message.",
    "required": ["kind", "name", "version", "stream", "meaning", "id", "address"], "properties": {
        "kind": {"type": "string", "enum": ["events", "control"], "description": "Whether it is an event's."},
        "name": text("The event's type.", "ConsentSigned"),
        "version": {"type": "integer", "minimum": 1, "description": "The version of the schema."},
        "stream": text("The kind of stream that the event is in; `control` for what is said of the stream of messages.", "consent"),
        "meaning": text("What happened.", "A consent was signed."),
        "id": text("The schema's `$id`: the messages' `ce-dataschema`.", "urn:anamnesis:schema:events/ConsentSigned/1"),
        "address": text("Where the schema is.", "/v1/schemas/events/ConsentSigned/1")
    }})
}
