//! The contract of events as it is published: the AsyncAPI document, and the schemas that it refers to.

use axum::Json;
use axum::extract::Path;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use service::problem::Problem;

use crate::parameters::Parameters;
use crate::published::SCHEMAS;

/// The AsyncAPI document (`cargo xtask codegen` writes it).
const DOCUMENT: &str = include_str!("../../../asyncapi/asyncapi.json");
/// The JSON Schema of an event in its envelope.
const ENVELOPE: &str = include_str!("../../../schemas/envelope.schema.json");

/// The schema of a message's payload, as it is checked in.
pub struct Published {
    /// Whether it is an event's or a control message's: `events` or `control`.
    pub kind: &'static str,
    /// The event's type.
    pub name: &'static str,
    /// The version of the schema.
    pub version: u16,
    /// The kind of stream that the event is in.
    pub stream: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// The schema.
    pub schema: &'static str,
}

impl Published {
    /// What follows `/v1/schemas/` in its address, and `urn:anamnesis:schema:` in its id.
    fn path(&self) -> String {
        format!("{}/{}/{}", self.kind, self.name, self.version)
    }

    fn entry(&self) -> Value {
        let path = self.path();
        json!({
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "stream": self.stream,
            "meaning": self.meaning,
            "id": format!("urn:anamnesis:schema:{path}"),
            "address": format!("/v1/schemas/{path}"),
        })
    }
}

/// `GET /asyncapi.json`.
pub async fn document(uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response())
}

/// `GET /v1/schemas`.
pub async fn list(uri: Uri) -> Result<Json<Value>, Problem> {
    Parameters::of(&uri)?.finish()?;
    Ok(Json(json!({"items": SCHEMAS.iter().map(Published::entry).collect::<Vec<_>>()})))
}

/// `GET /v1/schemas/envelope`.
pub async fn envelope(uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    Ok(json_schema(ENVELOPE))
}

/// `GET /v1/schemas/<kind>/<name>/<version>`.
pub async fn schema(Path(path): Path<(String, String, String)>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    let (kind, name, version) = path;
    let wanted = format!("{kind}/{name}/{version}");
    let found = SCHEMAS.iter().find(|published| published.path() == wanted);
    let none = || {
        let detail = format!("There is no schema `{wanted}`; GET /v1/schemas lists those that there are.");
        Problem::not_found("not-found", detail)
    };
    found.map(|published| json_schema(published.schema)).ok_or_else(none)
}

/// `GET /v1/event-keys`.
pub async fn event_keys(keys: Option<Value>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    let none = || {
        Problem::not_found("not-found", "This server was not told the keys of published events (--event-jwks-file).")
    };
    let keys = keys.ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "application/jwk-set+json")], keys.to_string()).into_response())
}

fn json_schema(schema: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], schema).into_response()
}

#[cfg(test)]
mod tests {
    use events::registry::contracts;
    use events::set::schema_id;
    use serde_json::Value;

    use super::SCHEMAS;

    #[test]
    fn the_schema_of_every_event_is_there_under_its_id() {
        for contract in contracts() {
            let id = schema_id(contract.event_type, contract.schema_version);
            let found = SCHEMAS.iter().find(|published| published.entry()["id"] == id.as_str());
            let found = found.unwrap_or_else(|| panic!("{id}: run `cargo xtask codegen`"));
            let schema: Value = serde_json::from_str(found.schema).expect("JSON");
            assert_eq!(schema["$id"], id);
        }
    }
}
