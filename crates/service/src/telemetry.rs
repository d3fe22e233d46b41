//! Logs.

use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
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
        LogFormat::Json => subscriber.with(lines.json().event_format(WithCauses(fmt::format().json()))).init(),
        LogFormat::Text => subscriber.with(lines).init(),
    }
    Ok(())
}

/// JSON lines that tell an error's causes, too, as lines for people do: a list `causes`, the nearest first.
struct WithCauses(Format<Json>);

impl<S: Subscriber + for<'span> LookupSpan<'span>> FormatEvent<S, JsonFields> for WithCauses {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut causes = Causes::default();
        event.record(&mut causes);
        if causes.0.is_empty() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let object = line.trim_end().strip_suffix('}').ok_or(std::fmt::Error)?;
        writeln!(writer, "{object},\"causes\":{}}}", serde_json::Value::from(causes.0))
    }
}

/// What an event's errors were caused by.
#[derive(Default)]
struct Causes(Vec<String>);

impl Visit for Causes {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_error(&mut self, _: &Field, error: &(dyn std::error::Error + 'static)) {
        self.0.extend(std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the log failed")]
    struct Failed(#[source] io::Error);

    #[test]
    fn a_json_line_tells_the_causes() {
        let lines = Lines::default();
        let written = lines.clone();
        let layer = fmt::layer().with_writer(move || written.clone()).json();
        let subscriber = tracing_subscriber::registry().with(layer.event_format(WithCauses(fmt::format().json())));
        tracing::subscriber::with_default(subscriber, || {
            let error = Failed(io::Error::other("the disk is \"full\""));
            tracing::error!(error = &error as &dyn std::error::Error, position = 7, "it stopped");
            tracing::info!("it goes on");
        });
        let text = String::from_utf8(lines.0.lock().expect("nobody panicked").clone()).expect("text");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["causes"], serde_json::json!(["the disk is \"full\""]));
        assert_eq!(
            (&lines[0]["fields"]["error"], &lines[0]["fields"]["position"]),
            (&"the log failed".into(), &7.into())
        );
        assert_eq!((lines.len(), lines[1].get("causes")), (2, None));
    }
}
