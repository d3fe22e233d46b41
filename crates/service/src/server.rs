//! Serving HTTP.

use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::limits::{self, Limits};
use crate::problem::Problem;
use crate::trace;

/// How long requests may go on after the process was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Puts around `router` what every server has: traces, limits, problem
/// documents for what no route answers, and panics that end one request only.
/// `probes` is outside the limits: a process under load is alive and says so.
pub fn wrap(router: Router, probes: Router, limits: Limits) -> Router {
    let limited = router
        .fallback(no_route)
        .layer(middleware::from_fn(method_not_allowed))
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(middleware::from_fn_with_state(limits, limits::layer));
    probes.merge(limited).layer(middleware::from_fn(observe)).layer(middleware::from_fn(trace::layer))
}

/// Serves until asked to stop, then lets requests end within a bound (boxed: the server's code is
/// compiled here, not where it is awaited).
///
/// # Errors
/// Where the listener fails.
pub fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> BoxFuture<'static, io::Result<()>> {
    Box::pin(async move {
        let stopping = shutdown.clone();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await });
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            served = serving => served,
            () = overdue => Ok(()),
        }
    })
}

async fn no_route(request: Request) -> Response {
    Problem::not_found("route-not-found", format!("There is nothing at {}.", request.uri().path())).into_response()
}

/// A method that a route does not have: axum answers with an empty 405 and `Allow`.
async fn method_not_allowed(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED || is_problem(&response) {
        return response;
    }
    let problem =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", format!("{method} is not possible here."));
    match response.headers().get(header::ALLOW) {
        Some(allow) => problem.with_header(header::ALLOW, allow.clone()).into_response(),
        None => problem.into_response(),
    }
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

/// Counts and times requests; turns a panic into a problem document.
async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<axum::extract::MatchedPath>().map(|path| path.as_str().to_owned());
    let method = method_label(request.method());
    let started = tokio::time::Instant::now();
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            let trace = trace::current().map(|trace| trace.trace_id());
            tracing::error!(trace, "a request's handler panicked");
            Problem::internal().into_response()
        }
    };
    let labels = [
        ("method", method.to_owned()),
        ("status", response.status().as_u16().to_string()),
        ("route", route.unwrap_or_default()),
    ];
    metrics::histogram!("anamnesis_http_request_seconds", &labels).record(started.elapsed().as_secs_f64());
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}
