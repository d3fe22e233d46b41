//! The interfaces of a process, put together: REST and gRPC.

use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use command_api::CommandApi;
use query_api::QueryApi;
use serde_json::Value;
use service::auth::Gate;
use service::health::Health;
use service::limits::Limits;
use service::settings::{GrpcListen, ServerSettings};
use service::{cors, headers, server};

use crate::build::BUILD;
use crate::classes::classes;
use crate::roles::Roles;
use crate::serve::size;

/// What they are made of.
pub struct Parts {
    /// Who is let in.
    pub gate: Gate,
    /// The write side, where the process has it.
    pub commands: Option<CommandApi>,
    /// The read side, where it has that.
    pub queries: Option<QueryApi>,
    /// The public keys of published events.
    pub event_keys: Option<Value>,
    /// What takes receipts of messages.
    pub receipts: Router,
    /// What takes readings of wearables.
    pub uploads: Router,
    /// What readiness depends on.
    pub health: Health,
}

/// The interfaces.
pub struct Interfaces {
    /// What answers HTTP; where both are on one port, gRPC as well.
    pub http: Router,
    /// What answers gRPC on a port of its own.
    pub grpc: Option<Router>,
}

/// Where a process of these roles speaks gRPC: who answers nobody does not.
pub fn grpc_listen(roles: Roles, settings: &ServerSettings) -> GrpcListen {
    if roles.answers() { settings.grpc.beside(settings.listen) } else { GrpcListen::Off }
}

impl Interfaces {
    /// Puts them together.
    ///
    /// # Errors
    /// Where gRPC cannot tell of itself.
    pub fn new(roles: Roles, settings: &ServerSettings, parts: Parts) -> Result<Self, grpc_api::SetupError> {
        let Parts { gate, commands, queries, event_keys, receipts, uploads, health } = parts;
        let limits = limits(settings);
        let mut protected = Router::new();
        if let Some(commands) = commands {
            protected = protected.merge(command_api::router(commands));
        }
        let mut open = query_api::public_router(event_keys).merge(receipts).merge(home());
        if let Some(queries) = queries {
            open = open.merge(query_api::knowledge::router(queries.store().clone(), limits.shedding().clone()));
            protected = protected.merge(query_api::router(queries));
            protected = protected.merge(outbound::drugs::router(settings.outbound.drug_source_url.clone()));
        }
        let probes = health.clone().router();
        let rest = server::wrap(open.clone(), protected.clone(), uploads, probes, gate.clone(), limits.clone());
        let http = headers::secure(cors::allow(rest, &settings.cors_origins), settings.tls.is_on());
        let grpc = || {
            let rest = server::within(open, protected, health.router(), gate.clone(), limits.clone());
            grpc_api::router(rest, gate, limits)
        };
        Ok(match grpc_listen(roles, settings) {
            GrpcListen::Off => Self { http, grpc: None },
            GrpcListen::Same => Self { http: grpc_api::beside(http, grpc()?), grpc: None },
            GrpcListen::At(_) => Self { http, grpc: Some(grpc()?) },
        })
    }
}

fn limits(settings: &ServerSettings) -> Limits {
    let account = &settings.account;
    let request_time_max = Duration::from_secs(settings.request_seconds_max);
    Limits::new(size(settings.body_bytes_max), request_time_max, size(settings.requests_max))
        .with_body_time_max(Duration::from_secs(settings.body_seconds_max))
        .with_account_requests_max(size(account.account_requests_max))
        .with_account_waiting_max(size(account.account_waiting_max))
        .with_rates(account.rates())
        .with_classes(classes())
}

/// `GET /`: whoever opens the address sees what it is and where to go on.
fn home() -> Router {
    let links = serde_json::json!({
        "name": "Anamnesis",
        "version": BUILD.version,
        "commit": BUILD.commit,
        "links": {
            "interface for people": "/docs",
            "interface (OpenAPI 3.1)": "/openapi.json",
            "alive": "/healthz",
            "ready": "/readyz",
        },
    });
    Router::new().route("/", get(async move || Json(links)))
}
