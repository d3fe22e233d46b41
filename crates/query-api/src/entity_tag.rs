//! Entity tags (RFC 9110, section 8.8.3): which state of what it shows an answer is.
//!
//! A document's tag begins with the version of its stream and what tells the stream from others, so that a command's
//! `If-Match` can be compared with it; the event that last changed the document follows, by which a tag fits no state of
//! another log, or of one that went back. It changes with the document and with nothing else.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use events::ids::mark;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use views::Standing;

/// Hexadecimal digits of a hash that are enough to tell contents apart.
const HASH_DIGITS: usize = 32;

/// An entity tag.
pub struct EntityTag {
    opaque: String,
    is_weak: bool,
}

impl EntityTag {
    /// Of the document of this id: what the blinded receive is another representation, and has a tag of its own.
    pub fn of_document(id: Uuid, standing: Standing, allocation_is_withheld: bool) -> Self {
        let Standing { version, last_event_id, .. } = standing;
        let (mark, (event, _)) = (mark(id), last_event_id.as_u64_pair());
        let form = if allocation_is_withheld { "-b" } else { "" };
        Self { opaque: format!("{version}-{mark}-{event:016x}{form}"), is_weak: false }
    }

    /// Of a document of which only its content is known.
    pub fn of_content(content: &str) -> Self {
        Self { opaque: hash([content]), is_weak: false }
    }

    /// Of a page: the same documents in the same order are equivalent, however far the log has come meanwhile.
    pub fn of_page<'texts>(texts: impl IntoIterator<Item = &'texts str>) -> Self {
        Self { opaque: hash(texts), is_weak: true }
    }

    /// Whether the caller says that it has this state: compared weakly (RFC 9110, section 13.1.2).
    pub fn is_known(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
        let mut candidates = lines.flat_map(|line| line.split(',')).map(str::trim);
        candidates.any(|candidate| {
            let opaque = candidate.strip_prefix("W/").unwrap_or(candidate);
            candidate == "*" || opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(&self.opaque)
        })
    }

    /// As the header `ETag`.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\"{}\"", if self.is_weak { "W/" } else { "" }, self.opaque)
    }
}

fn hash<'texts>(texts: impl IntoIterator<Item = &'texts str>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    let digits: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..HASH_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use uuid::Uuid;
    use views::Standing;

    use super::EntityTag;

    #[test]
    fn a_documents_tag_begins_with_its_streams_version() {
        let standing = Standing { version: 3, position: 17, last_event_id: Uuid::from_u64_pair(0xab, 17) };
        let tag = |withheld| EntityTag::of_document(Uuid::from_u64_pair(1, 0xcd), standing, withheld).to_string();
        assert_eq!(tag(false), "\"3-0000000000cd-00000000000000ab\"");
        assert_eq!(tag(true), "\"3-0000000000cd-00000000000000ab-b\"");
    }

    #[test]
    fn a_state_that_is_known_is_found_in_any_list_by_weak_comparison() {
        let strong = EntityTag::of_content("a");
        let weak = EntityTag::of_page(["a"]);
        let known = |tag: &EntityTag, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_str(line).expect("a header"));
            }
            tag.is_known(&headers)
        };
        for tag in [&strong, &weak] {
            let opaque = tag.to_string().replace("W/", "");
            assert!(known(tag, &[&opaque]) && known(tag, &[&format!("W/{opaque}")]));
            assert!(known(tag, &[&format!("\"x\", W/\"y\" ,{opaque}")]) && known(tag, &["\"x\"", &opaque]));
            assert!(known(tag, &["*"]));
            assert!(!known(tag, &[]) && !known(tag, &["\"x\""]) && !known(tag, &[&opaque.replace('"', "")]));
        }
    }
}
