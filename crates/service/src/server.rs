//! Serving HTTP.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::auth::{self, Account, Gate};
use crate::connections::{self, ConnectionLimits, Connections};
use crate::deadline;
use crate::limits::{self, Limits};
use crate::problem::{BrokenRule, Problem};
use crate::tls::Tls;
use crate::trace;

/// How long accepting rests after it failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is told that connections find no room.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Puts around the routes what every server has: traces, problem documents for what no route
/// answers, and panics that end one request only.
///
/// `open` is for everybody. `protected` is for who has a token and within the limits, in this
/// order: who has none takes no part of what the limits share out. `streamed` is the same, for routes that take a body of any
/// size in as it comes: neither its size nor the time that it takes is bounded here. `probes` is outside the
/// limits, too: a process under load is alive and says so.
pub fn wrap(open: Router, protected: Router, streamed: Router, probes: Router, gate: Gate, limits: Limits) -> Router {
    let streamed = in_pieces(streamed, gate.clone(), limits.clone());
    let routes = open.merge(guarded(protected, gate, limits)).merge(streamed);
    let routes = routes.fallback(no_route).layer(CompressionLayer::new());
    let routes = routes.layer(middleware::from_fn(explain)).layer(middleware::from_fn(deadline::layer));
    probes.merge(routes).layer(middleware::from_fn(observe)).layer(middleware::from_fn(trace::layer))
}

/// The same routes for who passes on in this process what was asked over another protocol: with all that decides on an answer,
/// without what is of HTTP alone. Traces, and how long callers wait, are theirs.
pub fn within(open: Router, protected: Router, probes: Router, gate: Gate, limits: Limits) -> Router {
    let routes = open.merge(guarded(protected, gate, limits)).merge(probes).fallback(no_route);
    routes.layer(middleware::from_fn(observe))
}

fn in_pieces(streamed: Router, gate: Gate, limits: Limits) -> Router {
    if streamed.has_routes() {
        streamed
            .route_layer(DefaultBodyLimit::disable())
            .route_layer(middleware::from_fn_with_state(limits, limits::streamed))
            .route_layer(middleware::from_fn_with_state(gate, auth::require))
    } else {
        streamed
    }
}

fn guarded(protected: Router, gate: Gate, limits: Limits) -> Router {
    if protected.has_routes() {
        protected
            // Innermost: whatever a body unpacks to is measured like any other.
            .route_layer(RequestDecompressionLayer::new())
            .route_layer(DefaultBodyLimit::max(limits.body_bytes_max()))
            .route_layer(middleware::from_fn_with_state(limits, limits::layer))
            .route_layer(middleware::from_fn_with_state(gate, auth::require))
    } else {
        protected
    }
}

/// Serves until asked to stop, then lets requests end within a bound. Where connections are
/// not accepted or find no room it goes on, and tells so once in a while.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) {
    let connections = Connections::new(limits, tls);
    let tasks = TaskTracker::new();
    let (mut failing, mut full) = (Seldom::default(), Seldom::default());
    let accepting = async {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if connections::is_of_one_connection(&error) => continue,
                Err(error) => {
                    failing.tell(|| tracing::warn!(error = &error as &dyn Error, "connections cannot be accepted"));
                    connections.close_longest_idle();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let admitted = connections.admit(|| {
                full.tell(|| tracing::warn!(limits.connections_max, "no more connections; idle ones make room"));
            });
            tasks.spawn(connections.serve(stream, admitted.await, router.clone(), shutdown.clone()));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Tells something that may go on and on, but not each time.
#[derive(Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn tell(&mut self, tell: impl FnOnce()) {
        if self.0.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.0 = Some(Instant::now());
            tell();
        }
    }
}

async fn no_route(request: Request) -> Response {
    Problem::not_found("route-not-found", format!("There is nothing at {}.", request.uri().path())).into_response()
}

/// What axum and its layers answer without a word: a method that a route does not have (405), and a body that is
/// packed in a way that is not known (415). `OPTIONS` is told which methods there are.
async fn explain(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    if is_problem(&response) {
        return response;
    }
    let (problem, told) = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED if method == Method::OPTIONS => {
            return match response.headers().get(header::ALLOW) {
                Some(allow) => (StatusCode::NO_CONTENT, [(header::ALLOW, allow.clone())]).into_response(),
                None => StatusCode::NO_CONTENT.into_response(),
            };
        }
        status @ StatusCode::METHOD_NOT_ALLOWED => {
            (Problem::new(status, "method-not-allowed", format!("{method} is not possible here.")), header::ALLOW)
        }
        status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let detail = "Send the body as it is, or packed with gzip or zstd and with that `Content-Encoding`.";
            (Problem::new(status, "unsupported-media-type", detail), header::ACCEPT_ENCODING)
        }
        _ => return response,
    };
    match response.headers().get(&told) {
        Some(value) => problem.with_header(told, value.clone()).into_response(),
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
    let started = Instant::now();
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            let trace = trace::current().map(|trace| trace.trace_id());
            tracing::error!(trace, "a request's handler panicked");
            Problem::internal().into_response()
        }
    };
    let (status, route) = (response.status(), route.unwrap_or_default());
    let seconds = started.elapsed().as_secs_f64();
    let of_class =
        [("method", method.to_owned()), ("route", route.clone()), ("status_class", status_class(status).to_owned())];
    metrics::histogram!("anamnesis_http_request_duration_seconds", &of_class).record(seconds);
    let of_status = [("method", method.to_owned()), ("route", route.clone()), ("status", status.as_str().to_owned())];
    metrics::counter!("anamnesis_http_requests_total", &of_status).increment(1);
    access(&response, method, &route, seconds);
    response
}

/// The access log: by whom, which route, and how it ended. Neither addresses nor parameters, which name patients.
fn access(response: &Response, method: &str, route: &str, seconds: f64) {
    let (status, answered) = (response.status(), response.extensions());
    let trace = trace::current().map(|trace| trace.trace_id());
    let account = answered.get::<Account>().map(|account| account.0.as_str());
    let (code, rule) = (status.as_u16(), answered.get::<BrokenRule>().map(|rule| rule.0.as_str()));
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        tracing::warn!(target: "access", method, route, status = code, rule, account, trace, "access denied");
    } else {
        tracing::info!(target: "access", method, route, status = code, rule, account, seconds, trace, "answered");
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
