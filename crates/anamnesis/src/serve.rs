//! Serving: every role in one process, or one of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use command_api::CommandApi;
use event_bus::{
    ConnectionError, FeedSource, JetStreamFeedSource, LogFeedSource, Placed, Relay, RelayOptions, WhileAway,
};
use event_store::execute::{ExecuteError, Executor, ExecutorOptions};
use event_store::{Installation, OpenError, Store, StoreOptions};
use query_api::{QueryApi, StreamsMax};
use serde_json::Value;
use service::accounts::Accounts;
use service::auth::Gate;
use service::connections::ConnectionLimits;
use service::event_keys::EventKeyError;
use service::health::{Check, Health};
use service::identity::{SetupError, SigningKeyError, Verifier};
use service::limits::Limits;
use service::settings::{OnLoss, ServerSettings};
use service::supervise::{self, SupervisionError, Supervisor};
use service::telemetry::TelemetryError;
use service::tls::TlsError;
use service::{cors, headers, lifecycle, metrics, server, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::build::BUILD;
use crate::checks::{log_answers, view_stands, views_are_registered, works_beside};
use crate::clock::ClockWatch;
use crate::disclosures::Disclosures;
use crate::embedded::Beginning;
use crate::gauges::Watched;
use crate::master::{self, KeysError};
use crate::publishing::Publishing;
pub use crate::roles::Roles;
use crate::{banner, incidents, nats, recover};

/// How long `at_least` waits where the caller does not say.
const AT_LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may take nothing of an answer that is ready for it.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How long requests may go on after the process was asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Files that a process has open beside its connections: the database's, NATS, logs.
const FILES_OF_ITS_OWN: u64 = 64;

/// Why serving could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Logs cannot be set up.
    #[error("logs cannot be set up")]
    Telemetry(#[from] TelemetryError),
    /// Metrics cannot be set up.
    #[error("metrics cannot be set up")]
    Metrics(#[from] metrics::BuildError),
    /// The keys that sign tokens cannot be used.
    #[error("the keys that sign tokens cannot be used")]
    Key(#[from] SigningKeyError),
    /// The keys of published events cannot be used.
    #[error(transparent)]
    EventKeys(#[from] EventKeyError),
    /// Tokens cannot be verified as the settings say.
    #[error("tokens cannot be verified as the settings say")]
    Identity(#[from] SetupError),
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another address with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be spoken.
    #[error("TLS cannot be spoken with --tls-cert and --tls-key")]
    Tls(#[from] TlsError),
    /// The process cannot be told to stop.
    #[error("signals cannot be listened to")]
    Signals(#[source] io::Error),
    /// The first administrator cannot be made.
    #[error("the first administrator cannot be made")]
    Administrator(#[from] ExecuteError),
    /// The administrator's token cannot be written.
    #[error("the administrator's token cannot be written")]
    Token(#[source] io::Error),
    /// NATS cannot be connected to as the settings say.
    #[error("NATS cannot be used")]
    Nats(#[from] ConnectionError),
    /// A task ended by itself, or did not end.
    #[error(transparent)]
    Supervision(SupervisionError),
    /// A role needs what was not given.
    #[error("the relay needs --nats-url")]
    NatsMissing,
}

/// Serves until the process is asked to stop.
pub async fn run(roles: Roles, settings: &ServerSettings) -> Result<(), ServeError> {
    if roles == Roles::RELAY && settings.nats.nats_url.is_none() {
        return Err(ServeError::NatsMissing);
    }
    telemetry::init(&settings.log, settings.log_format)?;
    let measured = settings.metrics_listen.map(|address| metrics::install(BUILD).map(|handle| (address, handle)));
    let measured = measured.transpose()?;
    let tls = settings.tls.load()?;
    // Before anything is made: whoever chose a port that is taken finds no half-made folder.
    let listener = listen(settings.listen, "--listen").await?;
    let measured = match measured {
        Some((address, handle)) => Some((listen(address, "--metrics-listen").await?, handle)),
        None => None,
    };
    let verifier = verifier(roles, settings)?;
    let publishing = Publishing::of(roles, settings)?;
    let store = open_store(settings).await?;
    let shutdown = lifecycle::shutdown_on_signal().map_err(ServeError::Signals)?;
    let installation = keys(roles, settings, &store).await?;
    let executing = installation.clone().filter(|_| roles.executes());
    let executor = executing.map(|own| Executor::new(store.log.clone(), own, ExecutorOptions::default()));
    // Commands go on while NATS is away.
    let nats = nats::connect(&settings.nats, WhileAway::Retry).await?;
    let accounts = Accounts::new(store.log.clone());
    let queries = queries(settings, &store, &accounts, executor.clone(), &shutdown);
    let mut checks = vec![log_answers(roles, store.log.clone())];
    let bus = nats.clone().map(|client| (client, publishing.publisher(settings.nats.nats_replicas)));
    let mut supervisor = start(roles, settings, &store, executor.as_ref(), bus, &shutdown, &mut checks);
    checks.push(supervisor.check());
    if roles.query_api {
        checks.push(views_are_registered(store.views.clone()));
    }
    let metrics_address = measured.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
    if let Some((listener, handle)) = measured {
        let watched = Watched::new(roles, &store, queries.streams(), nats.clone());
        supervisor.spawn("gauges", watched.run(shutdown.clone()));
        supervisor.spawn("metrics", metrics::serve(listener, handle, shutdown.clone()));
    }
    if let Some(tls) = tls.clone() {
        supervisor.spawn("certificate", tls.keep_current(shutdown.clone()));
    }
    supervisor.spawn("issuers' keys", verifier.clone().keep_fresh(shutdown.clone()));
    master::attend(installation.as_ref(), &mut checks, &mut supervisor);
    let recorder = incidents::recorder(executor.as_ref(), &mut supervisor, &shutdown);
    publishing.watch(roles, &store, nats, &recorder, &mut supervisor, &mut checks);
    let gate = Gate::new(verifier.clone(), accounts.clone(), recorder);
    let beginning = is_embedded(roles, settings).then(Beginning::default);
    checks.extend(beginning.as_ref().map(Beginning::check));
    let commands = executor.clone().filter(|_| roles.command_api).map(|executor| CommandApi { executor, accounts });
    let router = router(roles, settings, gate, commands, queries, publishing.jwks(), Health::new(checks));
    let address = listener.local_addr().unwrap_or(settings.listen);
    tell_started(roles, address, metrics_address);
    let serving = server::serve(listener, tls, router, connection_limits(settings), shutdown.clone());
    let beginning = async {
        let begun = match (beginning, &installation, &executor) {
            (Some(beginning), Some(installation), Some(executor)) => {
                beginning.begin(settings, address, installation, executor, &mut supervisor).await
            }
            _ => {
                banner::apart(settings, address);
                Ok(())
            }
        };
        begun.inspect_err(|_| shutdown.cancel())
    };
    // Beside each other: while it waits for keys it answers that it does.
    let ((), begun) = tokio::join!(serving, beginning);
    begun?;
    let ended = supervisor.end(supervise::END_MAX).await;
    store.close().await;
    ended.map_err(ServeError::Supervision)
}

async fn open_store(settings: &ServerSettings) -> Result<Store, OpenError> {
    let options = StoreOptions {
        derived_url: settings.storage.derived_url.clone(),
        keys_url: settings.storage.sealing.keys_url.clone(),
        migrate: settings.migrate,
        connections_max: settings.database_connections,
        ..StoreOptions::default()
    };
    Store::open(&settings.storage.url(), &options).await
}

fn queries(
    settings: &ServerSettings,
    store: &Store,
    accounts: &Accounts,
    executor: Option<Executor>,
    shutdown: &CancellationToken,
) -> QueryApi {
    let streams_max = StreamsMax {
        in_all: size(settings.event_streams_max),
        of_an_account: size(settings.account.account_event_streams_max),
    };
    let disclosures = Arc::new(Disclosures::new(executor));
    QueryApi::new(store.clone(), accounts.clone(), disclosures, AT_LEAST_PATIENCE, streams_max, shutdown.clone())
}

fn tell_started(roles: Roles, listen: SocketAddr, metrics_listen: Option<SocketAddr>) {
    tracing::info!(
        version = BUILD.version,
        commit = BUILD.commit,
        roles = roles.names(),
        %listen,
        metrics_listen = metrics_listen.map(tracing::field::display),
        "started"
    );
}

/// Whether it is the server that is alone with its files.
fn is_embedded(roles: Roles, settings: &ServerSettings) -> bool {
    roles == Roles::ALL && settings.storage.database_url.is_none()
}

/// The keys, where they are needed; opened where that can be done now.
async fn keys(roles: Roles, settings: &ServerSettings, store: &Store) -> Result<Option<Installation>, KeysError> {
    if !roles.opens() {
        return Ok(None);
    }
    let installation = master::installation(store, &settings.storage, is_embedded(roles, settings)).await?;
    master::open(&installation).await?;
    Ok(Some(installation))
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, flag, source })
}

/// What verifies tokens, and our own keys where the process has those that sign. Keys are made only for a server that is
/// alone, and only where none are named: several that make their own refuse each other's tokens.
fn verifier(roles: Roles, settings: &ServerSettings) -> Result<Verifier, ServeError> {
    // Whoever answers nobody verifies nothing.
    let own = roles.answers().then(|| settings.signing.source(&settings.storage.data_dir, roles == Roles::ALL));
    Ok(Verifier::new(own.transpose()?, &settings.identity)?)
}

fn router(
    roles: Roles,
    settings: &ServerSettings,
    gate: Gate,
    commands: Option<CommandApi>,
    queries: QueryApi,
    event_keys: Option<Value>,
    health: Health,
) -> Router {
    let mut protected = Router::new();
    if let Some(commands) = commands {
        protected = protected.merge(command_api::router(commands));
    }
    if roles.query_api {
        protected = protected.merge(query_api::router(queries));
    }
    let account = &settings.account;
    let request_time_max = Duration::from_secs(settings.request_seconds_max);
    let limits = Limits::new(size(settings.body_bytes_max), request_time_max, size(settings.requests_max))
        .with_body_time_max(Duration::from_secs(settings.body_seconds_max))
        .with_account_requests_max(size(account.account_requests_max))
        .with_account_waiting_max(size(account.account_waiting_max))
        .with_rates(account.rates());
    let router =
        server::wrap(query_api::public_router(event_keys).merge(home()), protected, health.router(), gate, limits);
    headers::secure(cors::allow(router, &settings.cors_origins), settings.tls.is_on())
}

/// A setting as a size.
fn size(setting: u64) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
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

/// As many connections as asked for, and no more than leave files for everything else.
fn connection_limits(settings: &ServerSettings) -> ConnectionLimits {
    let others = FILES_OF_ITS_OWN + u64::from(settings.database_connections);
    let connections = settings.connections_max.min(lifecycle::raise_open_files().saturating_sub(others)).max(1);
    ConnectionLimits {
        connections_max: size(connections),
        header_time_max: Duration::from_secs(settings.header_seconds_max),
        stalled_time_max: STALLED_MAX,
        drain_time_max: DRAIN_MAX,
    }
}

/// Starts what works beside the requests.
fn start(
    roles: Roles,
    settings: &ServerSettings,
    store: &Store,
    executor: Option<&Executor>,
    bus: Option<(async_nats::Client, Option<(RelayOptions, Placed)>)>,
    shutdown: &CancellationToken,
    checks: &mut Vec<Check>,
) -> Supervisor {
    let mut tasks = Supervisor::new(shutdown.clone());
    let (log, asked) = (store.log.clone(), shutdown.clone());
    tasks.spawn("log writer", async move {
        tokio::select! {
            () = log.stopped() => {}
            () = asked.cancelled() => {}
        }
    });
    let clock = ClockWatch::new(store.log.clone());
    checks.push(clock.check());
    tasks.spawn("clock", clock.run(shutdown.clone()));
    let feed: Arc<dyn FeedSource> = match &bus {
        // Who appends in the same process hears of it sooner than through JetStream (docs/adr/0011).
        Some((client, _)) if !roles.command_api => {
            Arc::new(JetStreamFeedSource::new(client.clone(), store.log.clone()))
        }
        _ => Arc::new(LogFeedSource::new(store.log.clone())),
    };
    let mut published = None;
    if let Some((client, Some((options, placed)))) = bus {
        let relay = Relay::new(store.clone(), client.clone(), options).keeping(placed);
        let relayed = relay.health();
        published = Some((client, relayed.clone()));
        checks.push(works_beside(roles, "relay", move || relayed.check()));
        tasks.spawn("relay", relay.run(shutdown.clone()));
    }
    if settings.on_loss == OnLoss::Continue {
        tasks.spawn("loss", recover::continue_on_loss(store.clone(), published, shutdown.clone()));
    }
    if roles.projector {
        let standing = projector::Standing::default();
        let projected = standing.clone();
        checks.push(works_beside(roles, "projector", move || projected.projector()));
        for view in views::ALL {
            let (name, standing) = (view.schema().name, standing.clone());
            checks.push(works_beside(roles, name, move || view_stands(&standing, name)));
        }
        tasks.spawn("projector", projector::run(store.clone(), feed.clone(), views::ALL, standing, shutdown.clone()));
    }
    if let Some(executor) = executor.filter(|_| roles.saga) {
        let runner = saga::Runner::new(store.clone(), executor.clone(), feed);
        let standing = runner.standing.clone();
        checks.push(works_beside(roles, "process managers", move || standing.now()));
        tasks.spawn("saga", runner.run(shutdown.clone()));
    }
    tasks
}
