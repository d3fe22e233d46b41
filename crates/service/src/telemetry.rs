//! Logs.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::LogFormat;

/// Logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
}

/// Sets logs up for this process. They go to standard error, in colour only where a person looks at them there and
/// does not forbid it (`NO_COLOR`).
///
/// # Errors
/// [`TelemetryError`].
pub fn init(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let targets: Targets = filter.parse()?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let subscriber = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Json => subscriber.with(lines.json()).init(),
        LogFormat::Text => subscriber.with(lines).init(),
    }
    Ok(())
}
