//! The read side's part of the OpenAPI document, and the document itself.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::resources::{Kind, RESOURCES, Resource};

/// The whole document as it is checked in (`cargo xtask codegen` writes it).
const DOCUMENT: &str = include_str!("../../../openapi/openapi.json");
/// A page that lists the operations.
const PAGE: &str = include_str!("docs.html");

/// `GET /openapi.json`.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// `GET /docs`.
pub async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// Paths and schemas of the read side.
pub fn fragment() -> Value {
    let mut paths = Map::new();
    for resource in RESOURCES {
        let one = get(&format!("get one {}", resource.summary), resource.collection, document_parameters(), "Document");
        paths.insert(format!("/v1/{}", resource.collection), json!({"get": list_operation(resource)}));
        paths.insert(format!("/v1/{}/{{id}}", resource.collection), json!({"get": one}));
    }
    let enrolment = get("how far enrolment is", "trials", document_parameters(), "Enrolment");
    paths.insert("/v1/trials/{id}/enrolment".to_owned(), json!({"get": enrolment}));
    let timeline: Vec<Value> = [vec![id()], at_least(), paging("cursor")].concat();
    paths.insert(
        "/v1/patients/{id}/timeline".to_owned(),
        json!({"get": get("a patient's timeline", "patients", timeline, "List")}),
    );
    paths.insert("/v1/patients/{id}/history".to_owned(), json!({"get": history()}));
    paths.insert("/v1/views".to_owned(), json!({"get": get("where every view stands", "views", Vec::new(), "List")}));
    paths.insert("/v1/events".to_owned(), json!({"get": events()}));
    paths.insert("/v1/events/{id}".to_owned(), json!({"get": get("get one event", "events", vec![id()], "Document")}));
    json!({"paths": paths, "components": {"schemas": schemas()}})
}

fn list_operation(resource: &Resource) -> Value {
    let mut parameters: Vec<Value> = resource
        .filters
        .iter()
        .map(|filter| {
            let schema = match filter.kind {
                Kind::Text => json!({"type": "string", "pattern": "^[^\\u0000]*$"}),
                Kind::Uuid => json!({"type": "string", "format": "uuid"}),
                Kind::Boolean => json!({"type": "boolean"}),
                Kind::Since | Kind::Until => json!({"type": "string", "format": "date-time"}),
            };
            query(filter.parameter, schema)
        })
        .collect();
    let sorts: Vec<String> = resource.sorts.iter().flat_map(|sort| [(*sort).to_owned(), format!("-{sort}")]).collect();
    parameters.push(query("sort", json!({"type": "string", "enum": sorts})));
    parameters.extend(at_least());
    parameters.extend(paging("cursor"));
    get(&format!("list every {}", resource.summary), resource.collection, parameters, "List")
}

fn history() -> Value {
    let own = vec![
        id(),
        query("as_of", json!({"type": "string", "format": "date-time"})),
        query("at_position", position()),
        query("format", json!({"type": "string", "enum": ["json", "ndjson", "csv"]})),
    ];
    let mut operation =
        get("everything that is known about a patient", "patients", [own, paging("position")].concat(), "List");
    let content = &mut operation["responses"]["200"]["content"];
    content["application/x-ndjson"] = json!({"schema": {"type": "string"}});
    content["text/csv"] = json!({"schema": {"type": "string"}});
    operation
}

fn events() -> Value {
    let parameters = vec![
        query("trial", json!({"type": "string", "format": "uuid"})),
        query("patient", json!({"type": "string", "format": "uuid"})),
        query("stream", json!({"type": "string", "format": "uuid"})),
        query("type", json!({"type": "string", "pattern": "^[^\\u0000]*$"})),
        query("after", position()),
        json!({"name": "Last-Event-ID", "in": "header", "required": false,
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"}}),
    ];
    let mut operation = get("events as they happen", "events", parameters, "List");
    operation["responses"]["200"]["content"] = json!({"text/event-stream": {}});
    operation
}

fn get(summary: &str, tag: &str, parameters: Vec<Value>, schema: &str) -> Value {
    let mut responses = Map::new();
    let body = json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}});
    responses.insert("200".to_owned(), json!({"description": "Found.", "content": {"application/json": body}}));
    responses.insert("304".to_owned(), json!({"description": "The caller has it: nothing happened since."}));
    for status in ["400", "401", "403", "404", "405", "429", "500", "503"] {
        responses.insert(status.to_owned(), json!({"$ref": "#/components/responses/Problem"}));
    }
    let operation_id: String = summary
        .split([' ', ',', '\''])
        .filter(|word| !word.is_empty())
        .map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]))
        .collect();
    json!({"operationId": operation_id, "summary": format!("{}{}.", summary[..1].to_uppercase(), &summary[1..]),
        "tags": [tag], "parameters": parameters, "responses": responses})
}

fn document_parameters() -> Vec<Value> {
    [vec![id()], at_least()].concat()
}

fn id() -> Value {
    json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}})
}

fn at_least() -> Vec<Value> {
    vec![query("at_least", position()), query("timeout_ms", json!({"type": "integer", "minimum": 0, "maximum": 30000}))]
}

fn paging(after: &str) -> Vec<Value> {
    let after = if after == "position" { position() } else { json!({"type": "string"}) };
    vec![query("after", after), query("limit", json!({"type": "integer", "minimum": 1, "maximum": 1000}))]
}

fn position() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

fn query(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

fn schemas() -> Value {
    let counts =
        ["planned", "consented", "screened", "screen_failed", "enrolled", "randomised", "completed", "position"];
    let mut properties: Map<String, Value> =
        counts.iter().map(|name| ((*name).to_owned(), json!({"type": "integer", "minimum": 0}))).collect();
    properties
        .insert("discontinued".to_owned(), json!({"type": "object", "additionalProperties": {"type": "integer"}}));
    properties
        .insert("by_site".to_owned(), json!({"type": "array", "items": {"type": "object", "required": ["site"]}}));
    properties.insert(
        "by_arm".to_owned(),
        json!({"type": "array", "items": {"type": "object", "required": ["arm"]},
            "description": "Only for roles that may see allocation."}),
    );
    json!({
        "Document": {"type": "object"},
        "List": {"type": "object", "required": ["items", "next", "position"], "properties": {
            "items": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "Pass it as `after` to get the next page."},
            "position": {"type": "integer", "minimum": 0}
        }},
        "Enrolment": {"type": "object", "required": ["planned", "screened", "by_site", "position"], "properties": properties}
    })
}
