//! The write side's part of the OpenAPI document, made from the list of commands.

use domain::commands::{COMMANDS, CommandSpec};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::tidy::tidied;

/// Paths and schemas of the write side.
pub fn fragment() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for spec in COMMANDS {
        let schema = Value::from((spec.schema)(&mut generator));
        for path in [Some(spec.path), spec.alias].into_iter().flatten() {
            let address = format!("/v1/{}/{{id}}/{path}", spec.collection);
            let suffix = if path == spec.path { "" } else { "ByAlias" };
            paths.insert(address, json!({"post": operation(spec, &schema, true, suffix)}));
        }
        if spec.creates {
            let create = operation(spec, &schema, false, "WithoutId");
            paths.insert(format!("/v1/{}", spec.collection), json!({"post": create}));
        }
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    // Not `Answer`: that is what a patient answers to an item.
    schemas.insert("CommandAnswer".to_owned(), answer_schema());
    tidied(json!({"paths": paths, "components": {"schemas": schemas}}))
}

fn operation(spec: &CommandSpec, schema: &Value, with_id: bool, suffix: &str) -> Value {
    let mut parameters = vec![
        json!({"name": "Idempotency-Key", "in": "header", "required": false,
            "description": "The same key again gets the first answer and changes nothing.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}}),
        json!({"name": "If-Match", "in": "header", "required": false,
            "description": "The version that the written stream must have, in quotes.",
            "schema": {"type": "string", "pattern": "^\"[0-9]+\"$"}}),
    ];
    if with_id {
        parameters.push(json!({"name": "id", "in": "path", "required": true,
            "schema": {"type": "string", "format": "uuid"}}));
    }
    let success = if spec.creates { "201" } else { "200" };
    let mut responses = Map::new();
    responses.insert(
        success.to_owned(),
        json!({"description": "Carried out, or carried out before by the same Idempotency-Key.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CommandAnswer"}}}}),
    );
    for status in ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429", "500", "503"] {
        responses.insert(status.to_owned(), json!({"$ref": "#/components/responses/Problem"}));
    }
    json!({
        "operationId": format!("{}{suffix}", spec.name),
        "summary": spec.summary,
        "tags": [spec.collection],
        "parameters": parameters,
        "requestBody": {"required": true, "content": {"application/json": {"schema": schema}}},
        "responses": responses,
    })
}

fn answer_schema() -> Value {
    json!({
        "type": "object",
        "required": ["stream", "version", "position", "events"],
        "properties": {
            "stream": {"$ref": "#/components/schemas/StreamId"},
            "version": {"type": "integer", "minimum": 0, "description": "The stream's version afterwards."},
            "position": {"type": "integer", "minimum": 0, "description": "Pass it as `at_least` to a query to read your write."},
            "events": {"type": "array", "items": {
                "type": "object",
                "required": ["position", "stream", "version", "event_id", "event_type"],
                "properties": {
                    "position": {"type": "integer"},
                    "stream": {"$ref": "#/components/schemas/StreamId"},
                    "version": {"type": "integer"},
                    "event_id": {"type": "string", "format": "uuid"},
                    "event_type": {"type": "string"}
                }
            }}
        }
    })
}
