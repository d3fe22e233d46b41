//! The read side's part of the OpenAPI document, made from what views declare.

mod people;

use events::registry::contracts;
use query_api::answers::{Entry, Page, PatientState, TimelineEntry, ViewStatus};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use views::DynTable;
use views::trial::protocols::{Arm, ConsentForm, Eligibility, Questionnaire, ReadingRules};

use crate::parameters::{self, Paging, freshness, id, ids, in_time, known, paging, query, texts, words};
use crate::responses::{entity_tag, problems};
use crate::tidy::tidied;

/// Paths and schemas of the read side.
pub fn fragment() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut pages = Map::new();
    let mut paths = Map::new();
    let mut documents = Vec::new();
    for table in views::tables() {
        let name = collection(table, &mut generator, &mut paths);
        pages.extend([page_schema(&name)]);
        if views::ALL.iter().any(|view| view.schema().name == table.schema().name) {
            documents.push(name);
        }
    }
    paths.extend(of_trials(&mut generator));
    paths.extend(of_the_log(&mut generator));
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    for document in documents {
        schemas.entry(document).and_modify(tell_standing);
    }
    schemas.extend(pages);
    tidied(json!({"paths": paths, "components": {"schemas": schemas}}))
}

/// The two operations of a collection; gives the name of its documents' schema.
fn collection(table: &dyn DynTable, generator: &mut SchemaGenerator, paths: &mut Map<String, Value>) -> String {
    let (address, summary) = (table.collection().address, table.collection().summary);
    let reference = table.document_schema(generator).to_value();
    let name = reference["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    let words = pascal(address);
    let list = Operation {
        id: format!("list{words}"),
        summary: format!("Lists {address}"),
        description: format!(
            "A page of {}, in a stable order: what comes meanwhile repeats and hides none.",
            address.replace('-', " ")
        ),
        tag: address,
        answer: of_schema(&format!("{name}Page")),
        source: Source::List,
    };
    paths.insert(format!("/v1/{address}"), list.get(parameters::of_list(table)));
    let one = Operation {
        id: format!("get{}", words.strip_suffix('s').unwrap_or(&words)),
        summary: format!("Gets one {summary}"),
        description: format!("The {summary} with this id as it stands."),
        tag: address,
        answer: of_schema(name),
        source: Source::Document,
    };
    paths.insert(format!("/v1/{address}/{{id}}"), one.get([vec![id()], freshness(), vec![known()]].concat()));
    name.to_owned()
}

/// The operations below one trial.
fn of_trials(generator: &mut SchemaGenerator) -> [(String, Value); 7] {
    let parameters = |own: Vec<Value>| [vec![id()], own, freshness(), vec![known()]].concat();
    let operation = |id: &str, summary: &str, description: &str, answer| Operation {
        id: id.to_owned(),
        summary: summary.to_owned(),
        description: description.to_owned(),
        tag: "trials",
        answer,
        source: Source::Document,
    };
    let figures = "The trial with its figures, by site, and by arm for who may see treatment allocation; the same as \
                   `getTrial`.";
    let figures = operation("getTrialEnrolment", "Tells how far enrolment is", figures, of_schema("Trial"));
    let arms = generator.subschema_for::<Page<Arm>>().to_value();
    let arms = operation(
        "listTrialArms",
        "Lists the arms of a trial",
        "All arms, in the order in which they were added.",
        arms,
    );
    let criteria = generator.subschema_for::<Eligibility>().to_value();
    let about = "The criteria that are in force, or those of an earlier version.";
    let criteria = operation("getTrialEligibility", "Gets the eligibility criteria of a trial", about, criteria);
    let number = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    let version = query("version", "The version of the criteria; the one in force where it is not said", number);
    let rules = generator.subschema_for::<ReadingRules>().to_value();
    let about = "The rules by which readings raise alerts: those in force, or those of an earlier version.";
    let rules = operation("getTrialReadingRules", "Gets the rules for readings of a trial", about, rules);
    let number = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    let of_rules = query("version", "The version of the rules; the one in force where it is not said", number);
    let forms = generator.subschema_for::<Page<ConsentForm>>().to_value();
    let about = "Every version in every language, in the order in which they were published.";
    let forms = operation("listTrialConsentForms", "Lists the consent forms of a trial", about, forms);
    let of_forms =
        vec![texts("form_version", "Only these versions"), texts("language", "Only these languages, by BCP 47 tag")];
    let questionnaires = generator.subschema_for::<Page<Questionnaire>>().to_value();
    let about = "Every questionnaire in every version, in the order in which they were defined.";
    let questionnaires =
        operation("listTrialQuestionnaires", "Lists the questionnaires of a trial", about, questionnaires);
    let one = generator.subschema_for::<Questionnaire>().to_value();
    let about = "What is asked, what may be answered, how it is scored and what raises an alert: of the newest \
                 version, or of an earlier one.";
    let one = operation("getTrialQuestionnaire", "Gets a questionnaire of a trial", about, one);
    let instrument = json!({"name": "instrument", "in": "path", "required": true,
        "description": "The instrument's short name, such as `PHQ-9`.", "schema": {"type": "string", "minLength": 1}});
    let text = json!({"type": "string", "pattern": "^[^\\u0000]*$"});
    let of_one = vec![instrument, query("version", "The version; the newest where it is not said", text)];
    [
        ("enrolment", figures.get(parameters(Vec::new()))),
        ("arms", arms.get(parameters(Vec::new()))),
        ("eligibility", criteria.get(parameters(vec![version]))),
        ("reading-rules", rules.get(parameters(vec![of_rules]))),
        ("consent-forms", forms.get(parameters(of_forms))),
        ("questionnaires", questionnaires.get(parameters(vec![texts("instrument", "Only these instruments")]))),
        ("questionnaires/{instrument}", one.get(parameters(of_one))),
    ]
    .map(|(path, item)| (format!("/v1/trials/{{id}}/{path}"), item))
}

/// The operations that read the log itself.
fn of_the_log(generator: &mut SchemaGenerator) -> [(String, Value); 13] {
    let stored = generator.subschema_for::<Entry<'_>>().to_value();
    let timeline = generator.subschema_for::<Page<TimelineEntry<'_>>>().to_value();
    let history = generator.subschema_for::<Page<Entry<'_>>>().to_value();
    let state = generator.subschema_for::<PatientState>().to_value();
    let views = generator.subschema_for::<Page<ViewStatus>>().to_value();
    let operation = |id: &str, summary: &str, description: &str, tag, answer, source| Operation {
        id: id.to_owned(),
        summary: summary.to_owned(),
        description: description.to_owned(),
        tag,
        answer,
        source,
    };
    let about = "What happened to a patient, one line an event, without payloads. Nothing lags behind it.";
    let timeline =
        operation("getPatientTimeline", "Tells a patient's timeline", about, "patients", timeline, Source::Log);
    let order = json!({"type": "string", "enum": ["position", "-position"], "default": "-position"});
    let order = query("sort", "The order in which it happened, or with a leading `-` the newest first", order);
    let about = "What the events of each stream about the patient had told, now or as of a time or position.";
    let state =
        operation("getPatientState", "Tells what was known about a patient", about, "patients", state, Source::Log);
    let about = "How far each view stands, and why one stands still.";
    let views = operation("listViews", "Tells where every view stands", about, "views", views, Source::Status);
    let about = "An event as it is stored, without treatment allocation where the caller must not see it.";
    let one = operation("getEvent", "Gets one event", about, "events", stored, Source::Event);
    [
        ("patients/by-national-id", people::found_by_national_id(generator)),
        ("patients/{id}/eligibility", people::eligibility_of(generator)),
        ("patients/{id}/readings", people::readings_of(generator)),
        ("patients/{id}/readings/buckets", people::buckets_of(generator)),
        ("patients/{id}/identity", people::identity_of(generator)),
        ("subjects/{id}/allocation", people::allocation_of(generator)),
        ("patients/{id}/timeline", timeline.get([vec![id(), order], paging(Paging::Log)].concat())),
        ("patients/{id}/history", history_of(history)),
        ("patients/{id}/history/export", export()),
        ("patients/{id}/state", state.get(in_time())),
        ("views", views.get(Vec::new())),
        ("events", events()),
        ("events/{id}", one.get(vec![id()])),
    ]
    .map(|(path, item)| (format!("/v1/{path}"), item))
}

fn history_of(answer: Value) -> Value {
    let history = Operation {
        id: "getPatientHistory".to_owned(),
        summary: "Tells everything about a patient".to_owned(),
        description: "Every event about a patient with its payload, in order, now or as of a time or position. Of a \
                      correction `changes` tells every field with its old and new value. As NDJSON or CSV it is \
                      `exportPatientHistory`, which `Accept` asks for here, too."
            .to_owned(),
        tag: "patients",
        answer,
        source: Source::Log,
    };
    history.get([in_time(), paging(Paging::Log), vec![people::unmasked(), people::purpose(false)]].concat())
}

/// The history in forms that are no JSON document: at an address of its own, so that generated clients know what each
/// gives.
fn export() -> Value {
    let export = Operation {
        id: "exportPatientHistory".to_owned(),
        summary: "Exports everything about a patient".to_owned(),
        description: "The history of a patient at once, now or as of a time or position.".to_owned(),
        tag: "patients",
        answer: Value::Null,
        source: Source::Log,
    };
    let forms = json!({"type": "string", "enum": ["csv", "ndjson"], "default": "csv"});
    let own = vec![query("format", "The form", forms), people::unmasked(), people::purpose(false)];
    let mut operation = export.get([in_time(), own].concat());
    let lines = "One `StoredEvent` a line.";
    let rows = "Under a header one row for each event, and of a correction one for each field that changed, with its \
                old and new value.";
    operation["get"]["responses"]["200"]["content"] = json!({
        "text/csv": {"schema": {"type": "string", "description": rows}},
        "application/x-ndjson": {"schema": {"type": "string", "description": lines}}
    });
    operation
}

fn events() -> Value {
    let types: Vec<&str> = contracts().map(|contract| contract.event_type).collect();
    let parameters = vec![
        ids("trial_id", "Only what is about one of these trials"),
        ids("site_id", "Only what is about one of these sites"),
        ids("patient_id", "Only what is about one of these patients"),
        ids("stream_id", "Only what happened to one of these"),
        words("type", "Only events of these types", &types),
        query(
            "after",
            "Begins behind this place in the log: a position, or the id of an event; where it is not said, with what happens from now on",
            parameters::place(),
        ),
        json!({"name": "Last-Event-ID", "in": "header", "required": false,
            "description": "Goes on behind this event; a browser that reconnects sends it by itself.",
            "schema": {"type": "string", "format": "uuid"}}),
    ];
    let operation = Operation {
        id: "streamEvents".to_owned(),
        summary: "Follows the log".to_owned(),
        description:
            "Events as they happen, as server-sent events: `id` is the event's id, `event` its type, `data` a \
                      `StoredEvent`. The stream ends with the token, and may be resumed where it ended."
                .to_owned(),
        tag: "events",
        answer: Value::Null,
        source: Source::Stream,
    };
    let mut operation = operation.get(parameters);
    let stream = "Server-sent events: `id` is the event's id, `event` the type, `data` a `StoredEvent`.";
    let content = json!({"text/event-stream": {"schema": {"type": "string", "description": stream}}});
    operation["get"]["responses"]["200"]["content"] = content;
    operation
}

/// A query.
struct Operation<'a> {
    id: String,
    summary: String,
    description: String,
    tag: &'a str,
    answer: Value,
    source: Source,
}

/// Where an answer comes from, which tells what else it can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    List,
    Document,
    Log,
    Status,
    Event,
    Stream,
}

impl Source {
    const fn problems(self) -> &'static [&'static str] {
        match self {
            Source::List | Source::Stream => &["400", "401", "403", "409", "429", "500", "503"],
            Source::Document | Source::Log => &["400", "401", "403", "404", "409", "429", "500", "503"],
            Source::Status => &["400", "401", "403", "429", "500", "503"],
            Source::Event => &["400", "401", "403", "404", "429", "500", "503"],
        }
    }
}

impl Operation<'_> {
    fn get(self, parameters: Vec<Value>) -> Value {
        let mut responses = problems(self.source.problems());
        let mut found = json!({"description": "Found.", "content": {"application/json": {"schema": self.answer}}});
        // What a view answers has a tag.
        if matches!(self.source, Source::List | Source::Document) {
            let position = json!({"description": "How far the view stands that the answer is from.",
                "schema": parameters::position()});
            found["headers"] = json!({"ETag": entity_tag(), "Anamnesis-Position": position});
            let known = "The caller has it already: the answer's tag is one of `If-None-Match`.";
            responses.insert("304".to_owned(), json!({"description": known, "headers": {"ETag": entity_tag()}}));
        }
        responses.insert("200".to_owned(), found);
        json!({"get": {"operationId": self.id, "summary": self.summary, "description": self.description,
            "tags": [self.tag], "parameters": parameters, "responses": responses}})
    }
}

/// An address as a name: `adverse-events` as `AdverseEvents`.
fn pascal(address: &str) -> String {
    address.split('-').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..])).collect()
}

fn of_schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A page of a collection.
fn page_schema(name: &str) -> (String, Value) {
    let schema = json!({"type": "object", "description": format!("A page of a list of `{name}`."),
        "required": ["items", "next", "position"], "properties": {
        "items": {"type": "array", "items": of_schema(name), "description": "What is on the page."},
        "next": {"type": ["string", "null"],
            "description": "Pass it as `after` to get the next page; null on the last."},
        "position": {"type": "integer", "format": "int64", "minimum": 0, "description": "How far the view stands."}
    }});
    (format!("{name}Page"), schema)
}

/// Adds what every document of a view tells ([`views::Standing`]).
fn tell_standing(schema: &mut Value) {
    let number = |meaning: &str| json!({"type": "integer", "format": "int64", "minimum": 0, "description": meaning});
    let properties = &mut schema["properties"];
    properties["version"] =
        number("The version of the document's stream: what `If-Match` of a command is compared with.");
    properties["position"] = number("The position of the last event that changed the document.");
    properties["last_event_id"] =
        json!({"type": "string", "format": "uuid", "description": "The last event that changed the document."});
    if let Some(required) = schema["required"].as_array_mut() {
        required.extend(["version".into(), "position".into(), "last_event_id".into()]);
    }
}

#[cfg(test)]
mod tests;
