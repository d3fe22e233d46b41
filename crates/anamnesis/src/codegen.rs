//! Generated files of the source tree: checked in, compared by `cargo xtask codegen --check`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::golden;

/// Writes every generated file, or compares it.
pub fn run(root: &Path, check: bool) -> io::Result<ExitCode> {
    let mut stale = Vec::new();
    for (path, text) in files(root)? {
        let path = root.join(path);
        if std::fs::read_to_string(&path).ok().as_deref() == Some(&text) {
            continue;
        }
        if check {
            stale.push(path);
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
        eprintln!("wrote {}", path.display());
    }
    for path in &stale {
        eprintln!("{} is not what the program generates: run `cargo xtask codegen`", path.display());
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every generated file with its content, and the golden files that are missing.
fn files(root: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = vec![(PathBuf::from("openapi/openapi.json"), pretty(&openapi()))];
    for contract in events::registry::contracts() {
        let name = format!("{}.v{}.schema.json", contract.event_type, contract.schema_version);
        let schema = (contract.schema)().to_value();
        let golden = golden::missing(root, contract, &schema).map_err(io::Error::other)?;
        files.extend(golden.map(|(path, payload)| (path, pretty(&payload))));
        files.push((PathBuf::from("schemas/events").join(name), pretty(&schema)));
    }
    Ok(files)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The whole OpenAPI document.
fn openapi() -> Value {
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
    for fragment in [command_api::openapi::fragment(), query_api::openapi::fragment()] {
        merge(&mut document, fragment);
    }
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
