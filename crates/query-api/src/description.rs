//! The interface's description, as it is checked in.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use service::interface::OPENAPI;
use sha2::{Digest, Sha256};

/// A page that lists the operations.
const PAGE: &str = include_str!("docs.html");

/// What the page may do: its own script and style, known by their hashes (Content Security Policy Level 3, section
/// 2.3.1), and ask this server. Nothing else is loaded, sent or framed.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let (script, style) = (hash_of("script"), hash_of("style"));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// The hash of what stands in the page's one element of this name.
fn hash_of(element: &str) -> String {
    let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
    let content =
        PAGE.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map_or("", |(content, _)| content);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

/// `GET /openapi.json`.
pub async fn document() -> Response {
    public([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

/// `GET /docs`.
pub async fn page() -> Response {
    public([(header::CONTENT_SECURITY_POLICY, POLICY.clone())], Html(PAGE))
}

/// What is the same for everybody may be kept, and is compared before it is used again.
fn public(headers: impl axum::response::IntoResponseParts, body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::{PAGE, POLICY};

    #[test]
    fn the_policy_names_all_that_the_page_runs() {
        for element in ["<script", "<style"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}");
        }
        assert!(!PAGE.contains(" style=") && !PAGE.contains(" onclick=") && !PAGE.contains("javascript:"));
        let policy = POLICY.to_str().expect("text");
        assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
        // SHA-256 of nothing: an element that was not found.
        assert!(!policy.contains("47DEQpj8HBSa"), "{policy}");
    }
}
