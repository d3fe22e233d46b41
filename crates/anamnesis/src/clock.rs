//! Whether this machine's clock agrees with the log's.
//!
//! An event's `recorded_at` is never before that of the event before it. Where a clock ran ahead
//! and was corrected, everything since has the time of that moment: histories "as of" a time of
//! day do not find it, until the clock has come as far again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event_store::clock;
use event_store::log::{EventLog, LogError};
use service::health::Check;
use tokio_util::sync::CancellationToken;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(30);
/// Seconds that clocks of several machines may differ without anybody being told.
const SECONDS_MAX: i64 = 300;

/// Compares the clock with the newest event.
#[derive(Clone)]
pub struct ClockWatch {
    log: Arc<dyn EventLog>,
    /// Seconds by which the clock is behind the log.
    behind: Arc<AtomicI64>,
}

impl ClockWatch {
    /// Compares with the events of this log.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, behind: Arc::default() }
    }

    /// Compares until asked to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = self.watch() => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Shown only: commands are carried out all the same.
    pub fn check(&self) -> Check {
        let behind = self.behind.clone();
        let check = Check::new("clock", move || {
            let seconds = behind.load(Ordering::Relaxed);
            let ahead = || format!("the newest event was recorded {seconds} s later than this clock shows");
            std::future::ready(if seconds > SECONDS_MAX { Err(ahead()) } else { Ok(()) })
        });
        check.shown_only()
    }

    async fn watch(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        let mut told = false;
        loop {
            ticks.tick().await;
            // Where the log does not answer the check of the log says so.
            let Ok(seconds) = self.seconds_behind().await else { continue };
            self.behind.store(seconds, Ordering::Relaxed);
            metrics::gauge!("anamnesis_clock_behind_log_seconds").set(seconds as f64);
            let far = seconds > SECONDS_MAX;
            if far && !told {
                tracing::warn!(
                    seconds,
                    "the clock is behind the log: events are recorded at the newest event's time until it has caught up"
                );
            }
            told = far;
        }
    }

    async fn seconds_behind(&self) -> Result<i64, LogError> {
        let head = self.log.head().await?;
        let newest = if head == 0 { Vec::new() } else { self.log.read_all(head - 1, 1).await? };
        Ok(newest.first().map_or(0, |event| (event.recorded_at - clock::now()).num_seconds().max(0)))
    }
}
