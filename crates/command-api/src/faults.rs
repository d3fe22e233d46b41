//! Every fault of a body at once.
//!
//! Whether a body is a command's, its type says, and stops at the first fault. Where it has one, the schema that is
//! published for the command finds the others. The schema never refuses what the type takes.

use std::sync::{Arc, LazyLock};

use domain::commands::{BodyError, CommandSpec};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use moka::sync::Cache;
use serde_json::{Value, json};
use service::interface::OPENAPI;
use service::problem::FieldError;

/// Faults that are told at most.
const FAULTS_MAX: usize = 50;
/// Commands whose schemas are kept ready.
const SCHEMAS_MAX: u64 = 1_000;

/// The schemas of the interface.
static COMPONENTS: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
    document["components"].take()
});

/// The schemas of commands, each made ready when a body of it is at fault for the first time.
static READY: LazyLock<Cache<&'static str, Arc<Option<Validator>>>> = LazyLock::new(|| Cache::new(SCHEMAS_MAX));

/// All faults of the body, of which reading it found the first.
pub fn all(spec: &CommandSpec, body: &[u8], first: BodyError) -> Vec<FieldError> {
    let mut faults = vec![(first.field, first.message)];
    let ready = READY.get_with(spec.name, || Arc::new(ready(spec.name)));
    if let (Some(validator), Ok(body)) = (&*ready, serde_json::from_slice::<Value>(body)) {
        for (field, message) in validator.iter_errors(&body).flat_map(|fault| told(&fault)) {
            let is_told = faults.iter().any(|(known, _)| is_within(known, &field) || is_within(&field, known));
            if !is_told && faults.len() < FAULTS_MAX {
                faults.push((field, message));
            }
        }
    }
    let fault = |(field, message): (String, String)| FieldError {
        field: if field.is_empty() { "body".to_owned() } else { field },
        rule: "malformed".to_owned(),
        message,
    };
    faults.into_iter().map(fault).collect()
}

fn ready(command: &str) -> Option<Validator> {
    let schema = json!({"$ref": format!("#/components/schemas/{command}"), "components": &*COMPONENTS});
    jsonschema::draft202012::new(&schema).ok()
}

/// The fields that a fault is of, as names joined by `/`, with what is wrong with each.
fn told(fault: &ValidationError<'_>) -> Vec<(String, String)> {
    let place = fault.instance_path().to_string();
    let place = place.trim_start_matches('/');
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") };
    let message = match fault.kind() {
        ValidationErrorKind::Required { property } => {
            return vec![(below(property.as_str().unwrap_or_default()), "is missing".to_owned())];
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            return unexpected.iter().map(|name| (below(name), "is not a field here".to_owned())).collect();
        }
        ValidationErrorKind::Type { kind } => format!("must be of type {}", types(kind)),
        ValidationErrorKind::Enum { options } => {
            let words = options.as_array().into_iter().flatten();
            let words: Vec<String> =
                words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
            format!("must be one of {}", words.join(", "))
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            forms(place, context)
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => NO_FORM.to_owned(),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::Pattern { pattern } => format!("must be like {pattern}"),
        _ => fault.to_string(),
    };
    vec![(place.to_owned(), message)]
}

const NO_FORM: &str = "has none of the forms that it may have";

/// What something of several forms may be: the words, where some of them are words, or else the types.
fn forms(place: &str, context: &[Vec<ValidationError<'_>>]) -> String {
    let (mut words, mut kinds) = (Vec::new(), Vec::new());
    // Deeper faults are of one of the forms alone.
    let of_place = |fault: &&ValidationError<'_>| fault.instance_path().to_string().trim_start_matches('/') == place;
    for fault in context.iter().flatten().filter(of_place) {
        match fault.kind() {
            ValidationErrorKind::Constant { expected_value } => {
                words.extend(expected_value.as_str().map(str::to_owned))
            }
            ValidationErrorKind::Enum { options } => {
                words.extend(options.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
            }
            ValidationErrorKind::Type { kind } => kinds.push(types(kind)),
            _ => {}
        }
    }
    kinds.dedup();
    match (words.is_empty(), kinds.is_empty()) {
        (false, _) => format!("must be one of {}", words.join(", ")),
        (true, false) => format!("must be of type {}", kinds.join(" or ")),
        (true, true) => NO_FORM.to_owned(),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(several) => {
            let several: Vec<String> = several.iter().map(|one| one.to_string()).collect();
            several.join(" or ")
        }
    }
}

/// Whether the field is the other, or within it.
fn is_within(field: &str, other: &str) -> bool {
    field.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use domain::commands::COMMANDS;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{all, ready};

    fn faults(command: &str, body: &Value) -> Vec<(String, String)> {
        let spec = COMMANDS.iter().find(|spec| spec.name == command).expect("a command");
        let body = body.to_string();
        let error = (spec.parse)(Uuid::nil(), body.as_bytes()).expect_err("it is at fault");
        all(spec, body.as_bytes(), error).into_iter().map(|fault| (fault.field, fault.message)).collect()
    }

    #[test]
    fn every_command_has_a_schema() {
        for spec in COMMANDS.iter().filter(|spec| spec.is_sent()) {
            assert!(ready(spec.name).is_some(), "{}: run `cargo xtask codegen`", spec.name);
        }
    }

    #[test]
    fn all_faults_of_a_body_are_told_each_once_by_field() {
        let body = json!({"protcol": "P", "title": 7, "blinding": "triple", "planned_enrolment": -1});
        let faults = faults("RegisterTrial", &body);
        let mut fields: Vec<&str> = faults.iter().map(|(field, _)| field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["blinding", "planned_enrolment", "protcol", "protocol", "title"], "{faults:#?}");
        for (field, message) in &faults {
            assert!(!message.contains(" line ") && !message.contains(" column "), "{field}: {message}");
        }
        let blinding = faults.iter().find(|(field, _)| field == "blinding").expect("a fault");
        assert!(blinding.1.contains("double-blind"), "{faults:#?}");
    }

    #[test]
    fn faults_deep_in_a_body_are_told_by_their_place() {
        let criterion = |code: Value, operator: &str| {
            json!({"code": code, "text": "T", "category": "inclusion",
                "test": {"kind": "observation", "code": "AGE", "operator": operator, "value": 18}})
        };
        let body = json!({"criteria": [criterion(json!(1), "at-least"), criterion(json!("C"), "at-least"),
            criterion(json!(2), "at-least")], "ocurred_at": null});
        let fields: Vec<String> = faults("DefineEligibility", &body).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["criteria/0/code", "criteria/2/code", "ocurred_at"]);
    }
}
