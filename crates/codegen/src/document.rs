//! The whole OpenAPI document.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{commands, contract, examples, outside, parameters, queries, responses, uploads};

/// What the operations under each tag are about.
const TAGS: [(&str, &str); 22] = [
    ("trials", "Trials: what is defined for them, and how far they are."),
    (
        "protocols",
        "What each trial is by its protocol: arms, criteria, consent forms and questionnaires in every version.",
    ),
    ("sites", "Sites: hospitals and research centres in a trial."),
    ("patients", "Patients across trials, their consent, and everything that happened to them."),
    ("consents", "Consents: what was presented, signed, declined and withdrawn."),
    ("subjects", "Subjects: patients in a trial, from screening to the end of participation."),
    ("reports", "Patient-reported outcomes: filled-in questionnaires with their scores."),
    ("adverse-events", "Adverse events."),
    ("alerts", "Safety alerts: the inbox of whoever looks after patients."),
    ("visits", "Visits that subjects attended."),
    ("devices", "Wearables: who has each, and how much came from it."),
    ("readings", "Readings of wearables, and their uploads."),
    ("readings-apart", "Readings of devices that are not known to be the subject's."),
    ("readings-daily", "What the readings of each day come to."),
    ("notifications", "What people are to be told."),
    ("messages", "Messages to people: the queue, and what became of each."),
    ("articles", "Articles, as they are written."),
    ("knowledge", "The knowledge base: articles for everybody."),
    ("drugs", "Drugs, by a source outside."),
    ("events", "The log itself: what happened, as it happens."),
    ("dead-letters", "Steps of process managers that wait for an operator."),
    ("sagas", "Instances of process managers."),
];

/// The document.
pub fn openapi() -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Anamnesis",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Event-sourced backend for clinical trials.",
            "description": "Commands are `POST`, queries are `GET`. Every request needs a token: \
                `Authorization: Bearer <token>`. A command that is sent again with the same `Idempotency-Key` gets its \
                first answer. Its `position`, given to a query as `at_least`, lets the query see what it did. Every \
                refusal is a problem document (RFC 9457) whose `rule` names why. Where a command asks for a time \
                (`date-time`), it also takes what clocks showed at the place, without an offset \
                (`2026-01-31T09:30:00`), and a day alone (`2026-01-31`), both in the time zone of the person or site; \
                answers give the instant in UTC.",
            "contact": {"name": "Whoever runs this server"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": "/", "description": "This server."}],
        "security": [{"token": []}],
        "tags": [],
        "paths": {},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A token of `anamnesis token`: it names an account and its role."}},
            "responses": responses::components(),
            "schemas": responses::schemas().into_iter().collect::<Map<String, Value>>()
        }
    });
    let (mut commands, mut queries) = (commands::fragment(), queries::fragment());
    agree(&mut commands, &mut queries);
    for fragment in [commands, queries] {
        merge(&mut document, fragment);
    }
    merge(&mut document, contract::paths::fragment());
    merge(&mut document, outside::fragment());
    merge(&mut document, uploads::fragment());
    tell_deadlines(&mut document);
    document["tags"] = tags(&document);
    examples::add_answers(&mut document);
    document
}

/// Every operation can be told how long its caller waits, and answers where that was too short.
fn tell_deadlines(document: &mut Value) {
    let named = parameters::deadline();
    let references: Vec<Value> =
        named.iter().map(|(name, _)| json!({"$ref": format!("#/components/parameters/{name}")})).collect();
    for item in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let Some(operation) = operation.as_object_mut() else { continue };
            if let Value::Array(parameters) = operation.entry("parameters").or_insert_with(|| json!([])) {
                parameters.extend(references.iter().cloned());
            }
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                responses.extend(responses::problems(&["504"]));
            }
        }
    }
    document["components"]["parameters"] =
        named.into_iter().map(|(name, parameter)| (name.to_owned(), parameter)).collect::<Map<_, _>>().into();
}

/// The tags that operations have, those that are known in their order, with what each is about.
fn tags(document: &Value) -> Value {
    let items = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = items.flat_map(|item| ["get", "post"].into_iter().filter_map(|method| item.get(method)));
    let used: BTreeSet<&str> = operations.filter_map(|operation| operation["tags"][0].as_str()).collect();
    let known = TAGS.iter().filter(|(name, _)| used.contains(name));
    let known = known.map(|(name, meaning)| json!({"name": name, "description": meaning}));
    let others = used.iter().filter(|name| TAGS.iter().all(|(known, _)| known != *name));
    known.chain(others.map(|name| json!({"name": name, "description": format!("Everything about {name}.")}))).collect()
}

/// What is shown as it was sent has one schema: what may be left out when it is sent may be, too, when it is shown.
fn agree(commands: &mut Value, queries: &mut Value) {
    let Some(sent) = commands["components"]["schemas"].as_object_mut() else { return };
    for (name, sent) in sent {
        let Some(shown) = queries.pointer_mut(&format!("/components/schemas/{name}")) else { continue };
        let of = |schema: &Value| schema["required"].as_array().cloned().unwrap_or_default();
        let (both, others) = (of(sent), of(shown));
        let both: Vec<Value> = both.into_iter().filter(|field| others.contains(field)).collect();
        for schema in [sent, shown] {
            match schema.as_object_mut() {
                Some(fields) if fields.contains_key("required") => {
                    fields.insert("required".to_owned(), both.clone().into());
                }
                _ => {}
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value};

    use super::{agree, openapi};
    use crate::{commands, queries};

    /// What languages and the libraries of generated clients call their own.
    const TAKEN: &str = "any apiclient apiexception apiresponse array blob bool boolean box buffer byte bytes callable char \
        class client client comment configuration currency date datetime decimal dict dictionary document double element \
        enum err error event exception false field file float form formdata function generic headers int integer \
        interface iterable iterator json list literal locale location long map model module never node none null number \
        object ok option optional override package partial path pick process promise readonly record regexp request \
        response result self set short some storage str string symbol text thread true tuple type undefined union \
        unknown unset url uuid value vec void";

    #[test]
    fn schemas_are_called_as_nothing_else_is() {
        let document = openapi();
        let names: Vec<&String> = document["components"]["schemas"].as_object().expect("schemas").keys().collect();
        let taken: BTreeSet<&str> = TAKEN.split_whitespace().collect();
        let folded: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(folded.len(), names.len(), "two schemas differ in upper and lower case only");
        for name in names {
            assert!(!taken.contains(name.to_lowercase().as_str()), "generated clients call something else `{name}`");
            assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "`{name}`: two types of one name");
        }
    }

    #[test]
    fn operations_are_called_by_their_names_described_and_never_alike() {
        let document = openapi();
        let declared: Vec<&str> =
            document["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for operation in item.as_object().expect("operations").values() {
                let id = operation["operationId"].as_str().expect("an id");
                let is_name = id.starts_with(|first: char| first.is_ascii_lowercase())
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && id.len() <= 32;
                assert!(is_name && ids.insert(id.to_lowercase()), "{path}: {id}");
                let text = |field: &str| operation[field].as_str().unwrap_or_default().to_owned();
                assert!(text("description").ends_with('.') && !text("summary").is_empty(), "{path}: {operation:#}");
                assert!(declared.contains(&operation["tags"][0].as_str().expect("a tag")), "{path}");
            }
        }
        assert!(!document.to_string().contains("\"default\":null"), "what may be left out has no default");
        let empty = |schema: &Map<String, Value>| {
            schema.get("type").is_some_and(|kind| kind == "object") && schema.keys().all(|key| key == "type")
        };
        assert!(!holds(&document, &empty), "an object of which nothing is said");
    }

    fn holds(value: &Value, what: &impl Fn(&Map<String, Value>) -> bool) -> bool {
        match value {
            Value::Object(fields) => what(fields) || fields.values().any(|field| holds(field, what)),
            Value::Array(elements) => elements.iter().any(|element| holds(element, what)),
            _ => false,
        }
    }

    /// Both sides describe one interface: a name means the same in both.
    #[test]
    fn both_sides_of_the_interface_mean_the_same_by_a_name() {
        let (mut commands, mut queries) = (commands::fragment(), queries::fragment());
        agree(&mut commands, &mut queries);
        let schemas = commands["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            let other = &queries["components"]["schemas"][name];
            assert!(other.is_null() || other == schema, "{name}: {schema:#} and {other:#}");
        }
    }
}
