//! Test support: throw-away servers, contract suites, helpers.

pub mod appends;
pub mod contract;
mod eventually;
pub mod given;
pub mod proxy;
pub mod recorder;
mod servers;
pub mod stores;

pub use event_store::history;
pub use eventually::eventually;
pub use servers::{NatsServer, PostgresCluster, TestDatabase, nats, postgres};
