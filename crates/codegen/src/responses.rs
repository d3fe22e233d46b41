//! What an operation can be answered with besides what was asked for.

use serde_json::{Map, Value, json};

/// Of each status that is a problem: the response's name and what it means.
const PROBLEMS: [(&str, &str, &str); 14] = [
    ("400", "Malformed", "A parameter, header or field is not what it must be; `errors` names every one of them."),
    ("401", "Unauthenticated", "No token, or one that is malformed, forged or has run out."),
    ("403", "Forbidden", "The account may not do this, or nothing at all: `rule` tells why."),
    ("404", "NotFound", "There is no such thing."),
    ("408", "BodyTimeout", "The body did not come in time."),
    ("409", "Conflict", "Others changed it at the same time, or the log does not hold what it was asked for."),
    ("412", "PreconditionFailed", "The stream is not at a version that `If-Match` allows."),
    ("413", "TooLarge", "The body is larger than this server takes."),
    ("415", "UnsupportedMediaType", "The body is not JSON, or compressed in a way that this server does not know."),
    ("422", "Refused", "A rule forbids it; `rule` names it."),
    (
        "429",
        "TooManyRequests",
        "This account has as much at once, or as much of a second, as one may; `rule` and `detail` name the limit.",
    ),
    ("500", "Failed", "The server failed; the cause is in its log under `trace_id`."),
    ("503", "Unavailable", "Not now: the database is away, a view is behind, or there are too many requests."),
    ("504", "DeadlineExceeded", "It was not done in the time that the request gave."),
];

/// The responses that operations refer to.
pub fn components() -> Value {
    let responses = PROBLEMS.iter().map(|(status, name, meaning)| {
        let mut response = json!({
            "description": meaning,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        });
        if ["409", "429", "503"].contains(status) {
            response["headers"] = json!({"Retry-After": {"description": "Seconds after which to try again, where \
                that helps.", "schema": {"type": "integer", "minimum": 1}}});
        }
        ((*name).to_owned(), response)
    });
    Value::Object(responses.collect())
}

/// References to the responses of these statuses.
pub fn problems(statuses: &[&str]) -> Map<String, Value> {
    let of = |status: &&str| {
        let (_, name, _) = PROBLEMS.iter().find(|(known, ..)| known == status)?;
        Some(((*status).to_owned(), json!({"$ref": format!("#/components/responses/{name}")})))
    };
    statuses.iter().filter_map(of).collect()
}

/// The header by which an answer tells its state.
pub fn entity_tag() -> Value {
    json!({"description": "The state that is shown. A document's tag is what `If-Match` of a command on its stream \
            takes, and `If-None-Match` of a query.", "schema": {"type": "string"}})
}

/// The schemas of problem documents.
pub fn schemas() -> [(String, Value); 2] {
    let problem = json!({
        "type": "object",
        "description": "Why a request was not answered as asked (RFC 9457).",
        "required": ["type", "title", "status", "detail", "rule"],
        "properties": {
            "type": {"type": "string", "format": "uri", "examples": ["urn:anamnesis:problem:site-cap-reached"],
                "description": "`urn:anamnesis:problem:` and the rule."},
            "title": {"type": "string", "description": "What kind of problem it is."},
            "status": {"type": "integer", "description": "The HTTP status.", "examples": [422]},
            "detail": {"type": "string", "description": "What is wrong, and what would be right."},
            "rule": {"type": "string", "description": "The rule's name: it stays the same from release to release.",
                "examples": ["site-cap-reached"]},
            "trace_id": {"type": "string", "description": "Under this the server's log tells more."},
            "errors": {"type": "array", "description": "Every fault that was found, by field.",
                "items": {"$ref": "#/components/schemas/FieldProblem"}}
        }
    });
    let field = json!({
        "type": "object",
        "description": "What is wrong with one field.",
        "required": ["field", "rule", "message"],
        "properties": {
            "field": {"type": "string", "description": "Where: names joined by `/`, a parameter's or a header's name.",
                "examples": ["answers/PHQ0101"]},
            "rule": {"type": "string", "description": "The rule that it breaks."},
            "message": {"type": "string", "description": "What would be right."}
        }
    });
    [("Problem".to_owned(), problem), ("FieldProblem".to_owned(), field)]
}
