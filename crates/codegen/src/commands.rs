//! The write side's part of the OpenAPI document, made from the list of commands.

use authority::signing::SIGNED_WITHIN;
use domain::commands::{COMMANDS, CommandSpec};
use events::envelope::Role;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::examples;
use crate::parameters::id;
use crate::responses::problems;
use crate::tidy::tidied;

/// Paths and schemas of the write side. A shorter address of a command is told in its description: as an operation of
/// its own it would be a second method of every client that does the same.
pub fn fragment() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for spec in COMMANDS.iter().filter(|spec| spec.is_sent()) {
        let schema = Value::from((spec.schema)(&mut generator));
        let address = format!("/v1/{}/{{id}}/{}", spec.collection, spec.path);
        paths.insert(address, json!({"post": operation(spec, &schema, true)}));
        if spec.creates {
            paths.insert(format!("/v1/{}", spec.collection), json!({"post": operation(spec, &schema, false)}));
        }
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    // Not `Answer`: that is what a patient answers to an item.
    schemas.insert("CommandAnswer".to_owned(), answer_schema());
    schemas.insert("RecordedEvent".to_owned(), recorded_event_schema());
    tidied(json!({"paths": paths, "components": {"schemas": schemas}}))
}

fn operation(spec: &CommandSpec, schema: &Value, with_id: bool) -> Value {
    let mut parameters = vec![
        json!({"name": "Idempotency-Key", "in": "header", "required": false,
            "description": "The same key again gets the first answer and changes nothing, for ever; keys are each account's \
                own. With another command, or another body, it is refused (`idempotency-key-reused`). A refused \
                command's key may be used again.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}}),
        json!({"name": "If-Match", "in": "header", "required": false,
            "description": "The ETag of the document in the address or of the one that the command changes, such as the \
                consent of a patient, or the version of the latter in quotes: the command is carried out only where \
                that is how it stands.",
            "schema": {"type": "string", "examples": ["\"3\""],
                "pattern": "^(\\*|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$"}}),
    ];
    if with_id {
        parameters.push(id());
    }
    let success = match (spec.accepted, spec.creates) {
        (true, _) => "202",
        (false, true) => "201",
        (false, false) => "200",
    };
    let mut responses =
        problems(&["400", "401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "500", "503"]);
    let replayed = json!({"description": "`true` where it was carried out before by the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]}});
    let mut headers = json!({"Idempotency-Replayed": replayed});
    if spec.creates {
        headers["Location"] = json!({"description": "Where what was brought into being can be read.",
            "schema": {"type": "string", "format": "uri-reference"}});
    }
    let done = if spec.accepted {
        "Taken, now or before by the same Idempotency-Key: it is done later, and `Location` tells how far it is."
    } else {
        "Carried out, or carried out before by the same Idempotency-Key."
    };
    responses.insert(
        success.to_owned(),
        json!({"description": done, "headers": headers,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CommandAnswer"}}}}),
    );
    let mut body = json!({"schema": schema});
    if let Some(example) = examples::of(spec.name) {
        body["examples"] = json!({"one": {"summary": spec.summary, "value": example}});
    }
    json!({
        "operationId": operation_id(spec, with_id),
        "summary": spec.summary.trim_end_matches('.'),
        "description": description(spec, with_id),
        "tags": [spec.collection],
        "parameters": parameters,
        "requestBody": {"required": true, "content": {"application/json": body}},
        "responses": responses,
    })
}

/// The command's name; where the server makes the id, `create` and what is created.
fn operation_id(spec: &CommandSpec, with_id: bool) -> String {
    if !with_id {
        return format!("create{:?}", spec.target);
    }
    format!("{}{}", spec.name[..1].to_lowercase(), &spec.name[1..])
}

fn description(spec: &CommandSpec, with_id: bool) -> String {
    let name = |role: Role| serde_json::to_value(role).ok()?.as_str().map(|name| format!("`{name}`"));
    let roles =
        Role::ALL.iter().filter(|role| authority::matrix::has_duty(**role, spec.duty)).filter_map(|role| name(*role));
    let roles: Vec<String> = roles.collect();
    let mut description = format!("{} May be sent by {}.", spec.summary, roles.join(", "));
    if spec.signed {
        let minutes = SIGNED_WITHIN.num_minutes();
        description.push_str(&format!(
            " People sign it: the token's `auth_time` may be {minutes} minutes old, otherwise 401 (`sign-in-again`)."
        ));
    }
    if spec.creates && with_id {
        description.push_str(" The client makes the id, a UUID.");
    }
    if !with_id {
        let same = operation_id(spec, true);
        description.push_str(&format!(" The server makes the id and tells it; otherwise the same as `{same}`."));
    }
    if let Some(alias) = spec.alias.filter(|_| with_id) {
        let address = format!("/v1/{}/{{id}}/{alias}", spec.collection);
        description.push_str(&format!(" `POST {address}` means the same."));
    }
    description
}

fn answer_schema() -> Value {
    json!({
        "type": "object",
        "description": "What became of a command.",
        "required": ["stream", "version", "position", "events"],
        "properties": {
            "stream": {"$ref": "#/components/schemas/StreamId"},
            "version": {"type": "integer", "format": "int64", "minimum": 0, "description": "The stream's version afterwards."},
            "position": {"type": "integer", "format": "int64", "minimum": 0,
                "description": "Pass it as `at_least` to a query to read your write."},
            "events": {"type": "array", "description": "What happened; nothing where it was so already.",
                "items": {"$ref": "#/components/schemas/RecordedEvent"}}
        }
    })
}

fn recorded_event_schema() -> Value {
    json!({
        "type": "object",
        "description": "An event that a command led to.",
        "required": ["position", "stream", "version", "event_id", "event_type"],
        "properties": {
            "position": {"type": "integer", "format": "int64", "minimum": 1, "description": "Its place in the log."},
            "stream": {"$ref": "#/components/schemas/StreamId"},
            "version": {"type": "integer", "format": "int64", "minimum": 1, "description": "Its place in the stream."},
            "event_id": {"type": "string", "format": "uuid", "description": "Its id."},
            "event_type": {"type": "string", "description": "Such as `ConsentSigned`."}
        }
    })
}
