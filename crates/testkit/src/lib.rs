//! Test support: throw-away servers, contract suites, helpers.

pub mod appends;
pub mod contract;
mod eventually;
pub mod given;
pub mod proxy;
pub mod recorder;
mod servers;
pub mod stores;

pub use eventually::eventually;
pub use history_checker as history;
pub use servers::{NatsServer, PgBouncer, PostgresCluster, TestDatabase, nats, nats_cluster, nats_with, postgres};
