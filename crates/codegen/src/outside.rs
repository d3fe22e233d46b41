//! What touches the world outside: receipts of messages, the knowledge base, information about drugs.

use serde_json::{Value, json};

use crate::responses::problems;

/// Paths and schemas.
pub fn fragment() -> Value {
    json!({
        "paths": {
            "/v1/callbacks/{channel}": receipt(),
            "/v1/knowledge/{language}": articles(),
            "/v1/knowledge/{language}/{id}": article(),
            "/v1/drugs/{name}": drug()
        },
        "components": {"schemas": {"ArticleTitle": title_schema(), "DrugLabel": label_schema()}}
    })
}

fn problem(description: &str) -> Value {
    json!({"description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}})
}

fn receipt() -> Value {
    let channel = json!({"name": "channel", "in": "path", "required": true, "description": "The channel of the message.",
        "schema": {"type": "string", "enum": ["sms", "push", "email", "webhook"]}});
    let header = |name: &str, meaning: &str| {
        json!({"name": name, "in": "header", "required": true,
        "description": meaning, "schema": {"type": "string"}})
    };
    let headers = [
        header("webhook-id", "Names the receipt."),
        header("webhook-timestamp", "When it was signed: seconds since 1970, at most five minutes ago."),
        header(
            "webhook-signature",
            "`v1,` and the HMAC-SHA256 of id, time and body by the secret, in base64; several with \
            blanks between them.",
        ),
    ];
    let body = json!({"type": "object", "required": ["message_id", "status"], "additionalProperties": false,
        "description": "What became of a message.", "properties": {
            "message_id": {"type": "string", "format": "uuid",
                "description": "The message, by the id under which it was handed over."},
            "status": {"type": "string", "enum": ["delivered", "undelivered"], "description": "What became of it."}}});
    json!({"post": {"operationId": "receiveReceipt", "summary": "Takes a receipt",
    "description": "Providers tell whether a message arrived, signed by the secret that was agreed (Standard Webhooks); \
        a receipt may come several times. Only where the server was given a secret.",
    "tags": ["messages"], "security": [],
    "parameters": [channel, headers[0], headers[1], headers[2]],
    "requestBody": {"required": true, "content": {"application/json": {"schema": body, "examples": {"one": {
            "summary": "It arrived.",
            "value": {"message_id": "0190b8a4-5f6e-7c3d-9a1b-2c3d4e5f6074", "status": "delivered"}}}}}},
    "responses": {
        "204": {"description": "Recorded, now or before."},
        "400": problem("The body is no receipt."),
        "401": problem("It is not signed as agreed."),
        "404": problem("There is no such message, no such channel, or receipts are not taken."),
        "413": problem("The body is too large."),
        "429": problem("Too many receipts at once."),
        "503": problem("It cannot be recorded now: send it again.")
    }}})
}

fn language() -> Value {
    json!({"name": "language", "in": "path", "required": true, "description": "BCP 47 language tag.",
        "schema": {"type": "string", "minLength": 1, "examples": ["en"]}})
}

/// An answer that anybody may keep for a while.
fn kept(description: &str, schema: Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}, "headers": {
        "ETag": {"description": "What `If-None-Match` is compared with.", "schema": {"type": "string"}},
        "Cache-Control": {"description": "For how long anybody may keep it.", "schema": {"type": "string"}}}})
}

fn articles() -> Value {
    let text = |name: &str, meaning: &str| {
        json!({"name": name, "in": "query", "required": false, "description": meaning,
        "schema": {"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"}})
    };
    let limit = json!({"name": "limit", "in": "query", "required": false, "description": "How many at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}});
    let page = json!({"type": "object", "required": ["items", "next"], "description": "A page of articles.", "properties": {
        "items": {"type": "array", "items": {"$ref": "#/components/schemas/ArticleTitle"}, "description": "What is on the page."},
        "next": {"type": ["string", "null"], "description": "Pass it as `after` to get the next page; null on the last."}}});
    json!({"get": {"operationId": "listKnowledge", "summary": "Lists articles of the knowledge base",
    "description": "Those in one language, the newest first. For everybody; within a budget of its own.",
    "tags": ["knowledge"], "security": [],
    "parameters": [language(),
        text("search", "Only those in which some word begins as each of these words, whatever its case and accents."),
        text("after", "Begins behind an earlier page: its `next`."), limit, known()],
    "responses": {
        "200": kept("Found.", page),
        "304": {"description": "As the caller has it."},
        "400": problem("A parameter is malformed or unknown."),
        "429": problem("Too many requests a second to the knowledge base."),
        "503": problem("Too many read it at once, or the database is away.")
    }}})
}

fn article() -> Value {
    let id = json!({"name": "id", "in": "path", "required": true, "description": "The article.",
        "schema": {"type": "string", "format": "uuid"}});
    json!({"get": {"operationId": "getKnowledge", "summary": "Gets an article of the knowledge base",
    "description": "The article in this language. For everybody; within a budget of its own.",
    "tags": ["knowledge"], "security": [], "parameters": [language(), id, known()],
    "responses": {
        "200": kept("Found.", json!({"$ref": "#/components/schemas/Article"})),
        "304": {"description": "As the caller has it."},
        "400": problem("The id is malformed, or a parameter is unknown."),
        "404": problem("There is no such article in this language."),
        "429": problem("Too many requests a second to the knowledge base."),
        "503": problem("Too many read it at once, or the database is away.")
    }}})
}

fn known() -> Value {
    json!({"name": "If-None-Match", "in": "header", "required": false,
        "description": "The ETag of what the caller has: where nothing changed the answer is 304.",
        "schema": {"type": "string"}})
}

fn title_schema() -> Value {
    let time = |meaning: &str| json!({"type": "string", "format": "date-time", "description": meaning});
    json!({"type": "object", "description": "An article as it is listed.",
        "required": ["article_id", "language", "title", "published_at", "revised_at"], "properties": {
            "article_id": {"type": "string", "format": "uuid", "description": "The article."},
            "language": {"type": "string", "description": "BCP 47 language tag."},
            "title": {"type": "string", "description": "Its title."},
            "published_at": time("When it could first be read."),
            "revised_at": {"type": ["string", "null"], "format": "date-time", "description": "When it was last changed."}}})
}

fn drug() -> Value {
    let name = json!({"name": "name", "in": "path", "required": true,
        "description": "A generic or brand name: letters, digits, blanks and any of `-',.`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 100, "examples": ["metformin"]}});
    let mut responses = problems(&["400", "401", "403", "404", "429", "500"]);
    responses.insert(
        "200".to_owned(),
        json!({"description": "Found: told just now, or kept, and `stale` where the source is away.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/DrugLabel"}}}}),
    );
    responses.insert("503".to_owned(), json!({"description": "The source is away, and nothing is known of this drug yet.",
        "headers": {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 1}}},
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}));
    json!({"get": {"operationId": "getDrug", "summary": "Tells about a drug",
        "description": "What the label of a drug says, from a source outside (`--drug-source-url`).",
        "tags": ["drugs"], "parameters": [name], "responses": responses}})
}

fn label_schema() -> Value {
    let texts = |meaning: &str| json!({"type": "array", "items": {"type": "string"}, "description": meaning});
    json!({"type": "object", "description": "What a source tells of a drug.",
        "required": ["name", "generic_names", "brand_names", "indications", "contraindications", "warnings",
            "adverse_reactions", "interactions", "effective_on", "source", "fetched_at", "age_seconds", "stale"],
        "properties": {
            "name": {"type": "string", "description": "The name that it was found by."},
            "generic_names": texts("Its generic names."),
            "brand_names": texts("Under which it is sold."),
            "indications": texts("What it is for."),
            "contraindications": texts("Who should not take it."),
            "warnings": texts("What to look out for."),
            "adverse_reactions": texts("What it does that it should not."),
            "interactions": texts("What it must not be taken with."),
            "effective_on": {"type": ["string", "null"], "description": "When the source changed it last, as it says."},
            "source": {"type": "string", "description": "Who says so."},
            "fetched_at": {"type": "string", "format": "date-time", "description": "When the source told it."},
            "age_seconds": {"type": "integer", "minimum": 0, "description": "How old that is."},
            "stale": {"type": "boolean", "description": "Whether the source could not be asked again."}}})
}
