//! Personal data in payloads: where they stand, and what is shown of them to whom they are not.

use events::guarded::Guarded;
use events::paths::{Paths, at};
use events::values::SEALED;
use serde_json::Value;

/// Masks personal data in a value: the first letter of a name, the year of a date, the ends of a telephone number. What
/// is one of a few words is shown, and what somebody wrote; what cannot be opened any more is not.
pub fn mask(guarded: Guarded, value: &mut Value) {
    for path in guarded.personal {
        let is_shown = guarded.shown.contains(path);
        at(value, path, &mut |_, personal| {
            if !is_shown || personal.is_object() {
                *personal = masked(personal);
            }
        });
    }
}

/// Shows that what cannot be opened any more is not there: the keys of whom it told were destroyed.
pub fn forget_sealed(value: &mut Value, personal: Paths) {
    for path in personal {
        at(value, path, &mut |_, personal| {
            if personal.get(SEALED).is_some() {
                *personal = Value::Null;
            }
        });
    }
}

/// Digits of a telephone number that are shown at its begin, with the sign, and at its end at most.
const SHOWN: (usize, usize) = (4, 4);
/// Digits that are not, however short it is.
const HIDDEN_MIN: usize = 4;

fn masked(value: &Value) -> Value {
    match value {
        // Sealed: of somebody who was erased.
        Value::Null | Value::Object(_) => Value::Null,
        Value::String(text) => Value::String(mask_text(text)),
        _ => Value::String("*".to_owned()),
    }
}

fn mask_text(text: &str) -> String {
    let is_date = |text: &str| {
        let mut parts = text.split('-');
        parts.next().is_some_and(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()))
            && parts.all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let count = text.chars().count();
    if is_date(text) {
        return text[..4].to_owned();
    }
    if text.starts_with('+') && text.is_ascii() && count > SHOWN.0 + HIDDEN_MIN {
        let end = (count - SHOWN.0 - HIDDEN_MIN).min(SHOWN.1);
        return format!("{}****{}", &text[..SHOWN.0], &text[count - end..]);
    }
    // A code or a number tells too much by any part of it.
    let is_code = text.chars().any(|character| character.is_ascii_digit())
        || text.chars().all(|character| character.is_ascii_uppercase());
    match text.chars().next() {
        Some(first) if !is_code && count > 1 => format!("{first}*"),
        _ => "*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn little_is_left_of_what_is_masked() {
        for (text, shown) in [
            ("张三", "张*"),
            ("Kari Nordmann", "K*"),
            ("+8613812345678", "+861****5678"),
            ("+4712", "*"),
            ("+4791234567", "+479****567"),
            ("+29012345", "+290****5"),
            ("+2901234", "*"),
            ("李", "*"),
            ("1948-03-09", "1948"),
            ("1948", "1948"),
            ("01017012345", "*"),
            ("F", "*"),
            ("INTERSEX", "*"),
            ("", "*"),
        ] {
            assert_eq!(mask_text(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_declared_is_masked_and_nothing_else() {
        let personal: &[&[&str]] =
            &[&["name"], &["changes", "name"], &["changes", "sex"], &["age"], &["lost"], &["sex"]];
        let guarded = Guarded { allocation: &[], personal, shown: &[&["changes", "sex"], &["sex"]] };
        let sealed = json!({"sealed": "v1"});
        let changes = json!({"name": null, "sex": "F"});
        let mut value =
            json!({"name": "Kari", "site": "Kari", "changes": changes, "age": 7, "lost": sealed, "sex": sealed});
        let mut veiled = value.clone();
        mask(guarded, &mut value);
        let expected = json!({"name": "K*", "site": "Kari", "changes": changes, "age": "*", "lost": null, "sex": null});
        assert_eq!(value, expected);
        forget_sealed(&mut veiled, guarded.personal);
        let open = json!({"name": "Kari", "site": "Kari", "changes": changes, "age": 7, "lost": null, "sex": null});
        assert_eq!(veiled, open);
        let mut value = json!({"name": "Kari"});
        mask(Guarded::EVERYTHING, &mut value);
        assert_eq!(value, Value::Null, "of what nobody knows nothing is shown");
    }
}
