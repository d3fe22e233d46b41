//! Logs and metrics.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

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
pub fn init(filter: &str, format: LogFormat) -> Result<PrometheusHandle, TelemetryError> {
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => subscriber.json().init(),
        LogFormat::Text => subscriber.init(),
    }
    Ok(PrometheusBuilder::new().install_recorder()?)
}
