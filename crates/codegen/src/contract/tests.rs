//! What the published contract must hold, whatever events there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use events::registry::contracts;
use serde_json::{Value, json};

use super::{asyncapi, list, schemas};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> Value {
    asyncapi::document(&root()).expect("every payload can be made up")
}

/// A schema of the document, with what it refers to.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let schema = json!({"allOf": [schema], "components": document["components"]});
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft7).should_validate_formats(true);
    options.build(&schema).unwrap_or_else(|error| panic!("{error}: {:#}", schema["allOf"][0]))
}

#[track_caller]
fn fits(document: &Value, schema: &Value, value: &Value) {
    let faults: Vec<String> = validator(document, schema)
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
}

#[test]
fn every_event_is_on_every_channel_with_an_example_that_fits() {
    let document = document();
    for (channel, prefix) in [("events", ""), ("stream", "Stored")] {
        let messages = &document["channels"][channel]["messages"];
        for contract in contracts() {
            let name = format!("{prefix}{}", contract.event_type);
            assert_eq!(messages[&name]["$ref"], format!("#/components/messages/{name}"));
            let message = &document["components"]["messages"][&name];
            assert_eq!(message["name"], contract.event_type);
            assert!(message["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{name}: its meaning");
        }
        assert_eq!(messages.as_object().map(serde_json::Map::len), Some(contracts().count()));
    }
    let messages = document["components"]["messages"].as_object().expect("messages");
    for message in messages.values() {
        let example = &message["examples"][0];
        fits(&document, &message["payload"], &example["payload"]);
        if !message["headers"].is_null() {
            fits(&document, &message["headers"], &example["headers"]);
        }
    }
}

#[test]
fn a_message_that_is_not_as_described_does_not_fit() {
    let document = document();
    let message = &document["components"]["messages"]["AlertRaised"];
    let headers = validator(&document, &message["headers"]);
    let good = &message["examples"][0]["headers"];
    let without = |name: &str| {
        let mut headers = good.clone();
        headers.as_object_mut().expect("headers").remove(name);
        headers
    };
    let with = |name: &str, value: &str| {
        let mut headers = good.clone();
        headers[name] = value.into();
        headers
    };
    assert!(headers.is_valid(good));
    let mut referred = without("ce-actorid");
    assert!(!headers.is_valid(&referred));
    referred["ce-dataref"] = "/v1/events/01890a5d-ac96-774b-bcce-b302099a8057/payload".into();
    assert!(headers.is_valid(&referred), "who caused an event that is elsewhere stands there, too");
    for bad in [
        without("ce-specversion"),
        without("ce-subject"),
        with("ce-type", "AlertResolved"),
        with("ce-position", "first"),
        with("ce-time", "yesterday"),
        with("ce-actorid", "K\u{e5}re"),
        with("ce-subject", "trial/01890a5d-ac96-774b-bcce-b302099a8057"),
    ] {
        assert!(!headers.is_valid(&bad), "{bad:#}");
    }
    let stored = &document["components"]["messages"]["StoredAlertRaised"];
    let mut other = stored["examples"][0]["payload"].clone();
    other["type"] = "AlertResolved".into();
    assert!(!validator(&document, &stored["payload"]).is_valid(&other));
}

#[test]
fn a_name_means_one_thing() {
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in schemas::all() {
        assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "`{name}`: two types of one name");
        if let Some(other) = found.insert(name.clone(), schema.clone()) {
            assert_eq!(other, schema, "{name}");
        }
    }
    let text = document().to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(found.contains_key(name) || name.ends_with("Headers"), "{name} is not defined");
    }
}

#[test]
fn schemas_by_themselves_take_the_golden_payloads() {
    for contract in contracts() {
        let name = format!("schemas/events/golden/{}.v{}.json", contract.event_type, contract.schema_version);
        let golden = std::fs::read_to_string(root().join(&name)).expect("a golden file");
        let schema = schemas::of_event(contract);
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        let golden: Value = serde_json::from_str(&golden).expect("JSON");
        let faults: Vec<String> = validator.iter_errors(&golden).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
    let envelope = &document()["components"]["messages"]["StoredAlertRaised"]["examples"][0]["payload"];
    let validator = jsonschema::validator_for(&schemas::of_envelope()).expect("a schema");
    assert!(validator.is_valid(envelope), "{envelope:#}");
}

/// The guide's table is written by hand: nothing in it may be missing.
#[test]
fn the_guide_names_every_header() {
    let guide = std::fs::read_to_string(root().join("docs/guides/subscribe-to-events.md")).expect("the guide");
    for header in event_bus::headers::HEADERS {
        let rows = guide.lines().filter(|line| line.starts_with("| `"));
        let is_named = rows.filter(|row| row.contains(&format!("`{}`", header.name))).count() == 1;
        assert!(is_named || header.name == event_bus::headers::SPEC_VERSION, "{}", header.name);
    }
}

#[test]
fn people_find_every_event_with_its_meaning() {
    let text = list::text();
    for contract in contracts() {
        let line = text.lines().find(|line| line.starts_with(&format!("| [`{}`]", contract.event_type)));
        let line = line.unwrap_or_else(|| panic!("{} is not in the list", contract.event_type));
        assert!(line.trim_end_matches(" |").ends_with('.'), "what happened: {line}");
    }
}
