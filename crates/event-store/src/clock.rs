//! The only clock of the program.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// The time now in UTC, in whole microseconds: what every engine can keep.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
}
