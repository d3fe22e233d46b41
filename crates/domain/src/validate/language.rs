//! Language tags (BCP 47).

use super::Invalid;

/// A language tag such as `en` or `pt-BR` (BCP 47, RFC 5646: letters and digits in parts of 1 to 8).
///
/// # Errors
/// [`Invalid::Malformed`].
pub fn language(field: &str, value: &str) -> Result<(), Invalid> {
    let part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = value.split('-').next().unwrap_or_default();
    let begins = (2..=8).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !begins || value.len() > 35 || !value.split('-').all(part) {
        let expected = "a language tag such as `en` or `pt-BR`".to_owned();
        return Err(Invalid::Malformed { field: field.to_owned(), expected });
    }
    Ok(())
}

/// Whether two language tags name the same language: upper and lower case do not matter (RFC 5646, 2.1.1), and a
/// language that was renamed is the same (the IANA Language Subtag Registry's preferred values).
pub fn same_language(one: &str, other: &str) -> bool {
    fn canonical(tag: &str) -> String {
        const RENAMED: [(&str, &str); 5] = [("in", "id"), ("iw", "he"), ("ji", "yi"), ("jw", "jv"), ("mo", "ro")];
        let tag = tag.to_ascii_lowercase();
        let (first, rest) = tag.split_at(tag.find('-').unwrap_or(tag.len()));
        match RENAMED.iter().find(|(old, _)| *old == first) {
            Some((_, new)) => format!("{new}{rest}"),
            None => tag,
        }
    }
    canonical(one) == canonical(other)
}
