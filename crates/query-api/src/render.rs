//! Answers of the read side, and its errors.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use event_store::checkpoints::Checkpoint;
use event_store::log::LogError;
use event_store::views::{QueryError, ViewError};
use serde::Serialize;
use service::problem::Problem;
use service::trace;

use crate::QueryApi;
use crate::entity_tag::EntityTag;
use crate::place::Place;

/// Seconds after which a view that lags is worth another try.
const LAG_SECONDS: u32 = 1;

/// Waits until the view has seen what the caller wants to see.
///
/// # Errors
/// A 503 problem where it does not come to that in time; a 409 where the log lost it or never had it.
pub async fn wait(api: &QueryApi, view: &str, at_least: Option<(Place, Duration)>) -> Result<(), Problem> {
    let Some((place, patience)) = at_least else { return Ok(()) };
    let position = place.position(&*api.store.log).await?;
    // What has not happened is not waited for. That this process has heard of it by now spares the question.
    if position > *api.store.log.watch_head().borrow() {
        let head = api.store.log.head().await.map_err(from_log)?;
        if position > head {
            return Err(beyond_head(position, head));
        }
    }
    if api.store.view_waits.until(view, position, patience).await.map_err(from_view)? {
        return Ok(());
    }
    let detail = format!("The view has not reached position {position} yet.");
    Err(Problem::unavailable("view-behind", detail, LAG_SECONDS))
}

/// How far the view stands that an answer was read from.
pub const POSITION: HeaderName = HeaderName::from_static("anamnesis-position");

/// A 409 problem: the log is not as long as the caller believes.
pub fn beyond_head(position: u64, head: u64) -> Problem {
    let detail = format!("The log stands at {head}: there is nothing at or behind {position}.");
    Problem::new(StatusCode::CONFLICT, "position-beyond-head", detail)
}

/// Answers with a body as of a view's checkpoint, or 304 where the caller has what the tag is of.
pub fn as_of(checkpoint: Checkpoint, tag: &EntityTag, headers: &HeaderMap, body: impl IntoResponse) -> Response {
    let mut response =
        if tag.is_known(headers) { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let headers = response.headers_mut();
    headers.insert(POSITION, checkpoint.position.into());
    if let Some(tag) = tag.header() {
        headers.insert(header::ETAG, tag);
    }
    private(response)
}

/// JSON that is written already.
pub struct Written(pub String);

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// Answers with a body that is read from the log.
pub fn from_the_log(body: &impl Serialize) -> Response {
    private(Json(body).into_response())
}

/// Marks an answer as clinical data: no cache keeps it, also not the asker's own on its disk. What a program keeps to
/// itself it may compare by the tag.
pub fn private(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The answer depends on who asks: blinded roles get less.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("authorization"));
    response
}

/// It may be away, or refuse what this program needs: its log tells which.
const DATABASE_UNAVAILABLE: &str = "The database cannot be used; the server's log says why.";

/// What is sealed cannot be opened.
const KEYS_UNAVAILABLE: &str = "The keys cannot be used now; the server's log says why. Ask again.";

/// From an error of the views' storage.
pub fn from_view(error: ViewError) -> Problem {
    match error {
        ViewError::Unknown(view) => {
            let detail = format!("The view `{view}` has not been built yet. Is a projector running?");
            Problem::unavailable("view-not-built", detail, LAG_SECONDS)
        }
        ViewError::Query(error) => from_query(&error),
        error @ ViewError::Closed(_) => {
            log(&error);
            Problem::unavailable("keys-unavailable", KEYS_UNAVAILABLE, 2)
        }
        error @ ViewError::Database { .. } => {
            log(&error);
            Problem::unavailable("database-unavailable", DATABASE_UNAVAILABLE, 2)
        }
        error @ ViewError::Corrupt(_) => {
            log(&error);
            Problem::internal()
        }
    }
}

fn from_query(error: &QueryError) -> Problem {
    let (field, rule) = match error {
        QueryError::UnknownColumn(_) => ("sort", "unknown-column"),
        QueryError::WrongKind { .. } => ("filter", "malformed"),
        QueryError::ForeignCursor => ("after", "foreign-cursor"),
        QueryError::Limit => ("limit", "out-of-range"),
        QueryError::Values => ("filter", "too-many-values"),
    };
    Problem::invalid(field, rule, error.to_string())
}

/// From an error of the log.
pub fn from_log(error: LogError) -> Problem {
    log(&error);
    match error {
        error if error.is_newer_event() => Problem::newer_event(),
        LogError::Database { .. } | LogError::Stopped | LogError::BatchFailed | LogError::WentBack => {
            Problem::unavailable("database-unavailable", DATABASE_UNAVAILABLE, 2)
        }
        LogError::Closed(_) => Problem::unavailable("keys-unavailable", KEYS_UNAVAILABLE, 2),
        LogError::Corrupt { .. } | LogError::Decode { .. } => Problem::internal(),
    }
}

/// Logs the cause of a problem, once, under the request's trace.
pub fn log(error: &(dyn std::error::Error + 'static)) {
    let trace = trace::current().map(|trace| trace.trace_id());
    tracing::error!(error, trace, "a query failed");
}
