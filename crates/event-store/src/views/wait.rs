//! Waiting for a view to have seen a position.

use std::time::Duration;

use tokio::time::Instant;

use super::{ViewError, ViewStore};

/// How often the catalogue is looked at for what other processes commit.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `view` stands at `position` or later; tells whether it came to
/// that within `patience`.
///
/// # Errors
/// Where the storage does not answer.
pub async fn wait_for(views: &dyn ViewStore, view: &str, position: u64, patience: Duration) -> Result<bool, ViewError> {
    let deadline = Instant::now() + patience;
    let mut commits = views.watch();
    loop {
        // Marked before looking, so that a commit in between wakes the wait below.
        commits.borrow_and_update();
        if views.position(view).await? >= position {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let pause = POLL.min(deadline - Instant::now());
        if let Ok(Err(_)) = tokio::time::timeout(pause, commits.changed()).await {
            tokio::time::sleep(pause).await;
        }
    }
}
