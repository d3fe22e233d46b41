//! Reading a command's body, strictly.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A body that is not the command's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
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
    // serde would also take the fields as a list, in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let message = "the body must be a JSON object with the command's fields".to_owned();
        return Err(BodyError { field: String::new(), message });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
        let path = path.join("/").replace(['[', ']'], "");
        let message = error.inner().to_string();
        let mut field = if path == "." { String::new() } else { path };
        if let Some(name) = named(&message) {
            field = if field.is_empty() { name.to_owned() } else { format!("{field}/{name}") };
        }
        BodyError { field, message }
    })?;
    deserializer.end().map_err(|error| BodyError { field: String::new(), message: error.to_string() })?;
    // A list inside the body may be one of those, too.
    if bytes.contains(&b'[')
        && let (Ok(given), Ok(meant)) = (serde_json::from_slice(bytes), serde_json::to_value(&body))
        && let Some(field) = list_for_object(&given, &meant)
    {
        return Err(BodyError { field, message: "must be a JSON object, not a list".to_owned() });
    }
    Ok(body)
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

/// The field that a message about a whole object names: one that is missing or given twice.
fn named(message: &str) -> Option<&str> {
    let rest = ["missing field `", "duplicate field `"].iter().find_map(|begin| message.strip_prefix(begin))?;
    rest.split('`').next()
}
