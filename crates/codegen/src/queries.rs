//! The read side's part of the OpenAPI document, made from what views declare.

use query_api::answers::{Entry, Page, PatientState, TimelineEntry, ViewStatus};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use view_schema::ColumnKind;
use views::DynTable;

use crate::declared::Declared;
use crate::tidy::tidied;

/// Paths and schemas of the read side.
pub fn fragment() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut answers = Map::new();
    let mut paths = Map::new();
    for table in views::tables() {
        let name = collection(table, &mut generator, &mut paths);
        answers.extend([page_schema(&name), (format!("{name}Document"), Value::Null)]);
    }
    paths.extend(named(&mut generator));
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, schema) in &mut answers {
        if let Some(document) = name.strip_suffix("Document") {
            *schema = document_schema(&schemas[document]);
        }
    }
    schemas.extend(answers);
    tidied(json!({"paths": paths, "components": {"schemas": schemas}}))
}

/// The two operations of a collection; gives the name of its documents' schema.
fn collection(table: &dyn DynTable, generator: &mut SchemaGenerator, paths: &mut Map<String, Value>) -> String {
    let (address, summary) = (table.collection().address, table.collection().summary);
    let reference = table.document_schema(generator).to_value();
    let name = reference["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    let of_schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let list = format!("list every {summary}");
    let list = Operation {
        id: id_of(&list),
        summary: list,
        tag: address,
        answer: of_schema(&format!("{name}Page")),
        source: Source::View,
    };
    paths.insert(format!("/v1/{address}"), list.get(list_parameters(table)));
    let one = format!("get one {summary}");
    let one = Operation {
        id: id_of(&one),
        summary: one,
        tag: address,
        answer: of_schema(&format!("{name}Document")),
        source: Source::View,
    };
    paths.insert(format!("/v1/{address}/{{id}}"), one.get(document_parameters()));
    name.to_owned()
}

/// The operations that are not of a collection as such.
fn named(generator: &mut SchemaGenerator) -> [(String, Value); 7] {
    let stored = generator.subschema_for::<Entry<'_>>().to_value();
    let timeline = generator.subschema_for::<Page<TimelineEntry<'_>>>().to_value();
    let history = generator.subschema_for::<Page<Entry<'_>>>().to_value();
    let state = generator.subschema_for::<PatientState>().to_value();
    let views = generator.subschema_for::<Page<ViewStatus>>().to_value();
    let trial = json!({"$ref": "#/components/schemas/TrialDocument"});
    let operation = |id: &str, summary: &str, tag, answer| {
        let (id, summary) = (id.to_owned(), summary.to_owned());
        Operation { id, summary, tag, answer, source: Source::Log }
    };
    let enrolment = operation("HowFarEnrolmentIs", "how far enrolment is", "trials", trial);
    let enrolment = Operation { source: Source::View, ..enrolment };
    let timeline = operation("APatientSTimeline", "a patient's timeline", "patients", timeline);
    let state = operation("WhatWasKnownAboutAPatient", "what was known about a patient", "patients", state);
    let views = operation("WhereEveryViewStands", "where every view stands", "views", views);
    let order = query("sort", json!({"type": "string", "enum": ["position", "-position"], "default": "-position"}));
    let operations = [
        ("trials/{id}/enrolment", enrolment.get(document_parameters())),
        ("patients/{id}/timeline", timeline.get([vec![id(), order], paging("position")].concat())),
        ("patients/{id}/history", history_of(history)),
        ("patients/{id}/state", state.get(in_time())),
        ("views", views.get(Vec::new())),
        ("events", events()),
        ("events/{id}", operation("GetOneEvent", "get one event", "events", stored).get(vec![id()])),
    ];
    operations.map(|(path, item)| (format!("/v1/{path}"), item))
}

fn history_of(answer: Value) -> Value {
    let history = Operation {
        id: "EverythingThatIsKnownAboutAPatient".to_owned(),
        summary: "everything that is known about a patient".to_owned(),
        tag: "patients",
        answer,
        source: Source::Log,
    };
    let form = vec![query("format", json!({"type": "string", "enum": ["json", "ndjson", "csv"]}))];
    let mut operation = history.get([in_time(), form, paging("position")].concat());
    let content = &mut operation["get"]["responses"]["200"]["content"];
    let lines = "One `StoredEvent` a line.";
    content["application/x-ndjson"] = json!({"schema": {"type": "string", "description": lines}});
    content["text/csv"] = json!({"schema": {"type": "string", "description": "One event a line, under a header."}});
    operation
}

/// A patient, now or at a time.
fn in_time() -> Vec<Value> {
    let as_of = query("as_of", json!({"type": "string", "format": "date-time"}));
    vec![id(), as_of, query("at_position", position())]
}

fn list_parameters(table: &dyn DynTable) -> Vec<Value> {
    let (collection, columns) = (table.collection(), table.schema().columns);
    let declared = Declared::of(table);
    let filters = collection.filters.iter().filter_map(|filter| {
        let column = columns.iter().find(|column| column.name == filter.column)?;
        let schema = match (column.kind, declared.words.get(column.name)) {
            (ColumnKind::Text, Some(words)) => json!({"type": "string", "enum": words}),
            (ColumnKind::Text, None) => json!({"type": "string", "pattern": "^[^\\u0000]*$"}),
            (ColumnKind::Uuid, _) => json!({"type": "string", "format": "uuid"}),
            (ColumnKind::Integer, _) => json!({"type": "integer"}),
            (ColumnKind::Boolean, _) => json!({"type": "boolean"}),
            (ColumnKind::Time, _) => json!({"type": "string", "format": "date-time"}),
        };
        Some(query(filter.parameter, schema))
    });
    let sorts = collection.sorts.iter().map(|sort| sort.parameter);
    let sorts: Vec<String> = sorts.flat_map(|sort| [sort.to_owned(), format!("-{sort}")]).collect();
    let order = query("sort", json!({"type": "string", "enum": sorts, "default": collection.order()}));
    filters.chain([order]).chain(at_least()).chain(paging("cursor")).collect()
}

fn events() -> Value {
    let parameters = vec![
        query("trial", json!({"type": "string", "format": "uuid"})),
        query("patient", json!({"type": "string", "format": "uuid"})),
        query("stream", json!({"type": "string", "format": "uuid"})),
        query("type", json!({"type": "string", "pattern": "^[^\\u0000]*$"})),
        query("after", place()),
        json!({"name": "Last-Event-ID", "in": "header", "required": false,
            "schema": {"type": "string", "format": "uuid"}}),
    ];
    let (id, summary) = ("EventsAsTheyHappen".to_owned(), "events as they happen".to_owned());
    let mut operation =
        Operation { id, summary, tag: "events", answer: Value::Null, source: Source::Log }.get(parameters);
    let stream = "Server-sent events: `id` is the event's id, `event` the type, `data` a `StoredEvent`.";
    let content = json!({"text/event-stream": {"schema": {"type": "string", "description": stream}}});
    operation["get"]["responses"]["200"]["content"] = content;
    operation
}

/// A query.
struct Operation<'a> {
    id: String,
    summary: String,
    tag: &'a str,
    answer: Value,
    source: Source,
}

/// Where an answer comes from.
#[derive(Clone, Copy)]
enum Source {
    View,
    Log,
}

impl Operation<'_> {
    fn get(self, parameters: Vec<Value>) -> Value {
        let mut responses = Map::new();
        let content = json!({"application/json": {"schema": self.answer}});
        responses.insert("200".to_owned(), json!({"description": "Found.", "content": content}));
        // What a view answers has a tag.
        if matches!(self.source, Source::View) {
            responses.insert("304".to_owned(), json!({"description": "The caller has it: nothing happened since."}));
        }
        for status in ["400", "401", "403", "404", "405", "429", "500", "503"] {
            responses.insert(status.to_owned(), json!({"$ref": "#/components/responses/Problem"}));
        }
        let summary = format!("{}{}.", self.summary[..1].to_uppercase(), &self.summary[1..]);
        json!({"get": {"operationId": self.id, "summary": summary,
            "tags": [self.tag], "parameters": parameters, "responses": responses}})
    }
}

/// The id of a collection's operation: its summary's words in one.
fn id_of(summary: &str) -> String {
    let words = summary.split([' ', ',', '\'']).filter(|word| !word.is_empty());
    words.map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..])).collect()
}

/// A page of a collection.
fn page_schema(name: &str) -> (String, Value) {
    let schema = json!({"type": "object", "required": ["items", "next", "position"], "properties": {
        "items": {"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}},
        "next": {"type": ["string", "null"], "description": "Pass it as `after` to get the next page."},
        "position": view_position()
    }});
    (format!("{name}Page"), schema)
}

/// A document by itself: it tells how far the view stands.
fn document_schema(document: &Value) -> Value {
    let mut schema = document.clone();
    schema["properties"]["position"] = view_position();
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("position".into());
    }
    schema
}

fn view_position() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0, "description": "How far the view stands."})
}

fn document_parameters() -> Vec<Value> {
    [vec![id()], at_least()].concat()
}

fn id() -> Value {
    json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}})
}

/// A place in the log: behind so many events, or, with proof that the log still has it, behind an event.
fn place() -> Value {
    json!({"oneOf": [position(), {"type": "string", "format": "uuid"}]})
}

fn at_least() -> Vec<Value> {
    vec![query("at_least", place()), query("timeout_ms", json!({"type": "integer", "minimum": 0, "maximum": 30000}))]
}

fn paging(after: &str) -> Vec<Value> {
    let after = if after == "position" { place() } else { json!({"type": "string"}) };
    vec![query("after", after), query("limit", json!({"type": "integer", "minimum": 1, "maximum": 1000}))]
}

fn position() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

fn query(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemars::generate::SchemaSettings;
    use serde_json::{Value, json};

    use super::fragment;

    /// Whether the schema says what is in the answer.
    fn is_typed(document: &Value, schema: &Value) -> bool {
        if let Some(reference) = schema["$ref"].as_str() {
            return document.pointer(reference.trim_start_matches('#')).is_some_and(|found| is_typed(document, found));
        }
        match schema["type"].as_str() {
            Some("object") => schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()),
            Some("array") => is_typed(document, &schema["items"]),
            Some(_) => true,
            None => false,
        }
    }

    #[test]
    fn every_answer_is_typed() {
        let document = fragment();
        let mut answers = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            let content = item["get"]["responses"]["200"]["content"].as_object().expect("an answer");
            for (kind, answer) in content {
                assert!(is_typed(&document, &answer["schema"]), "{path} as {kind}: {answer:#}");
                answers += 1;
            }
        }
        assert!(answers > 20, "{answers} answers");
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            // Generators take these for their own.
            assert!(!["List", "Document", "Object"].contains(&name.as_str()), "{name}");
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                assert_ne!(*property, json!({"type": "object"}), "{name}.{field}");
            }
            assert!(!is_words(schema), "{name} is an enum in disguise: {schema:#}");
        }
    }

    /// Whether it is a `oneOf` of nothing but constants.
    fn is_words(schema: &Value) -> bool {
        let constant = |alternative: &Value| alternative.get("const").is_some();
        schema["oneOf"].as_array().is_some_and(|alternatives| alternatives.iter().all(constant))
    }

    #[test]
    fn every_reference_is_defined() {
        let document = fragment();
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not defined");
        }
    }

    #[test]
    fn every_document_has_a_name_of_its_own_and_leaves_position_to_the_answer() {
        let mut names = BTreeSet::new();
        for table in views::tables() {
            let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
            let reference = table.document_schema(&mut generator).to_value();
            let definitions = generator.take_definitions(true);
            let name = reference["$ref"].as_str().and_then(|path| path.rsplit('/').next()).expect("a name").to_owned();
            let document = &definitions[&name];
            assert_eq!(document["type"], "object", "{name}");
            assert_eq!(document["properties"]["position"], Value::Null, "{name}: `position` is the view's");
            assert!(names.insert(name.clone()), "{name} is the name of two documents");
        }
    }
}
