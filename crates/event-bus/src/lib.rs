//! From the log to whoever listens: JetStream topology, relay and feeds.

pub mod feed;
pub mod message;
mod pace;
pub mod relay;
pub mod topology;

pub use feed::{Feed, FeedError, FeedSource, JetStreamFeedSource, LogFeedSource};
pub use relay::{RelayError, RelayOptions, republish};
