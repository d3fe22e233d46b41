//! The interface's description, as it is checked in.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

/// The whole OpenAPI document (`cargo xtask codegen` writes it).
const DOCUMENT: &str = include_str!("../../../openapi/openapi.json");
/// A page that lists the operations.
const PAGE: &str = include_str!("docs.html");

/// `GET /openapi.json`.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// `GET /docs`.
pub async fn page() -> Html<&'static str> {
    Html(PAGE)
}
