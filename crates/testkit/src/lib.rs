//! Test support: throw-away servers, contract suites, helpers.

#[cfg(feature = "servers")]
pub mod appends;
#[cfg(feature = "servers")]
pub mod contract;
#[cfg(feature = "servers")]
mod eventually;
pub mod given;
#[cfg(feature = "servers")]
mod oidc;
pub mod place;
#[cfg(feature = "servers")]
pub mod proxy;
#[cfg(feature = "servers")]
pub mod recorder;
#[cfg(feature = "servers")]
mod servers;
#[cfg(feature = "servers")]
pub mod stores;

#[cfg(feature = "servers")]
pub use eventually::eventually;
#[cfg(feature = "servers")]
pub use history_checker as history;
#[cfg(feature = "servers")]
pub use oidc::{Oidc, oidc};
#[cfg(feature = "servers")]
pub use servers::{
    NatsServer, OpenBao, PgBouncer, PostgresCluster, TestDatabase, Tls, nats, nats_cluster, nats_with, openbao,
    openbao_with_tls, postgres,
};
