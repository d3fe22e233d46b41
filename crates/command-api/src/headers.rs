//! What a command's headers say. One that says something twice says nothing: it is refused.

use axum::http::header::AsHeaderName;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use event_store::execute::{Marks, Precondition, State};
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;

/// Greatest length of an idempotency key.
const KEY_LENGTH_MAX: usize = 255;

/// The command's id: one per caller and key, so that nobody can meet another's, nor guess from it what the key was made
/// of.
///
/// # Errors
/// A 400 problem where the key is given twice or is none.
pub fn command_id(marks: &Marks, principal: &Principal, headers: &HeaderMap) -> Result<Uuid, Problem> {
    let Some(key) = once(headers, "idempotency-key", "Idempotency-Key")? else { return Ok(Uuid::now_v7()) };
    let visible = key
        .to_str()
        .ok()
        .filter(|key| (1..=KEY_LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    let key = visible.ok_or_else(|| {
        Problem::invalid(
            "Idempotency-Key",
            "malformed",
            "The Idempotency-Key must be 1 to 255 visible ASCII characters.",
        )
    })?;
    Ok(marks.command_of(principal.account_id, key))
}

/// What `If-Match` asks for (RFC 9110, section 13.1.1): `*`, or tags of which one must be that of the stream's state.
/// A tag that the read side gave, or a version in quotes. Weak tags match nothing, and neither do tags of others.
///
/// # Errors
/// A 400 problem where it is given twice or is no list of entity tags.
pub fn if_match(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let Some(value) = once(headers, header::IF_MATCH, "If-Match")? else { return Ok(Precondition::None) };
    let message = "If-Match must be `*`, or the ETag of the document that is to be changed, or the stream's version \
                   in quotes, such as \"3\"; or several of these with commas in between.";
    let malformed = || Problem::invalid("If-Match", "malformed", message);
    let text = value.to_str().map_err(|_| malformed())?.trim();
    if text == "*" {
        return Ok(Precondition::Exists);
    }
    let mut states = Vec::new();
    for tag in text.split(',').map(str::trim) {
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        let opaque = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(malformed)?;
        if opaque.contains('"') {
            return Err(malformed());
        }
        if strong.len() == tag.len() {
            states.extend(state_of(opaque));
        }
    }
    Ok(Precondition::OneOf(states))
}

/// The state that a tag is of: `<version>`, or as the read side writes it, `<version>-<stream>-<event>` and perhaps more.
fn state_of(opaque: &str) -> Option<State> {
    let mut parts = opaque.split('-');
    let digits = parts.next().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let version = digits.parse().ok()?;
    match (parts.next(), parts.next()) {
        (None, _) => Some(State::from(version)),
        (Some(stream), Some(_)) => Some(State { version, stream: Some(stream.to_owned()) }),
        (Some(_), None) => None,
    }
}

/// Refuses a body of another kind than JSON.
///
/// # Errors
/// A 415 problem.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "Send the command's fields as JSON, with `Content-Type: application/json`.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

/// A header that may be given once.
fn once<'headers>(
    headers: &'headers HeaderMap,
    name: impl AsHeaderName,
    shown: &str,
) -> Result<Option<&'headers HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Problem::invalid(shown, "duplicate", format!("{shown} may be given once."))),
        (value, None) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use event_store::execute::{Precondition, State};

    use super::if_match;

    #[test]
    fn if_match_is_read_as_the_standard_says() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_MATCH, HeaderValue::from_str(line).expect("a header"));
            }
            if_match(&headers)
        };
        let any_of = |versions: &[u64]| Precondition::OneOf(versions.iter().copied().map(State::from).collect());
        let of_document =
            |version, stream: &str| Precondition::OneOf(vec![State { version, stream: Some(stream.to_owned()) }]);
        for (text, expected) in [
            ("*", Precondition::Exists),
            ("\"3\"", any_of(&[3])),
            ("\"3-0000000000cd-00000000000000ab\"", of_document(3, "0000000000cd")),
            ("\"3-0000000000cd-00000000000000ab-b\"", of_document(3, "0000000000cd")),
            ("\"3\", \"7\" ,\"x\"", any_of(&[3, 7])),
            ("\"3-zzz\"", any_of(&[])),
            ("W/\"3\"", any_of(&[])),
            ("W/\"3\",\"4\"", any_of(&[4])),
            ("\"another\"", any_of(&[])),
            ("\"\"", any_of(&[])),
        ] {
            assert_eq!(read(&[text]).expect(text), expected, "{text}");
        }
        assert_eq!(read(&[]).expect("nothing is asked for"), Precondition::None);
        for text in ["3", "", "\"3", "3\"", "\"3\" \"4\"", "\"3\",", "*, \"3\"", "w/\"3\""] {
            assert_eq!(read(&[text]).expect_err(text).rule(), "malformed", "{text}");
        }
        assert_eq!(read(&["\"3\"", "\"3\""]).expect_err("twice").rule(), "duplicate");
    }
}
