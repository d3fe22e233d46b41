//! Problem documents as gRPC tells them: a code, and details as `google.rpc.Status` has them.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use service::problem::TYPE_PREFIX;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// Whose rules the reasons are.
const DOMAIN: &str = "anamnesis";
/// More than the longest problem document.
const PROBLEM_BYTES_MAX: usize = 1024 * 1024;

/// A problem document, as far as it is told on.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    r#type: String,
    title: String,
    detail: String,
    rule: String,
    errors: Vec<Violation>,
    trace_id: String,
}

#[derive(Deserialize)]
struct Violation {
    field: String,
    rule: String,
    message: String,
}

/// The problem that a request was answered with. `ErrorInfo` names the rule, `BadRequest` every field at fault, `RetryInfo`
/// when to come again.
pub async fn of(response: Response<Body>) -> Status {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, PROBLEM_BYTES_MAX).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let mut details = ErrorDetails::new();
    let metadata = HashMap::from([
        ("type".to_owned(), problem.r#type),
        ("title".to_owned(), problem.title),
        ("http_status".to_owned(), parts.status.as_u16().to_string()),
        ("trace_id".to_owned(), problem.trace_id),
    ]);
    let code = code(parts.status, &problem.rule);
    details.set_error_info(problem.rule, DOMAIN, metadata);
    let violations = problem.errors.into_iter().map(|error| {
        let mut violation = FieldViolation::new(error.field, error.message);
        violation.reason = error.rule;
        violation
    });
    details.set_bad_request(violations.collect::<Vec<_>>());
    if let Some(seconds) = retry_after(&parts.headers) {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    Status::with_error_details_and_metadata(code, problem.detail, details, told(&parts.headers))
}

/// A field that is not what it must be, which was seen before anybody was asked.
pub fn invalid(field: &str, rule: &str, message: &str) -> Status {
    let mut violation = FieldViolation::new(field, message);
    rule.clone_into(&mut violation.reason);
    let status = reasoned(StatusCode::BAD_REQUEST, rule, &format!("`{field}`: {message}"));
    let mut details = status.get_error_details();
    details.set_bad_request(vec![violation]);
    Status::with_error_details(status.code(), status.message(), details)
}

/// What REST answered does not fit the message that it is read as: a fault of this program.
pub fn misfit(error: &serde_json::Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "an answer does not fit its message");
    Status::internal("The server failed; the cause is in its log.")
}

/// There is no such thing.
pub fn not_found(detail: &str) -> Status {
    reasoned(StatusCode::NOT_FOUND, "not-found", detail)
}

/// The caller's time is up.
pub fn deadline_exceeded() -> Status {
    let detail = "The time that the call gave is up. A command may have been carried out: send it again with the same \
                  idempotency key.";
    reasoned(StatusCode::GATEWAY_TIMEOUT, "deadline-exceeded", detail)
}

/// An answer broke off.
pub fn cut_off() -> Status {
    reasoned(StatusCode::SERVICE_UNAVAILABLE, "cut-off", "The answer broke off. Ask again.")
}

/// A stream that goes on ended.
pub fn ended() -> Status {
    let detail = "The stream ended: with the token, with what the account may do, or because the server stops. Come again \
                  behind what was seen last.";
    reasoned(StatusCode::SERVICE_UNAVAILABLE, "stream-ended", detail)
}

/// A problem that was seen here, as REST would tell it.
fn reasoned(status: StatusCode, rule: &str, detail: &str) -> Status {
    let metadata = [("type", format!("{TYPE_PREFIX}{rule}")), ("http_status", status.as_u16().to_string())];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value));
    let details = ErrorDetails::with_error_info(rule, DOMAIN, HashMap::from(metadata));
    Status::with_error_details(code(status, rule), detail, details)
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

/// What of an answer's headers a caller needs.
fn told(headers: &HeaderMap) -> MetadataMap {
    let mut told = HeaderMap::new();
    for name in ["trace-id", "www-authenticate"] {
        let name = header::HeaderName::from_static(name);
        told.extend(headers.get(&name).map(|value| (name, value.clone())));
    }
    MetadataMap::from_headers(told)
}

/// The code for a status (google.rpc.Code; `FAILED_PRECONDITION` where sending the same again changes nothing before something
/// else does, `ABORTED` where it may work at once).
fn code(status: StatusCode, rule: &str) -> Code {
    match status {
        StatusCode::NOT_FOUND if rule == "route-not-found" => Code::Unimplemented,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Code::InvalidArgument
        }
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::Unimplemented,
        StatusCode::CONFLICT => Code::Aborted,
        StatusCode::PRECONDITION_FAILED | StatusCode::UNPROCESSABLE_ENTITY => Code::FailedPrecondition,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => Code::Unavailable,
        StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
        _ => Code::Unknown,
    }
}
