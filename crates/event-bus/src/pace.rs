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
    /// Batches come at least so far apart.
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
