//! Settings: flags, `ANAMNESIS_*` variables, and a TOML file, in this order.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::HeaderValue;
use clap::{Args, ValueEnum};

use crate::{cors, listen};

mod account;
mod command_line;
mod environment;
mod events;
mod file;
mod grpc;
mod identity;
mod nats;
mod outbound;
mod sealing;
mod tls;

pub use account::AccountSettings;
pub use command_line::{SecretOnCommandLine, check_command_line};
pub use environment::{UnknownVariable, check_environment};
pub use events::EventKeySettings;
pub use file::{FileSettings, SettingsError, with_file};
pub use grpc::{GrpcListen, GrpcSettings};
pub use identity::{IdentitySettings, OidcIssuer, SigningKeySettings, oidc_issuer};
pub use nats::NatsSettings;
pub use outbound::OutboundSettings;
pub use sealing::{MasterSource, SealingSettings};
pub use tls::TlsSettings;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where everything is kept.
#[derive(Clone, Debug, Args)]
pub struct StorageSettings {
    /// Folder of the embedded engine's files.
    #[arg(long, env = "ANAMNESIS_DATA_DIR", default_value = "anamnesis-data", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// PostgreSQL database, as `postgres://…`; without it the embedded engine is used.
    #[arg(long, env = "ANAMNESIS_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where views and process managers are kept, if not beside the log: another PostgreSQL database, or
    /// `sqlite:<folder>` for the embedded engine.
    #[arg(long, env = "ANAMNESIS_DERIVED_URL", value_name = "URL", hide_env_values = true)]
    pub derived_url: Option<String>,
    /// Keys.
    #[command(flatten)]
    pub sealing: SealingSettings,
}

/// What becomes of a log that lost events, by a restore or a fail-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnLoss {
    /// Whoever has read what is gone stops and says so, until an operator runs `anamnesis recover`.
    Stop,
    /// A new epoch begins by itself; what is derived is made again.
    Continue,
}

impl StorageSettings {
    /// The address of the storage.
    pub fn url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", self.data_dir.display()))
    }

    /// The file of the master key, where none is named.
    pub fn master_key_file(&self) -> PathBuf {
        self.data_dir.join("master.key")
    }

    /// The file of the administrator's token.
    pub fn admin_token_file(&self) -> PathBuf {
        self.data_dir.join("admin.token")
    }
}

/// What every server process needs.
#[derive(Clone, Debug, Args)]
pub struct ServerSettings {
    /// Storage.
    #[command(flatten)]
    pub storage: StorageSettings,
    /// The keys of this program's own tokens.
    #[command(flatten)]
    pub signing: SigningKeySettings,
    /// Who else vouches for people.
    #[command(flatten)]
    pub identity: IdentitySettings,
    /// Address to listen on, such as `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080` or `8080`; for every
    /// interface `0.0.0.0:8080`.
    #[arg(long, env = "ANAMNESIS_LISTEN", default_value = "127.0.0.1:8080", value_parser = listen::address, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// gRPC.
    #[command(flatten)]
    pub grpc: GrpcSettings,
    /// Address at which Prometheus finds `/metrics`, such as `127.0.0.1:9464`; without it nothing is measured. Not for
    /// the public: it asks for no token.
    #[arg(long, env = "ANAMNESIS_METRICS_LISTEN", value_parser = listen::address, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsSettings,
    /// NATS; without its address events are not published.
    #[command(flatten)]
    pub nats: NatsSettings,
    /// Who takes messages to people.
    #[command(flatten)]
    pub outbound: OutboundSettings,
    /// The keys of what is published.
    #[command(flatten)]
    pub event_keys: EventKeySettings,
    /// File of the public keys of published events (JWKS): what `/v1/event-keys` shows subscribers, and what process managers'
    /// processes know forged messages by. While the relay's key is changed, of the old one and the new one.
    #[arg(long, env = "ANAMNESIS_EVENT_JWKS_FILE", value_name = "FILE")]
    pub event_jwks_file: Option<PathBuf>,
    /// Brings the database's schema up to date at start. With several processes, run `migrate` first instead.
    #[arg(long, env = "ANAMNESIS_MIGRATE", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub migrate: bool,
    /// What is done where the log lost events: `stop` until `anamnesis recover` is run, or `continue` by itself.
    #[arg(long, env = "ANAMNESIS_ON_LOSS", default_value = "stop", value_name = "WHAT")]
    pub on_loss: OnLoss,
    /// Connections to PostgreSQL.
    #[arg(long, env = "ANAMNESIS_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000), value_name = "N")]
    pub database_connections: u32,
    /// Greatest size of a request's body.
    #[arg(long, env = "ANAMNESIS_BODY_BYTES_MAX", default_value_t = 1_048_576, value_parser = clap::value_parser!(u64).range(1024..=104_857_600), value_name = "BYTES")]
    pub body_bytes_max: u64,
    /// Connections that are open at once, as far as the system permits; beyond them idle ones make room for new ones.
    #[arg(long, env = "ANAMNESIS_CONNECTIONS_MAX", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000), value_name = "N")]
    pub connections_max: u64,
    /// Seconds that a request's header may take, and that a connection is kept between requests. Behind a proxy
    /// that reuses connections: more than the proxy keeps them.
    #[arg(long, env = "ANAMNESIS_HEADER_SECONDS_MAX", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub header_seconds_max: u64,
    /// Requests that are worked on at once; more are answered 503.
    #[arg(long, env = "ANAMNESIS_REQUESTS_MAX", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=100_000), value_name = "N")]
    pub requests_max: u64,
    /// Clients that follow the event stream at once; more are answered 503.
    #[arg(long, env = "ANAMNESIS_EVENT_STREAMS_MAX", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=100_000), value_name = "N")]
    pub event_streams_max: u64,
    /// Seconds that a request may take once its body is there.
    #[arg(long, env = "ANAMNESIS_REQUEST_SECONDS_MAX", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub request_seconds_max: u64,
    /// Seconds that a request's body may take to come; where it does not it is answered 408.
    #[arg(long, env = "ANAMNESIS_BODY_SECONDS_MAX", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub body_seconds_max: u64,
    /// Uploads of readings that are taken at once, a quarter of them of one account; more are answered 503, or 429.
    #[arg(long, env = "ANAMNESIS_UPLOADS_MAX", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000), value_name = "N")]
    pub uploads_max: u64,
    /// What one account may have of everything.
    #[command(flatten)]
    pub account: AccountSettings,
    /// Origin whose web pages may use the interface, such as `https://trials.example.org`; several separated by
    /// commas, or the flag several times.
    #[arg(long = "cors-origin", env = "ANAMNESIS_CORS_ORIGIN", value_delimiter = ',', value_parser = cors::origin, value_name = "ORIGIN,…")]
    pub cors_origins: Vec<HeaderValue>,
    /// What is logged, such as `info` or `info,sqlx=debug`; `access=info` is a line for every request, `access=warn` for
    /// every one that was denied.
    #[arg(
        long,
        env = "ANAMNESIS_LOG",
        default_value = "warn,anamnesis=info,event_bus=info,event_store=info,projector=info,saga=info,service=info,access=warn",
        value_name = "FILTER"
    )]
    pub log: String,
    /// How logs are written.
    #[arg(long, env = "ANAMNESIS_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}
