//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

/// How long a check may take.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// A check: a name, and whether what it looks at works.
pub type Check = (&'static str, Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>);

/// What readiness depends on.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Vec<Check>>,
    metrics: Option<PrometheusHandle>,
}

impl Health {
    /// Ready when all checks pass.
    pub fn new(checks: Vec<Check>, metrics: Option<PrometheusHandle>) -> Self {
        Self { checks: Arc::new(checks), metrics }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(async || Json(json!({"status": "ok"}))))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let mut failed = Vec::new();
    for (name, check) in health.checks.iter() {
        let passed = tokio::time::timeout(CHECK_PATIENCE, check()).await;
        if passed != Ok(true) {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        Json(json!({"status": "ready"})).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "failed": failed}))).into_response()
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    let text = health.metrics.map(|metrics| metrics.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
