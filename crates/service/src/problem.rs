//! Problem documents (RFC 9457): what every refused request is answered with.

use authority::signing::SIGNED_WITHIN;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::trace;

/// What `type` begins with; the rule's name follows.
pub const TYPE_PREFIX: &str = "urn:anamnesis:problem:";

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize)]
pub struct FieldError {
    /// The field: names joined by `/`, or a parameter's or header's name.
    pub field: String,
    /// The rule that it breaks.
    pub rule: String,
    /// What would be right.
    pub message: String,
}

/// A problem document.
#[derive(Debug)]
pub struct Problem {
    // Boxed: it is the unlikely half of many results.
    content: Box<Content>,
}

#[derive(Debug)]
struct Content {
    status: StatusCode,
    rule: String,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u32>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    tells_of_others: bool,
}

/// The rule for which a request was refused: kept with the answer for the access log.
#[derive(Clone, Debug)]
pub(crate) struct BrokenRule(pub(crate) String);

/// That the answer tells something of what is out of sight: whoever asks for it is on record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TellsOfOthers;

#[derive(Serialize)]
struct Document<'problem> {
    r#type: String,
    title: &'problem str,
    status: u16,
    detail: &'problem str,
    rule: &'problem str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'problem [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl Problem {
    /// A problem of this status, by this rule.
    pub fn new(status: StatusCode, rule: impl Into<String>, detail: impl Into<String>) -> Self {
        let content = Content {
            status,
            rule: rule.into(),
            title: title(status),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
            headers: Vec::new(),
            tells_of_others: false,
        };
        Self { content: Box::new(content) }
    }

    /// Has it recorded who was told: the answer tells something of what is out of their sight.
    #[must_use]
    pub fn telling_of_others(mut self) -> Self {
        self.content.tells_of_others = true;
        self
    }

    /// 400: a field, parameter or header is not what it must be.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, rule, message) = (field.into(), rule.into(), message.into());
        let problem = Self::new(StatusCode::BAD_REQUEST, rule.clone(), message.clone());
        problem.with_error(FieldError { field, rule, message })
    }

    /// 400: these fields are not what they must be.
    pub fn malformed(errors: Vec<FieldError>) -> Self {
        let told: Vec<String> = errors.iter().map(|error| format!("`{}` {}", error.field, error.message)).collect();
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "malformed", format!("{}.", told.join("; ")));
        problem.content.errors = errors;
        problem
    }

    /// 401: who is asking is not known.
    pub fn unauthenticated(detail: &str) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
        problem.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401: who is asking has to sign in anew, with all that this takes, and within [`SIGNED_WITHIN`] (RFC 9470).
    pub fn sign_in_again(detail: impl Into<String>) -> Self {
        let challenge = format!(
            "Bearer error=\"insufficient_user_authentication\", \
             error_description=\"a more recent sign-in is needed\", max_age={}",
            SIGNED_WITHIN.num_seconds()
        );
        let challenge = HeaderValue::try_from(challenge).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        let problem = Self::new(StatusCode::UNAUTHORIZED, "sign-in-again", detail);
        problem.with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 403: who is asking may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(rule: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, rule, detail)
    }

    /// 500: a fault of the program; what it was is in the log, under the trace id.
    pub fn internal() -> Self {
        let detail = "The server failed. Nothing was half-done; the cause is in its log under the trace id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// 503: try again later.
    pub fn unavailable(rule: &str, detail: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, rule, detail).retry_after(retry_after_seconds)
    }

    /// 503 without a time to come again: the log holds an event that only a newer program can read.
    pub fn newer_event() -> Self {
        let detail = "The log holds an event that a newer program wrote; this program is older than the log. \
                      It has to be brought up to date; sending the request again does not help.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "newer-event", detail)
    }

    /// Names a field that is at fault.
    #[must_use]
    pub fn with_error(mut self, error: FieldError) -> Self {
        self.content.errors.push(error);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.content.headers.push((name, value));
        self
    }

    /// Tells when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.content.retry_after_seconds = Some(seconds);
        self
    }

    /// The answer's status.
    pub const fn status(&self) -> StatusCode {
        self.content.status
    }

    /// The rule's name.
    pub fn rule(&self) -> &str {
        &self.content.rule
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = *self.content;
        let document = Document {
            r#type: format!("{TYPE_PREFIX}{}", content.rule),
            title: content.title,
            status: content.status.as_u16(),
            detail: &content.detail,
            rule: &content.rule,
            errors: &content.errors,
            trace_id: trace::current().map(|trace| trace.trace_id()),
        };
        let mut response = (content.status, Json(document)).into_response();
        response.extensions_mut().insert(BrokenRule(content.rule.clone()));
        if content.tells_of_others {
            response.extensions_mut().insert(TellsOfOthers);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = content.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        for (name, value) in content.headers {
            headers.insert(name, value);
        }
        response
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request is malformed",
        StatusCode::UNAUTHORIZED => "Authentication is needed",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::UNPROCESSABLE_ENTITY => "Refused by a rule",
        StatusCode::CONFLICT => "It does not fit how things stand",
        StatusCode::PRECONDITION_FAILED => "Not at the expected version",
        StatusCode::INTERNAL_SERVER_ERROR => "The server failed",
        StatusCode::GATEWAY_TIMEOUT => "The caller's time is up",
        status => status.canonical_reason().unwrap_or("Problem"),
    }
}
