//! Personal data in payloads: where they stand, and what is shown of them to whom they are not.

use serde_json::Value;

use crate::allocation::at;

/// The places of personal data in the values of one type, each a path of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Personal(pub &'static [&'static [&'static str]]);

impl Personal {
    /// Of values of which nothing is known: all of them may be personal data.
    pub const EVERYTHING: Personal = Personal(&[&[]]);

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Masks personal data in a value: the first letter of a name, the year of a date, the ends of a telephone number.
    pub fn mask(self, value: &mut Value) {
        for path in self.0 {
            at(value, path, &mut |personal| *personal = masked(personal));
        }
    }
}

/// Digits of a telephone number that are shown at its begin, with the sign, and at its end.
const SHOWN: (usize, usize) = (4, 4);

fn masked(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::String(text) => Value::String(mask(text)),
        _ => Value::String("*".to_owned()),
    }
}

fn mask(text: &str) -> String {
    let is_date = |text: &str| {
        let mut parts = text.split('-');
        parts.next().is_some_and(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()))
            && parts.all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let count = text.chars().count();
    if is_date(text) {
        return text[..4].to_owned();
    }
    if text.starts_with('+') && text.is_ascii() && count > SHOWN.0 + SHOWN.1 {
        return format!("{}****{}", &text[..SHOWN.0], &text[count - SHOWN.1..]);
    }
    // A code or a number tells too much by any part of it.
    let is_code = text.chars().any(|character| character.is_ascii_digit())
        || text.chars().all(|character| character.is_ascii_uppercase());
    match text.chars().next() {
        Some(first) if !is_code => format!("{first}*"),
        _ => "*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Personal, mask};

    #[test]
    fn little_is_left_of_what_is_masked() {
        for (text, shown) in [
            ("张三", "张*"),
            ("Kari Nordmann", "K*"),
            ("+8613812345678", "+861****5678"),
            ("+4712", "*"),
            ("1948-03-09", "1948"),
            ("1948", "1948"),
            ("01017012345", "*"),
            ("F", "*"),
            ("INTERSEX", "*"),
            ("", "*"),
        ] {
            assert_eq!(mask(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_declared_is_masked_and_nothing_else() {
        let mut value = json!({"name": "Kari", "site": "Kari", "changes": {"name": null, "sex": "F"}, "age": 7});
        Personal(&[&["name"], &["changes", "name"], &["changes", "sex"], &["age"]]).mask(&mut value);
        assert_eq!(value, json!({"name": "K*", "site": "Kari", "changes": {"name": null, "sex": "*"}, "age": "*"}));
        let mut value = json!({"name": "Kari"});
        Personal::EVERYTHING.mask(&mut value);
        assert_eq!(value, json!("*"));
    }
}
