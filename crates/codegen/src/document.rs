//! The whole OpenAPI document.

use serde_json::{Map, Value, json};

use crate::{commands, contract, queries};

/// The document.
pub fn openapi() -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Anamnesis",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Event-sourced backend for clinical trials. Commands are POST, queries are GET.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "responses": {"Problem": {
                "description": "A problem document (RFC 9457); `type` names the rule.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            }},
            "schemas": {"Problem": problem_schema()}
        }
    });
    for fragment in [commands::fragment(), queries::fragment()] {
        merge(&mut document, fragment);
    }
    merge(&mut document, contract::paths::fragment());
    document
}

/// Adds what `other` has to `target`, object by object.
fn merge(target: &mut Value, other: Value) {
    match (target, other) {
        (Value::Object(target), Value::Object(other)) => merge_fields(target, other),
        (target, other) => *target = other,
    }
}

fn merge_fields(target: &mut Map<String, Value>, other: Map<String, Value>) {
    for (name, value) in other {
        merge(target.entry(name).or_insert(Value::Null), value);
    }
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "rule"],
        "properties": {
            "type": {"type": "string", "format": "uri", "examples": ["urn:anamnesis:problem:site-cap-reached"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "rule": {"type": "string"},
            "trace_id": {"type": "string"},
            "errors": {"type": "array", "items": {
                "type": "object",
                "required": ["field", "rule", "message"],
                "properties": {
                    "field": {"type": "string"}, "rule": {"type": "string"}, "message": {"type": "string"}
                }
            }}
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::{commands, queries};

    /// Both sides describe one interface: a name means the same in both.
    #[test]
    fn both_sides_of_the_interface_mean_the_same_by_a_name() {
        let (commands, queries) = (commands::fragment(), queries::fragment());
        let schemas = commands["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            let other = &queries["components"]["schemas"][name];
            assert!(other.is_null() || other == schema, "{name}: {schema:#} and {other:#}");
        }
    }
}
