//! Reading a command's body, strictly.

use std::collections::HashSet;
use std::fmt;

use events::values::SEALED;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

/// A body that is not the command's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {message}", if field.is_empty() { "body" } else { field })]
pub struct BodyError {
    /// Where, as field names joined by `/`; empty for the body as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// Reads a body; an object is asked for where serde would also take a list of the fields.
///
/// # Errors
/// [`BodyError`] naming the field.
pub fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, BodyError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let message = "must not begin with a byte order mark (RFC 8259, section 8.1)".to_owned();
        return Err(BodyError { field: String::new(), message });
    }
    // serde would also take the fields as a list, in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let message = "must be a JSON object with the command's fields".to_owned();
        return Err(BodyError { field: String::new(), message });
    }
    check(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // Where the text breaks off, the path ends with a place that has no name.
        let named_places = error.path().iter().filter(|place| !matches!(place, Segment::Unknown));
        let path: Vec<String> = named_places.map(ToString::to_string).collect();
        let path = path.join("/").replace(['[', ']'], "");
        let message = error.inner().to_string();
        let mut field = if path == "." { String::new() } else { path };
        let message = match named(&message) {
            // Serde's path names what is not known, too.
            Some((name, message)) if field.rsplit('/').next() == Some(name) => message,
            Some((name, message)) => {
                field = if field.is_empty() { name.to_owned() } else { format!("{field}/{name}") };
                message
            }
            None if message.starts_with(NO_UUID) => format!("must be a UUID, such as {}", uuid::Uuid::nil()),
            None if error.inner().is_data() => without_place(&message).to_owned(),
            // What is no JSON is found by its place.
            None => format!("is not JSON: {message}"),
        };
        BodyError { field, message }
    })?;
    let end = deserializer.end();
    end.map_err(|error| BodyError { field: String::new(), message: format!("is not JSON: {error}") })?;
    // A list inside the body may be one of those, too.
    if bytes.contains(&b'[')
        && let (Ok(given), Ok(meant)) = (serde_json::from_slice(bytes), serde_json::to_value(&body))
        && let Some(field) = list_for_object(&given, &meant)
    {
        return Err(BodyError { field, message: "must be a JSON object, not a list".to_owned() });
    }
    Ok(body)
}

/// How the library that reads them begins to tell what is wrong with a UUID.
const NO_UUID: &str = "UUID parsing failed";
/// Digits of a number that every reader of JSON keeps.
const DIGITS_MAX: usize = 15;
/// Objects and lists within each other at most: more than any command has, and less than a stack holds.
const DEPTH_MAX: usize = 32;

/// Refuses what a reader would alter without a word: of two fields of one name it would keep one, of a number with too
/// many digits another number. What is no JSON is left to whoever reads it.
fn check(bytes: &[u8]) -> Result<(), BodyError> {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(body) => check_value(body, &mut Vec::new()),
        Err(_) => Ok(()),
    }
}

fn check_value(value: &RawValue, path: &mut Vec<String>) -> Result<(), BodyError> {
    let text = value.get();
    let wrong = |path: &[String], message: String| Err(BodyError { field: path.join("/"), message });
    if path.len() > DEPTH_MAX {
        return wrong(&path[..1], format!("must not be nested more than {DEPTH_MAX} levels deep"));
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(text) else { return Ok(()) };
            // What is sealed is nobody's to give: it would be taken unread.
            if let [(name, _)] = members.as_slice()
                && name == SEALED
            {
                return wrong(path, "must be the value itself, not a sealed one".to_owned());
            }
            let mut names = HashSet::new();
            for (name, value) in &members {
                path.push(name.clone());
                if !names.insert(name) {
                    return wrong(path, "stands there twice".to_owned());
                }
                check_value(value, path)?;
                path.pop();
            }
            Ok(())
        }
        Some(b'[') => {
            let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Ok(()) };
            for (index, value) in values.into_iter().enumerate() {
                path.push(index.to_string());
                check_value(value, path)?;
                path.pop();
            }
            Ok(())
        }
        Some(b'-' | b'0'..=b'9') if significant_digits(text) > DIGITS_MAX => {
            let message =
                format!("must have at most {DIGITS_MAX} significant digits: more are not kept by every reader");
            wrong(path, message)
        }
        _ => Ok(()),
    }
}

/// Digits of a JSON number without leading and trailing zeros.
fn significant_digits(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').len()
}

/// The members of an object in their order, also those whose names are the same.
struct Members<'json>(Vec<(String, &'json RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Where a list was given and an object is meant, as field names joined by `/`.
fn list_for_object(given: &Value, meant: &Value) -> Option<String> {
    let below = |name: &str, given: &Value, meant: &Value| {
        let rest = list_for_object(given, meant)?;
        Some(if rest.is_empty() { name.to_owned() } else { format!("{name}/{rest}") })
    };
    match (given, meant) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Object(given), Value::Object(meant)) => {
            given.iter().find_map(|(name, given)| below(name, given, meant.get(name)?))
        }
        (Value::Array(given), Value::Array(meant)) => given
            .iter()
            .zip(meant)
            .enumerate()
            .find_map(|(index, (given, meant))| below(&index.to_string(), given, meant)),
        _ => None,
    }
}

/// The field that a message about a whole object names, and what is wrong with it: one that is missing, that stands
/// there twice or that there is not.
fn named(message: &str) -> Option<(&str, String)> {
    let name = |begin: &str| message.strip_prefix(begin)?.split('`').next();
    if let Some(name) = name("missing field `") {
        return Some((name, "is missing".to_owned()));
    }
    if let Some(name) = name("duplicate field `") {
        return Some((name, "stands there twice".to_owned()));
    }
    let known = without_place(message).split_once("expected ").map(|(_, known)| format!("; known are {known}"));
    Some((name("unknown field `")?, format!("is not a field here{}", known.unwrap_or_default())))
}

/// A message of serde's without where in the text it found it: the field says that better.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epro::report::SubmitReport;
    use crate::trial::DefineQuestionnaire;

    fn refused(body: &str) -> BodyError {
        parse::<SubmitReport>(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let levels = 200_000;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let value = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let error = refused(&format!("{{\"answers\": {value}}}"));
            assert_eq!(error.field, "answers");
            assert!(error.message.contains("levels deep"), "{error}");
        }
        refused(&"[".repeat(levels));
        // The body itself is a level.
        let error = |levels: usize| refused(&format!("{{\"answers\": {}1{}}}", "[".repeat(levels), "]".repeat(levels)));
        assert!(error(DEPTH_MAX).message.contains("levels deep"));
        assert!(!error(DEPTH_MAX - 1).message.contains("levels deep"));
    }

    /// serde reads a list as an object's fields in their order.
    #[test]
    fn a_list_is_no_object_wherever_it_stands() {
        let field = |body: &str| parse::<DefineQuestionnaire>(body.as_bytes()).expect_err(body);
        let item = r#"{"code": "Q", "answers": {"kind": "text", "length_max": 9}}"#;
        let with_items = |items: &str| {
            format!(
                r#"{{"questionnaire": {{"definition": {{"instrument": "X", "version": "1", "title": "T", "source": "S",
                    "items": [{items}]}}}}}}"#
            )
        };
        let as_list = r#"["R", null, false, {"kind": "text", "length_max": 9}]"#;
        for (body, place) in [
            (r#"{"questionnaire": {"definition": ["X", "1", "T", "S", []]}}"#.to_owned(), "questionnaire/definition"),
            (with_items(&format!("{item}, {as_list}")), "questionnaire/definition/items/1"),
        ] {
            let error = field(&body);
            assert_eq!((error.field.as_str(), error.message.as_str()), (place, "must be a JSON object, not a list"));
        }
        parse::<DefineQuestionnaire>(with_items(item).as_bytes()).expect("a definition");
    }

    #[test]
    fn an_id_that_is_none_is_told_in_our_words() {
        let error = refused(r#"{"subject_id": "701-001", "instrument": "X", "answers": {}}"#);
        assert_eq!(error.field, "subject_id");
        assert!(error.message.starts_with("must be a UUID, such as "), "{error}");
        assert!(refused("\u{feff}{}").message.contains("byte order mark"));
    }

    #[test]
    fn what_a_reader_would_alter_is_refused() {
        let subject = r#""subject_id": "00000000-0000-0000-0000-000000000001", "instrument": "X""#;
        let body = |answers: &str| format!("{{{subject}, \"answers\": {answers}}}");
        for (answers, field) in [
            (r#"{"A": 1, "B": 2, "A": 3}"#, "answers/A"),
            (r#"{"A": 12.50000000000000000001}"#, "answers/A"),
            (r#"{"A": -100.0000000000000001}"#, "answers/A"),
            (r#"{"A": 1234567890123456}"#, "answers/A"),
        ] {
            assert_eq!(refused(&body(answers)).field, field, "{answers}");
        }
        assert_eq!(
            refused(&format!("{{{subject}, \"visit\": \"A\", \"answers\": {{}}, \"visit\": \"B\"}}")).field,
            "visit"
        );
        // Escaped, it is the same name.
        assert_eq!(refused(&body(r#"{"A": 1, "\u0041": 2}"#)).field, "answers/A");
        for answers in
            [r#"{"A": 1, "a": 2}"#, r#"{"A": 123456789012345}"#, r#"{"A": 0.000012}"#, r#"{"A": 100000000000000}"#]
        {
            parse::<SubmitReport>(body(answers).as_bytes()).expect(answers);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let subject = r#""subject_id": "00000000-0000-0000-0000-000000000001""#;
        for (body, field, message) in [
            (format!("{{{subject}, \"answers\": {{}}}}"), "instrument", "is missing"),
            (
                format!("{{{subject}, \"instrument\": 7, \"answers\": {{}}}}"),
                "instrument",
                "invalid type: integer `7`, expected a string",
            ),
            (format!("{{{subject}, \"colour\": 7}}"), "colour", "is not a field here; known are "),
            (format!("{{{subject}, \"instrument\": \"X\", \"answers\": {{}}"), "", "is not JSON: "),
            (format!("{{{subject}, \"instrument\": \"X\", \"answers\": {{}}}} 1"), "", "is not JSON: "),
            ("[1]".to_owned(), "", "must be a JSON object with the command's fields"),
        ] {
            let error = refused(&body);
            assert_eq!(error.field, field, "{body}");
            assert!(error.message.starts_with(message) && !error.message.contains(" at line 1 column 1 "), "{error}");
            assert_eq!(error.message.contains(" at line "), message.starts_with("is not JSON"), "{error}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        use crate::trial::DefineQuestionnaire;
        let refused = |body: serde_json::Value| {
            parse::<DefineQuestionnaire>(body.to_string().as_bytes()).expect_err("a list for an object")
        };
        let item = serde_json::json!({"code": "Q", "answers": {"kind": "integer", "min": 0, "max": 1}});
        let definition = |item: serde_json::Value| {
            serde_json::json!({"questionnaire": {"definition": {"instrument": "X", "version": "1", "title": "T",
                "source": "S", "items": [item], "scores": [], "alert_rules": []}}})
        };
        parse::<DefineQuestionnaire>(definition(item.clone()).to_string().as_bytes()).expect("objects");
        let listed = serde_json::json!(["Q", null, {"kind": "integer", "min": 0, "max": 1}, false]);
        let error = refused(definition(listed));
        assert!(error.field.starts_with("questionnaire"), "{error:?}");
    }
}
