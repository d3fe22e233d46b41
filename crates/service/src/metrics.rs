//! What is measured: one list of every series, the recorder, and the port at which Prometheus asks.
//!
//! Names follow Prometheus's conventions: base units, counters end in `_total`, histograms have buckets. Whoever
//! measures names the series by its text; a test compares these texts, the list and what a running system tells.

mod list;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
pub use metrics_exporter_prometheus::BuildError;
pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use metrics_process::Collector;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use list::METRICS;

/// How often measured values are summed up: until somebody does every single value is kept, and perhaps nobody asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// The text form of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A series.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// A kind of series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// As it is at the moment.
    Gauge,
    /// Counted by size, with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its name in Prometheus's text form.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// Which program it is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// The commit that it was built from, or `unknown`.
    pub commit: &'static str,
}

/// Measures from now on. Without it nothing is measured, and that costs nothing.
///
/// # Errors
/// Where this process measures already.
pub fn install(build: Build) -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(bounds) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
        }
    }
    let handle = builder.install_recorder()?;
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => {
                metrics::describe_counter!(metric.name, metric.help);
                // From the start: what appears at 1 is no increase to Prometheus.
                if metric.labels.is_empty() {
                    metrics::counter!(metric.name).absolute(0);
                }
            }
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    metrics::gauge!("anamnesis_build_info", "version" => build.version, "commit" => build.commit).set(1.0);
    Ok(handle)
}

/// Answers `GET /metrics` until asked to stop, and sums up meanwhile.
pub async fn serve(listener: TcpListener, handle: PrometheusHandle, shutdown: CancellationToken) {
    let router = Router::new().route("/metrics", get(scrape)).with_state(handle.clone());
    let asked = shutdown.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { asked.cancelled().await });
    tokio::select! {
        served = serving.into_future() => {
            if let Err(error) = served {
                tracing::error!(error = &error as &dyn std::error::Error, "metrics are served no more");
            }
        }
        () = keep_small(handle) => {}
        // Whoever asks and does not listen does not hold the process.
        () = shutdown.cancelled() => {}
    }
}

async fn scrape(State(handle): State<PrometheusHandle>) -> Response {
    Collector::default().collect();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], handle.render()).into_response()
}

async fn keep_small(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// The list as a page for operators, in Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat each process tells Prometheus at `/metrics` on the address that `--metrics-listen` names. \
         Made by `anamnesis metrics`; alert rules: [deploy/prometheus/alerts.yml](../deploy/prometheus/alerts.yml).\n\n\
         | name | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (metric.name, metric.kind.name(), metric.help);
        text.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    text
}
