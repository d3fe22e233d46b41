//! The addresses that a process listens on.

use std::net::SocketAddr;

use service::connections::ConnectionLimits;
use service::lifecycle;
use service::settings::{GrpcListen, ServerSettings};
use tokio::net::TcpListener;

use crate::interfaces::grpc_listen;
use crate::roles::Roles;
use crate::serve::{ServeError, connection_times, size};

/// Files that a process has open beside its connections: the database's, NATS, logs.
const FILES_OF_ITS_OWN: u64 = 64;

/// What a process listens on.
pub struct Listeners {
    /// HTTP.
    pub http: TcpListener,
    /// gRPC, where it has a port of its own.
    pub grpc: Option<TcpListener>,
    /// Metrics.
    pub metrics: Option<TcpListener>,
}

/// Where a process is found.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC, perhaps the same.
    pub grpc: Option<SocketAddr>,
    /// Metrics.
    pub metrics: Option<SocketAddr>,
}

impl Listeners {
    /// Listens as the settings say.
    ///
    /// # Errors
    /// [`ServeError::Listen`], which names the flag.
    pub async fn bind(roles: Roles, settings: &ServerSettings) -> Result<Self, ServeError> {
        let http = listen(settings.listen, "--listen").await?;
        let grpc = match grpc_listen(roles, settings) {
            GrpcListen::At(address) => Some(listen(address, "--grpc-listen").await?),
            GrpcListen::Same | GrpcListen::Off => None,
        };
        let metrics = match settings.metrics_listen {
            Some(address) => Some(listen(address, "--metrics-listen").await?),
            None => None,
        };
        Ok(Self { http, grpc, metrics })
    }

    /// Where they are, with the ports that were found.
    pub fn addresses(&self, roles: Roles, settings: &ServerSettings) -> Addresses {
        let found = |listener: &TcpListener| listener.local_addr().ok();
        let http = found(&self.http).unwrap_or(settings.listen);
        let grpc = match grpc_listen(roles, settings) {
            GrpcListen::Same => Some(http),
            GrpcListen::Off | GrpcListen::At(_) => self.grpc.as_ref().and_then(found),
        };
        Addresses { http, grpc, metrics: self.metrics.as_ref().and_then(found) }
    }

    /// As many connections to each as asked for, and no more than leave files for everything else.
    pub fn limits(&self, settings: &ServerSettings) -> ConnectionLimits {
        let others = FILES_OF_ITS_OWN + u64::from(settings.database_connections);
        let files = lifecycle::raise_open_files().saturating_sub(others) / (1 + u64::from(self.grpc.is_some()));
        connection_times(settings, size(settings.connections_max.min(files).max(1)))
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, flag, source })
}
