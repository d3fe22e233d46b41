//! How many messages wait to be sent, for whoever takes more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::problem::Problem;

/// Seconds after which it is worth another try.
const RETRY_SECONDS: u32 = 30;

/// How many messages wait, as it was counted last; cloned, it is the same one.
#[derive(Clone, Debug)]
pub struct Backlog {
    waiting: Arc<AtomicU64>,
    max: u64,
}

impl Backlog {
    /// Of at most so many.
    pub fn new(max: u64) -> Self {
        Self { waiting: Arc::default(), max }
    }

    /// How many there may be.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// So many wait now.
    pub fn is_at(&self, waiting: u64) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Refuses what can wait for everything else while too much does.
    ///
    /// # Errors
    /// 503 with `Retry-After`.
    pub fn admit_bulk(&self) -> Result<(), Problem> {
        if self.waiting.load(Ordering::Relaxed) < self.max {
            return Ok(());
        }
        let detail = format!(
            "{} messages wait to be sent already (setting message_backlog_max); alerts and usual messages are taken.",
            self.max
        );
        Err(Problem::unavailable("message-backlog-full", detail, RETRY_SECONDS))
    }
}
