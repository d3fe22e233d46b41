//! How a projector or process manager receives events.

mod jetstream;
mod log;

use async_trait::async_trait;
use event_store::log::LogError;
use events::envelope::Envelope;

pub use jetstream::JetStreamFeedSource;
pub use log::LogFeedSource;

/// A feed could not go on; opening it again at the consumer's checkpoint is safe.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The log did not answer.
    #[error("the log did not answer the feed")]
    Log(#[from] LogError),
}

/// Events from a position on, then live. Delivery is at least once across
/// feeds: a consumer keeps its own checkpoint.
#[async_trait]
pub trait Feed: Send {
    /// The next events: at least one, positions without gaps. Waits for them.
    ///
    /// # Errors
    /// [`FeedError`].
    async fn next(&mut self) -> Result<Vec<Envelope>, FeedError>;
}

/// Where feeds come from.
pub trait FeedSource: Send + Sync + 'static {
    /// A feed of everything after `after_position`.
    fn open(&self, after_position: u64) -> Box<dyn Feed>;
}
