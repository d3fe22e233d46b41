//! Logs and metrics.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::LogFormat;

/// How often measured values are summed up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The metrics cannot be set up.
    #[error("metrics cannot be set up")]
    Metrics(#[from] BuildError),
}

/// Sets logs and metrics up for this process. Logs go to standard error.
///
/// # Errors
/// [`TelemetryError`].
///
/// # Panics
/// Outside a Tokio runtime.
pub fn init(filter: &str, format: LogFormat) -> Result<PrometheusHandle, TelemetryError> {
    let targets: Targets = filter.parse()?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Json => subscriber.with(lines.json()).init(),
        LogFormat::Text => subscriber.with(lines).init(),
    }
    let metrics = PrometheusBuilder::new().install_recorder()?;
    tokio::spawn(keep_small(metrics.clone()));
    Ok(metrics)
}

/// Sums up what was measured: until somebody does, every single value is kept,
/// and perhaps nobody ever asks for them.
async fn keep_small(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}
