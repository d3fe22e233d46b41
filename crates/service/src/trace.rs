//! The trace context of a request (W3C Trace Context): taken from `traceparent`, or begun here.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A trace context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    trace_id: u128,
    span_id: u64,
}

impl Trace {
    fn begin() -> Self {
        let (trace_id, span) = (Uuid::now_v7().as_u128(), Uuid::now_v7().as_u128());
        Self { trace_id, span_id: span as u64 }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace_id, span_id, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = (version.len(), trace_id.len(), span_id.len());
        let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span_id, 16).ok().filter(|id| *id != 0)?;
        (lengths == (2, 32, 16) && version != "ff").then_some(Self { trace_id, span_id })
    }

    /// The trace id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The value of `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

/// The trace of the request that is being answered.
pub fn current() -> Option<Trace> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Gives every request a trace, and its id to the answer.
pub async fn layer(request: Request, next: Next) -> Response {
    let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace = given.and_then(Trace::parse).unwrap_or_else(Trace::begin);
    let trace_id = HeaderValue::from_str(&trace.trace_id());
    let mut response = CURRENT.scope(trace, next.run(request)).await;
    if let Ok(trace_id) = trace_id {
        response.headers_mut().insert("trace-id", trace_id);
    }
    response
}
