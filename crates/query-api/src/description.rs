//! The interface's description, as it is checked in.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use service::interface::OPENAPI;

/// A page that lists the operations.
const PAGE: &str = include_str!("docs.html");

/// `GET /openapi.json`.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// `GET /docs`.
pub async fn page() -> Html<&'static str> {
    Html(PAGE)
}
