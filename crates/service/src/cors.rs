//! Which web pages of other origins may use the interface (CORS).

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::CorsLayer;

/// How long a browser may go on without asking again.
const ANSWER_GOOD_FOR: Duration = Duration::from_secs(3_600);

/// Lets pages of these origins use the interface: their browsers' questions (`OPTIONS`, without a
/// token) are answered, and they may read the answers. Where there are none nothing changes.
pub fn allow(router: Router, origins: &[HeaderValue]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let named = |names: &'static [&str]| names.iter().copied().map(HeaderName::from_static);
    let asked = named(&[
        "idempotency-key",
        "last-event-id",
        "request-timeout",
        "traceparent",
        "tus-resumable",
        "upload-length",
        "upload-metadata",
        "upload-offset",
    ]);
    let told = named(&[
        "anamnesis-position",
        "idempotency-replayed",
        "trace-id",
        "tus-resumable",
        "upload-length",
        "upload-offset",
    ]);
    let cors = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST, Method::HEAD, Method::PATCH])
        .allow_headers(
            [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH]
                .into_iter()
                .chain(asked)
                .collect::<Vec<_>>(),
        )
        .expose_headers(
            [header::ETAG, header::LOCATION, header::RETRY_AFTER].into_iter().chain(told).collect::<Vec<_>>(),
        )
        .max_age(ANSWER_GOOD_FOR);
    router.layer(cors)
}

/// Reads an origin as browsers send it, such as `https://trials.example.org`.
///
/// # Errors
/// What an origin looks like.
pub fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || format!("`{text}` is not an origin such as https://trials.example.org or http://localhost:5173");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    // Browsers send it in this form and compare letter by letter.
    let same = text == format!("{scheme}://{authority}").to_lowercase() && !text.contains(['@', '*']);
    HeaderValue::from_str(text).ok().filter(|_| same).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for text in ["https://trials.example.org", "http://localhost:5173", "http://[::1]:80"] {
            assert_eq!(origin(text).expect("an origin"), text);
        }
        for text in
            ["*", "null", "example.org", "https://a.org/", "https://A.org", "ftp://a.org", "https://*.a.org", ""]
        {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
