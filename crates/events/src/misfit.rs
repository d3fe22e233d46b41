//! JSON that does not fit its type, told without what stands in it.

use serde_json::error::Category;

/// Why JSON does not fit its type. The parser's own words quote the value that does not fit, and these words go into
/// logs and into the catalogue of views: a value may be a person's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", place(*.line, *.column))]
pub struct Misfit {
    what: String,
    line: usize,
    column: usize,
}

/// Beginnings of what the parser says of fields, by their names alone.
const OF_FIELDS: [&str; 3] = ["missing field", "unknown field", "duplicate field"];

impl From<serde_json::Error> for Misfit {
    fn from(error: serde_json::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&serde_json::Error> for Misfit {
    fn from(error: &serde_json::Error) -> Self {
        let said = error.to_string();
        let what = match error.classify() {
            Category::Data if OF_FIELDS.iter().any(|words| said.starts_with(words)) => {
                // Without the list of what is expected, and the place, which follow.
                said.split(", ").next().unwrap_or_default().split(" at line").next().unwrap_or_default().to_owned()
            }
            // What was found stands before it, in the parser's own words or in ours.
            Category::Data => match said.rsplit_once(", expected ") {
                Some((_, expected)) => {
                    let expected = expected.rsplit_once(" at line ").map_or(expected, |(expected, _)| expected);
                    format!("a value that does not fit, expected {expected}")
                }
                None => "a value that does not fit".to_owned(),
            },
            Category::Syntax => "malformed JSON".to_owned(),
            Category::Eof => "JSON that ends too early".to_owned(),
            Category::Io => "JSON that cannot be read".to_owned(),
        };
        Self { what, line: error.line(), column: error.column() }
    }
}

/// The place, where the parser knows it.
fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(" at line {line} column {column}") }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Patient {
        #[expect(dead_code, reason = "only read")]
        age: u8,
    }

    #[test]
    fn values_are_not_told_and_fields_are() {
        for (json, told) in [
            (r#"{"age": "Jane Doe"}"#, "a value that does not fit, expected u8 at line 1 column 18"),
            (r#"{"age": ", expected Jane Doe"}"#, "a value that does not fit, expected u8 at line 1 column 29"),
            (r#"{"years": 3}"#, "unknown field `years` at line 1 column 8"),
            ("{}", "missing field `age` at line 1 column 2"),
            (r#"{"age": Jane}"#, "malformed JSON at line 1 column 9"),
            (r#"{"age": 3"#, "JSON that ends too early at line 1 column 9"),
        ] {
            let error = serde_json::from_str::<Patient>(json).expect_err("it does not fit");
            assert_eq!(Misfit::from(error).to_string(), told);
        }
        let value = serde_json::json!({"age": "Jane Doe"});
        let error = serde_json::from_value::<Patient>(value).expect_err("it does not fit");
        assert_eq!(Misfit::from(&error).to_string(), "a value that does not fit, expected u8");
    }
}
