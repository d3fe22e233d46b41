//! Waiting for a condition, never for a duration.

use std::time::Duration;

use tokio::time::Instant;

/// Waits until `condition` holds.
///
/// # Panics
/// Where it does not within `patience`.
pub async fn eventually(what: &str, patience: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
