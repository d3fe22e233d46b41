//! What every answer tells browsers and caches: nothing is kept, guessed, framed or passed on.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;

/// Where an answer does not say otherwise.
const DEFAULTS: [(HeaderName, HeaderValue); 4] = [
    // Personal data, or an answer that leads to it: on no disk, also not on the one who asks.
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    // Data and no page: whoever takes it for one runs nothing of it, and nobody frames it.
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Addresses name patients.
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
/// For a year no plain connection.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Puts the headers on every answer of these routes; where the server speaks TLS also that nothing else be spoken.
pub fn secure(router: Router, is_tls: bool) -> Router {
    router.layer(middleware::from_fn_with_state(is_tls, layer))
}

async fn layer(State(is_tls): State<bool>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
    if is_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    response
}
