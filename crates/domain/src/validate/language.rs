//! Language tags (BCP 47).

use super::Invalid;

/// A language tag such as `en` or `pt-BR` (BCP 47, RFC 5646: letters and digits in parts of 1 to 8). It begins with a code
/// of ISO 639: no language was ever registered by a longer name.
///
/// # Errors
/// [`Invalid::Malformed`].
pub fn language(field: &str, value: &str) -> Result<(), Invalid> {
    let part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = value.split('-').next().unwrap_or_default();
    let begins = (2..=3).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !begins || value.len() > 35 || !value.split('-').all(part) {
        let expected = "a language tag such as `en` or `pt-BR`".to_owned();
        return Err(Invalid::Malformed { field: field.to_owned(), expected });
    }
    Ok(())
}
