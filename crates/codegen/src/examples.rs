//! An example of every command's body, and of every answer: a client can be tried without guessing.
//!
//! Those of commands are written by hand, in `examples/commands.json`, and belong to one trial. Those of answers are
//! made up from their schemas.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::golden::value_of;

/// The bodies by command.
static BODIES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../examples/commands.json")).expect("the examples are JSON"));

/// The example of a command's body.
pub fn of(command: &str) -> Option<&'static Value> {
    BODIES.get(command)
}

/// Adds an example to every answer of every query.
pub fn add_answers(document: &mut Value) {
    let root = document.clone();
    for item in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(content) = item.pointer_mut("/get/responses/200/content/application~1json") else { continue };
        content["example"] = value_of(&content["schema"], &root, "answer", 0);
    }
}

#[cfg(test)]
mod tests {
    use domain::commands::COMMANDS;
    use uuid::Uuid;

    use super::{BODIES, of};
    use crate::document::openapi;

    #[test]
    fn every_command_has_an_example_that_its_parser_takes() {
        for spec in COMMANDS {
            let example = of(spec.name).unwrap_or_else(|| {
                panic!("{}: write an example into crates/codegen/examples/commands.json", spec.name)
            });
            let read = (spec.parse)(Uuid::nil(), example.to_string().as_bytes());
            read.unwrap_or_else(|error| panic!("{}: {error:?}", spec.name));
        }
        let is_command = |name: &&String| COMMANDS.iter().any(|spec| spec.name == name.as_str());
        assert_eq!(BODIES.keys().filter(|name| !is_command(name)).count(), 0, "an example of no command");
    }

    #[test]
    fn every_example_fits_its_schema() {
        let document = openapi();
        let mut examples = 0;
        let mut check = |what: &str, schema: &serde_json::Value, example: &serde_json::Value| {
            let mut schema = schema.clone();
            schema["components"] = document["components"].clone();
            let validator = jsonschema::draft202012::new(&schema).expect("a schema");
            let faults: Vec<String> =
                validator.iter_errors(example).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
            assert!(faults.is_empty(), "{what}: {faults:#?}\n{example:#}");
            examples += 1;
        };
        for (path, item) in document["paths"].as_object().expect("paths") {
            if let Some(body) = item.pointer("/post/requestBody/content/application~1json") {
                let example = body.pointer("/examples/one/value").unwrap_or_else(|| panic!("{path}: no example"));
                check(path, &body["schema"], example);
            }
            if let Some(answer) = item.pointer("/get/responses/200/content/application~1json") {
                check(path, &answer["schema"], &answer["example"]);
            }
        }
        assert!(examples > 60, "{examples}");
    }
}
