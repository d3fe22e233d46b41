//! A feed that reads the log itself: for the embedded engine, for catching up, for rebuilds.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::log::EventLog;
use events::envelope::Envelope;
use tokio::sync::watch;

use super::{Feed, FeedError, FeedSource};
use crate::pace::Pace;

/// Events that a batch holds at most.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// How long to wait for the head to move before looking all the same.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Feeds that read the log.
pub struct LogFeedSource {
    log: Arc<dyn EventLog>,
}

impl LogFeedSource {
    /// Feeds from `log`.
    pub const fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log }
    }
}

impl FeedSource for LogFeedSource {
    fn open(&self, after_position: u64) -> Box<dyn Feed> {
        let (log, head) = (self.log.clone(), self.log.watch_head());
        let pace = Pace::new(log.batches_apart());
        Box::new(LogFeed { log, head, position: after_position, pace })
    }
}

struct LogFeed {
    log: Arc<dyn EventLog>,
    head: watch::Receiver<u64>,
    position: u64,
    pace: Pace,
}

#[async_trait]
impl Feed for LogFeed {
    async fn next(&mut self) -> Result<Vec<Envelope>, FeedError> {
        self.pace.rest().await;
        loop {
            // Marked before reading, so that a commit in between wakes the wait below.
            self.head.borrow_and_update();
            let events = self.log.follow(self.position, BATCH_EVENTS_MAX).await?;
            if let Some(last) = events.last() {
                self.position = last.position;
                self.pace.gave(events.len(), BATCH_EVENTS_MAX);
                return Ok(events);
            }
            if let Ok(Err(_)) = tokio::time::timeout(IDLE_LOOK, self.head.changed()).await {
                // The log's writer is gone: the process is shutting down.
                tokio::time::sleep(IDLE_LOOK).await;
            }
        }
    }
}
