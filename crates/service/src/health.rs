//! `/healthz` and `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;

/// How long a check may take.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// Something that a process must be able to do to be of use.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    decides: bool,
    run: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Check {
    /// A check; where it fails it tells the reason.
    pub fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, decides: true, run: Arc::new(move || Box::pin(run())) }
    }

    /// The check, shown without deciding whether the process is ready: what it does beside its
    /// requests must not keep requests from it.
    #[must_use]
    pub const fn shown_only(mut self) -> Self {
        self.decides = false;
        self
    }

    async fn result(&self) -> CheckResult {
        let patience = || Err(format!("no answer within {} s", CHECK_PATIENCE.as_secs()));
        let result = tokio::time::timeout(CHECK_PATIENCE, (self.run)()).await.unwrap_or_else(|_| patience());
        CheckResult { name: self.name, ok: result.is_ok(), decides: self.decides, reason: result.err() }
    }
}

#[derive(Serialize)]
struct CheckResult {
    name: &'static str,
    ok: bool,
    /// Whether readiness depends on it.
    decides: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<CheckResult>,
}

/// What readiness depends on.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<Check>,
}

impl Health {
    /// Ready when all checks pass that decide.
    pub const fn new(checks: Vec<Check>) -> Self {
        Self { checks }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(async || Json(serde_json::json!({"status": "ok"}))))
            .route("/readyz", get(ready))
            .with_state(self)
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let checks = join_all(health.checks.iter().map(Check::result)).await;
    let ready = checks.iter().all(|check| check.ok || !check.decides);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}
