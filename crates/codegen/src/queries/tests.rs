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
fn every_document_has_a_name_of_its_own_and_leaves_its_standing_to_the_view() {
    let mut names = BTreeSet::new();
    for table in views::tables() {
        let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
        let reference = table.document_schema(&mut generator).to_value();
        let definitions = generator.take_definitions(true);
        let name = reference["$ref"].as_str().and_then(|path| path.rsplit('/').next()).expect("a name").to_owned();
        let document = &definitions[&name];
        assert_eq!(document["type"], "object", "{name}");
        for field in ["version", "position", "last_event_id"] {
            assert_eq!(document["properties"][field], Value::Null, "{name}: `{field}` is the view's");
        }
        assert!(names.insert(name.clone()), "{name} is the name of two documents");
    }
}

#[test]
fn every_parameter_is_described() {
    for (path, item) in fragment()["paths"].as_object().expect("paths") {
        for parameter in item["get"]["parameters"].as_array().expect("parameters") {
            let description = parameter["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{path}: {parameter:#}");
        }
    }
}
