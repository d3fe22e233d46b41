//! Under load a consumer is given more events at a time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spaces the batches of a consumer: what is stored for thirty events at once
/// costs little more than for three. What comes after a pause is not held up,
/// nor is whoever catches up in full batches.
pub struct Pace {
    apart: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// What follows a batch that was not full comes at least so long after it.
    pub const fn new(apart: Duration) -> Self {
        Self { apart, next: None }
    }

    /// Waits until the next batch may be given.
    pub async fn rest(&self) {
        if let Some(next) = self.next {
            sleep_until(next).await;
        }
    }

    /// Notes that a batch is given, of so many events where there might have been `limit`.
    pub fn gave(&mut self, events: usize, limit: usize) {
        self.next = (1..limit).contains(&events).then(|| Instant::now() + self.apart);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_what_follows_a_small_batch_waits() {
        let mut pace = Pace::new(Duration::from_secs(60));
        assert!(pace.rest().now_or_never().is_some(), "the first one");
        pace.gave(100, 100);
        assert!(pace.rest().now_or_never().is_some(), "behind a full one");
        pace.gave(99, 100);
        assert!(pace.rest().now_or_never().is_none(), "behind a small one");
        pace.gave(0, 100);
        assert!(pace.rest().now_or_never().is_some(), "behind nothing");
        let mut short = Pace::new(Duration::from_millis(1));
        short.gave(1, 100);
        short.rest().await;
    }
}
