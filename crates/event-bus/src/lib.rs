//! From the log to whoever listens: JetStream topology, relay and feeds.

pub mod connection;
pub mod control;
pub mod feed;
pub mod header_value;
pub mod headers;
pub mod message;
mod pace;
pub mod relay;
pub mod signature;
pub mod topology;
pub mod watch;

pub use connection::{ConnectionError, NatsOptions, WhileAway, connect};
pub use feed::{Feed, FeedError, FeedSource, JetStreamFeedSource, LogFeedSource};
pub use relay::{Placed, Relay, RelayError, RelayHealth, RelayOptions, RelayStanding, RepublishError, republish};
pub use signature::{PublicKeys, SignatureError, Signer};
pub use topology::Topology;
pub use watch::{Foreign, Watch, WatchHealth};
