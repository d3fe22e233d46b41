//! Texts, by how long they are and what may stand in them.

use events::identifier::is_invisible;
use events::values::Personal;

use super::{CODE_LENGTH_MAX, Invalid, PROSE_LENGTH_MAX, TEXT_LENGTH_MAX};

/// A short code.
///
/// # Errors
/// [`Invalid`].
pub fn code(field: &str, value: &str) -> Result<(), Invalid> {
    line(field, value, CODE_LENGTH_MAX)
}

/// A line of text.
///
/// # Errors
/// [`Invalid`].
pub fn text(field: &str, value: &str) -> Result<(), Invalid> {
    line(field, value, TEXT_LENGTH_MAX)
}

/// A line of text, where there is one.
///
/// # Errors
/// [`Invalid`].
pub fn optional_text(field: &str, value: Option<&str>) -> Result<(), Invalid> {
    value.map_or(Ok(()), |value| text(field, value))
}

/// A line of text that is personal data, where there is one. What is sealed was checked when it was open.
///
/// # Errors
/// [`Invalid`].
pub fn personal_text(field: &str, value: Option<&Personal<String>>) -> Result<(), Invalid> {
    optional_text(field, value.and_then(Personal::expose).map(String::as_str))
}

/// Text of several lines.
///
/// # Errors
/// [`Invalid`].
pub fn prose(field: &str, value: &str) -> Result<(), Invalid> {
    characters(field, value, PROSE_LENGTH_MAX, |character| matches!(character, '\n' | '\t' | '\r'))
}

/// Text of several lines, where there is some.
///
/// # Errors
/// [`Invalid`].
pub fn optional_prose(field: &str, value: Option<&str>) -> Result<(), Invalid> {
    value.map_or(Ok(()), |value| prose(field, value))
}

fn line(field: &str, value: &str, max: usize) -> Result<(), Invalid> {
    characters(field, value, max, |_| false)
}

fn characters(field: &str, value: &str, max: usize, allowed: impl Fn(char) -> bool) -> Result<(), Invalid> {
    let field = || field.to_owned();
    if value.chars().all(is_invisible) || value.trim() != value {
        return Err(Invalid::Blank { field: field() });
    }
    if value.chars().count() > max {
        return Err(Invalid::TooLong { field: field(), max });
    }
    if value.chars().any(|character| is_override(character) || (character.is_control() && !allowed(character))) {
        return Err(Invalid::ControlCharacter { field: field() });
    }
    Ok(())
}

/// Shows letters in another order than they stand in, whatever their own direction: what is read is not what was typed.
const fn is_override(character: char) -> bool {
    matches!(character, '\u{202d}' | '\u{202e}')
}
