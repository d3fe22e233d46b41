//! Limits that every server sets: how much at once, in all and of one account, how often, and how long each may take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::auth::Principal;
use crate::body::Bodies;
use crate::guarded::Guarded;
use crate::problem::Problem;
use crate::rate::{Class, Rates};
use crate::shares::{Limit, Share, Shares};
use crate::shedding::{Admitted, Priority, Shedding};

const REQUESTS: Limit =
    Limit { setting: "account_requests_max", rule: "too-many-requests", of: "requests that are worked on at once" };
const WAITING: Limit = Limit {
    setting: "account_waiting_max",
    rule: "too-many-waiting",
    of: "queries with `at_least` at once, which may wait for a view",
};

/// The limits of a server.
#[derive(Clone)]
pub struct Limits {
    /// How long a request may take from when its body is there until its answer begins.
    request_time_max: Duration,
    bodies: Bodies,
    concurrent: Arc<Semaphore>,
    requests: Shares,
    waiting: Shares,
    rates: Option<Rates>,
    shedding: Shedding,
    classes: Classes,
}

/// Of which class a request is, by its method and its route.
type Classes = Arc<dyn Fn(&Method, &str) -> Priority + Send + Sync>;

impl Limits {
    /// Limits of these sizes, and none of its own for an account. A body may take as long as the request.
    pub fn new(body_bytes_max: usize, request_time_max: Duration, concurrent_max: usize) -> Self {
        Self {
            request_time_max,
            bodies: Bodies::new(body_bytes_max, request_time_max, concurrent_max),
            concurrent: Arc::new(Semaphore::new(concurrent_max)),
            requests: Shares::new(REQUESTS, usize::MAX),
            waiting: Shares::new(WAITING, usize::MAX),
            rates: None,
            shedding: Shedding::new(concurrent_max),
            classes: Arc::new(|_, _| Priority::Command),
        }
    }

    /// Greatest size of a body.
    pub const fn body_bytes_max(&self) -> usize {
        self.bodies.bytes_max
    }

    /// How long a request's body may take to come.
    #[must_use]
    pub const fn with_body_time_max(mut self, max: Duration) -> Self {
        self.bodies.time_max = max;
        self
    }

    /// No account takes more than so many requests at once, so that one does not take them all.
    #[must_use]
    pub fn with_account_requests_max(mut self, max: usize) -> Self {
        self.requests = Shares::new(REQUESTS, max);
        self
    }

    /// No account has more than so many queries at once that may wait for a view.
    #[must_use]
    pub fn with_account_waiting_max(mut self, max: usize) -> Self {
        self.waiting = Shares::new(WAITING, max);
        self
    }

    /// No account asks more often than this.
    #[must_use]
    pub fn with_rates(mut self, rates: Rates) -> Self {
        self.rates = Some(rates);
        self
    }

    /// Requests are of these classes, by their method and their route; under load those go first that can wait.
    #[must_use]
    pub fn with_classes(mut self, classes: impl Fn(&Method, &str) -> Priority + Send + Sync + 'static) -> Self {
        self.classes = Arc::new(classes);
        self
    }

    /// What refuses requests by their class.
    pub const fn shedding(&self) -> &Shedding {
        &self.shedding
    }

    /// The class of a request.
    fn priority(&self, request: &Request) -> Priority {
        if request.method() != Method::POST && Class::of(request) == Class::Export {
            return Priority::Export;
        }
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        (self.classes)(request.method(), route.unwrap_or_else(|| request.uri().path()))
    }

    /// Takes a message of another protocol as the body of a request is taken: within the memory of the account.
    ///
    /// # Errors
    /// The problem to answer with.
    pub async fn hold(&self, account: &str, request: Request) -> Result<(Request, impl Send + use<>), Problem> {
        self.bodies.read(account, request).await
    }

    /// Takes what a request takes part of whose body is not read here, for as long as it is answered.
    fn begin(&self, account: &str, request: &Request) -> Result<(Share, impl Send + use<>, Admitted), Problem> {
        if let Some(rates) = &self.rates {
            rates.take(Class::of(request), account)?;
        }
        let share = self.requests.take(account)?;
        let overloaded = |_| Problem::unavailable("overloaded", "Too many requests at once.", 1);
        let permit = self.concurrent.clone().try_acquire_owned().map_err(overloaded)?;
        let admitted = self.shedding.admit(self.priority(request))?;
        Ok((share, permit, admitted))
    }

    /// Answers within the limits. What is the account's own is looked at first; of what all share, nothing is taken
    /// before the whole request is there.
    async fn answer(&self, account: &str, request: Request, next: Next) -> Result<Response, Problem> {
        if let Some(rates) = &self.rates {
            rates.take(Class::of(&request), account)?;
        }
        let share = self.requests.take(account)?;
        let _waiting = if may_wait(&request) { Some(self.waiting.take(account)?) } else { None };
        let (priority, is_timed) = (self.priority(&request), !may_wait(&request));
        let (request, _memory) = self.bodies.read(account, request).await?;
        let overloaded = |_| Problem::unavailable("overloaded", "Too many requests at once.", 1);
        let _permit = self.concurrent.try_acquire().map_err(overloaded)?;
        let _admitted = self.shedding.admit(priority)?;
        let begun = Instant::now();
        let timed_out = |_| {
            let detail = "The request took too long. A command may have been carried out: send it again with the \
                          same Idempotency-Key.";
            Problem::unavailable("timed-out", detail, 1)
        };
        let response = tokio::time::timeout(self.request_time_max, next.run(request)).await.map_err(timed_out)?;
        if is_timed {
            self.shedding.took(begun.elapsed());
        }
        Ok(held_while_sent(response, share))
    }
}

/// Whether the query asks for a view that has seen something (`at_least`).
fn may_wait(request: &Request) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|part| part.starts_with("at_least=")))
}

/// Whether it is an event stream: who follows one takes part of it for as long as they like.
pub(crate) fn is_followed(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"text/event-stream")
}

/// An answer counts until it is sent: whoever asks and does not read holds it in memory. Event streams have a limit of
/// their own.
fn held_while_sent(response: Response, share: Share) -> Response {
    if is_followed(&response) || response.body().is_end_stream() {
        return response;
    }
    response.map(|body| Body::new(Guarded::new(body, share)))
}

/// As [`layer`], for requests that take their bodies in as they come.
pub async fn streamed(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let account = request.extensions().get::<Principal>().map(|principal| principal.username.to_string());
    let Some(account) = account else { return next.run(request).await };
    let begun = limits.begin(&account, &request);
    match begun {
        Ok((share, _permit, _admitted)) => held_while_sent(next.run(request).await, share),
        Err(problem) => problem.into_response(),
    }
}

/// Refuses requests beyond the limits, at once rather than late.
pub async fn layer(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let account = request.extensions().get::<Principal>().map(|principal| principal.username.to_string());
    // Without a token only `OPTIONS` gets here: no handler answers it, and no body is read.
    let Some(account) = account else { return next.run(request).await };
    limits.answer(&account, request, next).await.unwrap_or_else(IntoResponse::into_response)
}
