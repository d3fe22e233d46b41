//! Around every call: its deadline, and what is counted of it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, header};
use axum::middleware::Next;
use service::deadline;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::status;

/// What comes while the caller waits.
///
/// # Errors
/// Their time is up.
pub async fn within<T>(end: Option<Instant>, answer: impl Future<Output = T>) -> Result<T, Status> {
    match end {
        None => Ok(answer.await),
        Some(end) => deadline::until(end, answer).await.map_err(|_| status::deadline_exceeded()),
    }
}

/// Ends a call with its caller's time: what answers it is dropped. Counts and times it.
pub async fn layer(request: Request, next: Next) -> axum::response::Response {
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let given = match timeout(request.headers()) {
        Ok(given) => given,
        Err(status) => return status.into_http::<Body>(),
    };
    let response = within(given.map(|given| begun + given), next.run(request)).await;
    let response = response.unwrap_or_else(Status::into_http::<Body>);
    let code = code(&response);
    // A method that does not exist is whatever somebody made up.
    let method =
        if code == Code::Unimplemented { "unknown".to_owned() } else { path.trim_start_matches('/').to_owned() };
    let labels = [("method", method.clone()), ("code", format!("{code:?}"))];
    metrics::counter!("anamnesis_grpc_calls_total", &labels).increment(1);
    metrics::histogram!("anamnesis_grpc_call_duration_seconds", "method" => method)
        .record(begun.elapsed().as_secs_f64());
    response
}

/// The code with which an answer begins; one that goes on may end with another.
fn code<B>(response: &Response<B>) -> Code {
    let status = response.headers().get("grpc-status").and_then(|value| value.to_str().ok());
    match status {
        Some(status) => Code::from(status.parse::<i32>().unwrap_or(Code::Unknown as i32)),
        None => Code::Ok,
    }
}

/// The time that a call gives (`grpc-timeout`).
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let name = header::HeaderName::from_static("grpc-timeout");
    let Some(value) = headers.get(name) else { return Ok(None) };
    let malformed =
        || status::invalid("grpc-timeout", "malformed", "It must be up to 8 digits and one of H M S m u n.");
    let text = value.to_str().map_err(|_| malformed())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(malformed)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let number: u64 = digits.parse().map_err(|_| malformed())?;
    let given = match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(malformed()),
    };
    // Whoever gives longer than anything may take gives no bound.
    Ok(Some(given).filter(|given| *given <= Duration::from_millis(deadline::MILLISECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static("grpc-timeout"),
                text.parse().expect("a header"),
            )]);
            timeout(&headers).map_err(|status| status.code())
        };
        assert_eq!(timeout(&HeaderMap::new()).expect("none"), None);
        for (text, millis) in [("5m", 5), ("2S", 2_000), ("1M", 60_000), ("1H", 3_600_000), ("0n", 0), ("99999u", 99)] {
            assert_eq!(read(text).map(|given| given.map(|given| given.as_millis())), Ok(Some(millis)), "{text}");
        }
        assert_eq!(read("99999999H"), Ok(None), "longer than anything may take");
        for text in ["", "m", "5", "123456789m", "-5m", "5x", "1.5S"] {
            assert_eq!(read(text), Err(Code::InvalidArgument), "{text}");
        }
    }
}
