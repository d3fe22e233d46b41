//! From the log to whoever listens: JetStream topology, relay and feeds.

pub mod feed;

pub use feed::{Feed, FeedError, FeedSource, LogFeedSource};
