//! Uploads of readings: all at once, or resumed (tus 1.0.0).

use serde_json::{Value, json};

use crate::responses::problems;

/// Paths and schemas.
pub fn fragment() -> Value {
    json!({
        "paths": {
            "/v1/patients/{id}/readings": {"post": send()},
            "/v1/uploads/{id}": {"get": status(), "head": offset(), "patch": resume()},
            "/v1/uploads/{id}/refused": {"get": refused()}
        },
        "components": {"schemas": {"Upload": upload(), "RefusedLine": line()}}
    })
}

fn id(what: &str) -> Value {
    json!({"name": "id", "in": "path", "required": true, "description": what,
        "schema": {"type": "string", "format": "uuid"}})
}

fn parameter(name: &str, place: &str, required: bool, meaning: &str, schema: Value) -> Value {
    json!({"name": name, "in": place, "required": required, "description": meaning, "schema": schema})
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"})
}

fn bytes() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

fn send() -> Value {
    let uuid = json!({"type": "string", "format": "uuid"});
    let time = json!({"type": "string", "format": "date-time"});
    let parameters = json!([
        id("The patient."),
        parameter("trial_id", "query", false, "The trial; with tus it may stand in the metadata instead.", uuid),
        parameter(
            "format",
            "query",
            false,
            "With tus: how lines are written.",
            json!({"type": "string", "enum": ["ndjson", "csv"]})
        ),
        parameter("device", "query", false, "The device, for lines that name none.", text()),
        parameter("time_zone", "query", false, "The IANA time zone of times without an offset.", text()),
        parameter(
            "device_time",
            "query",
            false,
            "What the device's clock shows now: how far it is ahead is kept.",
            time
        ),
        parameter(
            "Tus-Resumable",
            "header",
            false,
            "Begins an upload that can be resumed.",
            json!({"type": "string", "enum": ["1.0.0"]})
        ),
        parameter("Upload-Length", "header", false, "With tus: how many bytes there will be.", bytes()),
        parameter(
            "Upload-Metadata",
            "header",
            false,
            "With tus: the parameters, each a name and a value in base64, with commas in between.",
            text()
        )
    ]);
    let lines = json!({"schema": {"type": "string", "description": "A reading on each line."}});
    let mut responses = problems(&["400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "500", "503"]);
    responses.insert(
        "200".to_owned(),
        json!({"description": "Looked at to its end: `errors` tells what was not taken.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Upload"}}}}),
    );
    responses.insert(
        "201".to_owned(),
        json!({"description": "With tus: the upload begins.", "headers": {
            "Location": {"description": "Where it goes on.", "schema": {"type": "string"}},
            "Tus-Resumable": {"description": "1.0.0", "schema": {"type": "string"}}}}),
    );
    json!({"operationId": "sendReadings", "summary": "Takes readings of a wearable",
        "description": "Lines of any number, streamed, perhaps packed with gzip or zstd. Good lines are taken whatever stands in \
            the others; what was sent before is not stored again (docs/guides/wearables.md).",
        "tags": ["readings"], "parameters": parameters,
        "requestBody": {"required": false, "content": {"application/x-ndjson": lines, "text/csv": lines}},
        "responses": responses})
}

fn status() -> Value {
    let mut responses = problems(&["400", "401", "403", "404", "429", "500", "503"]);
    responses.insert(
        "200".to_owned(),
        json!({"description": "Found.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Upload"}}}}),
    );
    json!({"operationId": "getUpload", "summary": "Tells how far an upload has come",
        "description": "How many lines were looked at, and what became of the readings in them.",
        "tags": ["readings"], "parameters": [id("The upload.")], "responses": responses})
}

fn resumable() -> Value {
    parameter("Tus-Resumable", "header", true, "The version of tus.", json!({"type": "string", "enum": ["1.0.0"]}))
}

fn place(description: &str) -> Value {
    json!({"description": description, "headers": {
        "Upload-Offset": {"description": "How many bytes were taken.", "schema": bytes()},
        "Upload-Length": {"description": "How many there will be.", "schema": bytes()},
        "Tus-Resumable": {"description": "1.0.0", "schema": {"type": "string"}}}})
}

fn offset() -> Value {
    let mut responses = problems(&["400", "401", "403", "404", "412", "429", "500", "503"]);
    responses.insert("200".to_owned(), place("Where to go on."));
    json!({"operationId": "getUploadOffset", "summary": "Tells where an upload goes on",
        "description": "How many bytes were taken: what was stored when it broke off stays.",
        "tags": ["readings"], "parameters": [id("The upload."), resumable()], "responses": responses})
}

fn resume() -> Value {
    let mut responses = problems(&["400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "500", "503"]);
    responses.insert("204".to_owned(), place("Taken."));
    let offset = parameter("Upload-Offset", "header", true, "How many bytes were taken before.", bytes());
    json!({"operationId": "resumeUpload", "summary": "Goes on with an upload",
        "description": "Takes the bytes behind those that were taken before.",
        "tags": ["readings"], "parameters": [id("The upload."), resumable(), offset],
        "requestBody": {"required": true, "content": {"application/offset+octet-stream":
            {"schema": {"type": "string", "description": "The bytes."}}}},
        "responses": responses})
}

fn refused() -> Value {
    let mut responses = problems(&["400", "401", "403", "404", "429", "500", "503"]);
    responses.insert(
        "200".to_owned(),
        json!({"description": "All of it, in the order of the lines.", "content": {
            "application/x-ndjson": {"schema": {"type": "string", "description": "A `RefusedLine` a line."}},
            "text/csv": {"schema": {"type": "string", "description": "Under a header a row for each."}}}}),
    );
    let format = json!({"type": "string", "enum": ["ndjson", "csv"], "default": "ndjson"});
    json!({"operationId": "exportRefusedLines", "summary": "Exports what of an upload was not taken",
        "description": "Every line, or reading in it, that was not taken, with why.",
        "tags": ["readings"], "parameters": [id("The upload."), parameter("format", "query", false, "The form.", format)],
        "responses": responses})
}

fn line() -> Value {
    let text = |meaning: &str| json!({"type": "string", "description": meaning});
    json!({"type": "object", "description": "A line, or a reading in it, that was not taken.",
        "required": ["line", "field", "rule", "message"], "properties": {
            "line": {"type": "integer", "format": "int64", "minimum": 0, "description": "The line, from 1; 0 where it is not known any more."},
            "field": text("The field at fault; empty for the line as a whole."),
            "rule": text("The rule that it breaks."),
            "message": text("What is wrong, and what would be right.")}})
}

fn upload() -> Value {
    let id = |meaning: &str| json!({"type": "string", "format": "uuid", "description": meaning});
    let count = |meaning: &str| json!({"type": "integer", "format": "int64", "minimum": 0, "description": meaning});
    json!({"type": "object", "description": "How an upload of readings stands.",
        "required": ["upload_id", "trial_id", "patient_id", "status", "length", "received", "lines", "stored", "apart", "known",
            "refused", "begun_at", "ended_at", "errors", "refused_lines"],
        "properties": {
            "upload_id": id("The upload."),
            "trial_id": id("The trial."),
            "patient_id": id("Whose readings they are."),
            "status": {"type": "string", "enum": ["open", "complete"], "description": "Whether all of it was there."},
            "length": {"type": ["integer", "null"], "format": "int64", "minimum": 0,
                "description": "Bytes that there will be, where that is known."},
            "received": count("Bytes that were taken, unpacked."),
            "lines": count("Lines that were looked at."),
            "stored": count("Readings that are new."),
            "apart": count("Readings that are new, of devices that are not known to be the subject's: stored apart."),
            "known": count("Readings that were there before."),
            "refused": count("Readings, or whole lines, that were not taken."),
            "begun_at": {"type": "string", "format": "date-time", "description": "When it began."},
            "ended_at": {"type": ["string", "null"], "format": "date-time", "description": "When all of it was there."},
            "position": count("The position of the last event that tells of it."),
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/RefusedLine"},
                "description": "The first hundred of those that were not taken."},
            "refused_lines": {"type": "string", "description": "Where all of them are."}}})
}
