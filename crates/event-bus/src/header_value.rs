//! Values of headers as the CloudEvents binding for NATS writes and reads them (section 3.1.3.2).
//!
//! A header holds printable ASCII. Whatever else a value has, and blank, double quote and percent
//! sign, is percent-encoded byte by byte as UTF-8. What is read may also be quoted, as earlier
//! versions of the binding wrote it, or encoded more than it has to be.

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What is encoded beside everything beyond ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The text as a header holds it: printable ASCII without blanks.
pub fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, ENCODED).into()
}

/// The text that a header's value stands for; none where its bytes are not UTF-8.
pub fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim_matches([' ', '\t']);
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(quoted) = quoted else { return percent_decode_str(value).decode_utf8().ok() };
    let text = unescaped(quoted);
    let text = percent_decode_str(&text).decode_utf8().ok()?;
    Some(Cow::Owned(text.into_owned()))
}

/// The text of a header, by its name in any case, as NATS compares names; none where there is no such header or it
/// cannot be read.
pub fn text_of<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<Cow<'a, str>> {
    let value = match headers.get(HeaderName::from_static(name)) {
        Some(value) => value,
        // Whoever bridges messages may write names in another case.
        None => headers.iter().find_map(|(other, values)| {
            AsRef::<str>::as_ref(other).eq_ignore_ascii_case(name).then(|| values.first()).flatten()
        })?,
    };
    decoded(value.as_str())
}

/// What a quoted text says: a backslash makes the character behind it plain.
fn unescaped(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{decoded, encoded, text_of};

    proptest! {
        #[test]
        fn any_text_comes_back_and_travels_in_printable_ascii(
            characters in proptest::collection::vec(any::<char>(), 0..64),
        ) {
            let text: String = characters.into_iter().collect();
            let header = encoded(&text);
            prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'), "{header}");
            let read = decoded(&header);
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }

        /// Whatever somebody else sends is read or refused, and never a panic.
        #[test]
        fn any_value_is_read_or_refused(value in "[ -~]{0,40}") {
            if let Some(text) = decoded(&value) {
                let again = encoded(&text);
                prop_assert_eq!(decoded(&again), Some(text.clone()));
            }
        }
    }

    #[test]
    fn the_bindings_own_example_and_its_rules() {
        assert_eq!(encoded("Euro \u{20ac} \u{1f600}"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        let read = [
            ("Euro%20%e2%82%ac", Some("Euro \u{20ac}"), "lower case is accepted"),
            ("%45uro", Some("Euro"), "what need not have been encoded, too"),
            ("\"a \\\"b\\\" c%20d\"", Some("a \"b\" c d"), "and what is quoted"),
            ("%2541", Some("%41"), "it is decoded once"),
            ("%C0%A0", None, "an overlong form is refused"),
            ("%ff", None, "and what is no UTF-8"),
        ];
        for (value, text, why) in read {
            assert_eq!(decoded(value).as_deref(), text, "{why}");
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let mut headers = HeaderMap::new();
        headers.insert("Ce-Id", "x%20y");
        assert_eq!(text_of(&headers, "ce-id").as_deref(), Some("x y"));
        assert_eq!(text_of(&headers, "ce-type"), None);
    }
}
