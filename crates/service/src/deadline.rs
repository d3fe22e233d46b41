//! How long a caller waits for an answer: from the edge to the last statement.
//!
//! Whoever gives up has the work stopped that it caused: what answers is dropped, and with it whatever waits for a database,
//! whose connection is closed so that the statement ends, or for somebody outside. An append that was handed over is carried
//! out all the same; by its key its outcome can be asked for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::limits::is_followed;
use crate::problem::Problem;

/// In which a request says how many seconds its caller waits.
pub const HEADER: HeaderName = HeaderName::from_static("request-timeout");
/// The parameter that says the same in milliseconds.
pub const PARAMETER: &str = "timeout_ms";
/// The longest time that can be said; nobody is kept for so long anyway.
pub const MILLISECONDS_MAX: u64 = 3_600_000;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// How much time is left of what the caller gave, where it gave any.
pub fn left() -> Option<Duration> {
    DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now())).ok()
}

/// When the caller's time is up, where it gave any.
pub fn end() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Answers for a caller who waits until then, and no longer; whoever answers knows of it.
///
/// # Errors
/// The time is up.
pub async fn until<T>(deadline: Instant, answer: impl Future<Output = T>) -> Result<T, Elapsed> {
    timeout_at(deadline, DEADLINE.scope(deadline, answer)).await
}

/// 504: the caller's time is up.
pub fn exceeded() -> Problem {
    let detail = "The time that the request gave is up. A command may have been carried out: send it again with the same \
                  Idempotency-Key.";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline-exceeded", detail)
}

/// Ends answers, and their bodies, with the time that their callers give.
pub async fn layer(request: Request, next: Next) -> Response {
    let given = match given(&request) {
        Ok(given) => given,
        Err(problem) => return problem.into_response(),
    };
    let Some(given) = given else { return next.run(request).await };
    let deadline = Instant::now() + given;
    match until(deadline, next.run(request)).await {
        Ok(response) if response.body().is_end_stream() => response,
        Ok(response) => {
            let breaks_off = !is_followed(&response);
            response.map(|body| Body::new(Timed { body, end: Box::pin(sleep_until(deadline)), breaks_off }))
        }
        Err(_) => exceeded().into_response(),
    }
}

/// The time that the request gives; the shorter one where it says it in both ways.
fn given(request: &Request) -> Result<Option<Duration>, Problem> {
    let mut headers = request.headers().get_all(HEADER).iter();
    let header = match (headers.next(), headers.next()) {
        (_, Some(_)) => return Err(Problem::invalid("Request-Timeout", "duplicate", "Give Request-Timeout once.")),
        (None, None) => None,
        (Some(value), None) => Some(seconds(value.to_str().unwrap_or_default())?),
    };
    let mut parameters = request.uri().query().unwrap_or_default().split('&').filter_map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name == PARAMETER).then_some(value)
    });
    let parameter = match (parameters.next(), parameters.next()) {
        (_, Some(_)) => return Err(Problem::invalid(PARAMETER, "duplicate", "Give `timeout_ms` once.")),
        (None, None) => None,
        (Some(text), None) => Some(milliseconds(text)?),
    };
    Ok(header.into_iter().chain(parameter).min())
}

fn seconds(text: &str) -> Result<Duration, Problem> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|seconds| is_decimal && *seconds > 0.0);
    let max = Duration::from_millis(MILLISECONDS_MAX);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|given| *given <= max).ok_or_else(
        || {
            let message = "Request-Timeout must be a number of seconds above 0 and up to 3600, such as 2 or 0.25.";
            Problem::invalid("Request-Timeout", "malformed", message)
        },
    )
}

fn milliseconds(text: &str) -> Result<Duration, Problem> {
    let given = text.parse().ok().filter(|given| (1..=MILLISECONDS_MAX).contains(given) && !text.starts_with('+'));
    given.map(Duration::from_millis).ok_or_else(|| {
        let message = "`timeout_ms` must be a number of milliseconds from 1 to 3600000.";
        Problem::invalid(PARAMETER, "malformed", message)
    })
}

/// A body that ends with its caller's time.
struct Timed {
    body: Body,
    end: Pin<Box<Sleep>>,
    /// Whether what has come is worth nothing without the rest: the connection then tells that it was cut off.
    breaks_off: bool,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // First: a body that always has more would never be cut off.
        if self.end.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        // What it was made of is dropped here, and not when somebody gets round to it.
        self.body = Body::empty();
        let cut_off = || axum::Error::new(std::io::Error::from(std::io::ErrorKind::TimedOut));
        Poll::Ready(std::mem::take(&mut self.breaks_off).then(|| Err(cut_off())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.breaks_off { self.body.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(address: &str, headers: &[&str]) -> Result<Option<Duration>, String> {
        let mut request = Request::builder().uri(address);
        for value in headers {
            request = request.header(HEADER, *value);
        }
        given(&request.body(Body::empty()).expect("a request")).map_err(|problem| problem.rule().to_owned())
    }

    #[test]
    fn the_time_is_read_in_both_ways_and_the_shorter_counts() {
        let millis = |number| Ok(Some(Duration::from_millis(number)));
        assert_eq!(asked("/v1/trials", &[]), Ok(None));
        assert_eq!(asked("/v1/trials?limit=1&timeout_ms=250", &[]), millis(250));
        assert_eq!(asked("/v1/trials", &["2"]), millis(2_000));
        assert_eq!(asked("/v1/trials?timeout_ms=250", &["0.1"]), millis(100));
        assert_eq!(asked("/v1/trials?timeout_ms=50", &["0.1"]), millis(50));
        assert_eq!(asked("/v1/trials?timeout_ms=3600000", &["3600"]), millis(MILLISECONDS_MAX));
        for text in ["", "0", "-1", "+5", "1.5", "soon", "3600001"] {
            assert_eq!(asked(&format!("/?timeout_ms={text}"), &[]), Err("malformed".to_owned()), "{text}");
        }
        for text in ["", "0", "-1", "+5", "1e3", "NaN", "inf", "3600.1"] {
            assert_eq!(asked("/", &[text]), Err("malformed".to_owned()), "{text}");
        }
        assert_eq!(asked("/", &["1", "1"]), Err("duplicate".to_owned()));
        assert_eq!(asked("/?timeout_ms=1&timeout_ms=1", &[]), Err("duplicate".to_owned()));
    }
}
