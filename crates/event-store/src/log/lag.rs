//! How far a reader of the log is behind, as time.

use super::{EventLog, LogError};
use crate::clock;

/// How long the first event after `position` has been in the log, in seconds; 0 where there is none.
///
/// # Errors
/// Where the log does not answer.
pub async fn seconds_behind(log: &dyn EventLog, position: u64, head: u64) -> Result<f64, LogError> {
    if position >= head {
        return Ok(0.0);
    }
    let next = log.read_all(position, 1).await?;
    Ok(next.first().map_or(0.0, |event| seconds_since(event.recorded_at)))
}

/// Seconds since a time; 0 for one that is yet to come.
pub fn seconds_since(time: chrono::DateTime<chrono::Utc>) -> f64 {
    (clock::now() - time).to_std().unwrap_or_default().as_secs_f64()
}
