//! Serving: every role in one process, or one of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use command_api::CommandApi;
use event_bus::{ConnectionError, FeedSource, JetStreamFeedSource, LogFeedSource, Relay, RelayOptions, WhileAway};
use event_store::execute::{Executor, ExecutorOptions};
use event_store::log::EventLog;
use event_store::views::ViewStore;
use event_store::{OpenError, Store, StoreOptions};
use events::envelope::{Actor, Role};
use query_api::QueryApi;
use service::auth::{self, Authenticator, Key, KeyError};
use service::connections::ConnectionLimits;
use service::health::{Check, Health};
use service::limits::Limits;
use service::settings::{OnLoss, ServerSettings};
use service::supervise::{self, SupervisionError, Supervisor};
use service::telemetry::TelemetryError;
use service::{cors, lifecycle, server, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::ClockWatch;
use crate::output::line;
use crate::{nats, recover};

/// How long the administrator's token of the embedded engine is good for.
const ADMIN_TOKEN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long `at_least` waits where the caller does not say.
const AT_LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may take nothing of an answer that is ready for it.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How long requests may go on after the process was asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Files that a process has open beside its connections: the database's, NATS, logs.
const FILES_OF_ITS_OWN: u64 = 64;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    command_api: bool,
    query_api: bool,
    projector: bool,
    saga: bool,
    relay: bool,
}

impl Roles {
    const NONE: Roles = Roles { command_api: false, query_api: false, projector: false, saga: false, relay: false };
    /// Everything.
    pub const ALL: Roles = Roles { command_api: true, query_api: true, projector: true, saga: true, relay: true };
    /// The write side.
    pub const COMMAND_API: Roles = Roles { command_api: true, ..Self::NONE };
    /// The read side.
    pub const QUERY_API: Roles = Roles { query_api: true, ..Self::NONE };
    /// The views.
    pub const PROJECTOR: Roles = Roles { projector: true, ..Self::NONE };
    /// The process managers.
    pub const SAGA: Roles = Roles { saga: true, ..Self::NONE };
    /// The relay.
    pub const RELAY: Roles = Roles { relay: true, ..Self::NONE };
}

/// Why serving could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Logs or metrics cannot be set up.
    #[error("logs and metrics cannot be set up")]
    Telemetry(#[from] TelemetryError),
    /// The key cannot be used.
    #[error("the key that signs tokens cannot be used")]
    Key(#[from] KeyError),
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}; choose another address with --listen")]
    Listen(std::net::SocketAddr, #[source] io::Error),
    /// The process cannot be told to stop.
    #[error("signals cannot be listened to")]
    Signals(#[source] io::Error),
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
    let metrics = telemetry::init(&settings.log, settings.log_format)?;
    let key = key(settings)?;
    let options = StoreOptions {
        derived_url: settings.storage.derived_url.clone(),
        migrate: settings.migrate,
        connections_max: settings.database_connections,
        ..StoreOptions::default()
    };
    let store = Store::open(&settings.storage.url(), &options).await?;
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|source| ServeError::Listen(settings.listen, source))?;
    let shutdown = lifecycle::shutdown_on_signal().map_err(ServeError::Signals)?;
    let executor = Executor::new(store.log.clone(), ExecutorOptions::default());
    // Commands go on while NATS is away.
    let nats = nats::connect(&settings.nats, WhileAway::Retry).await?;
    let mut checks = vec![log_answers(roles, store.log.clone())];
    let supervisor = start(roles, settings, &store, &executor, nats, &shutdown, &mut checks);
    checks.push(supervisor.check());
    if roles.query_api {
        checks.push(views_are_registered(store.views.clone()));
    }
    let health = Health::new(checks, Some(metrics));
    let router = router(roles, settings, &key, &store, &executor, health, &shutdown);
    if roles == Roles::ALL && settings.storage.database_url.is_none() {
        welcome(settings, &key)?;
    } else {
        line(&format!("anamnesis listens on http://{}", settings.listen));
    }
    server::serve(listener, router, connection_limits(settings), shutdown.clone()).await;
    let ended = supervisor.end(supervise::END_MAX).await;
    store.close().await;
    ended.map_err(ServeError::Supervision)
}

fn key(settings: &ServerSettings) -> Result<Key, KeyError> {
    match &settings.key.jwt_key {
        Some(text) => Key::parse(text),
        None => {
            let file = settings.key.jwt_key_file.clone();
            Key::load_or_create(&file.unwrap_or_else(|| settings.storage.data_dir.join("jwt.key")))
        }
    }
}

fn router(
    roles: Roles,
    settings: &ServerSettings,
    key: &Key,
    store: &Store,
    executor: &Executor,
    health: Health,
    shutdown: &CancellationToken,
) -> Router {
    let mut protected = Router::new();
    if roles.command_api {
        protected = protected.merge(command_api::router(CommandApi { executor: executor.clone() }));
    }
    if roles.query_api {
        let streams_max = usize::try_from(settings.event_streams_max).unwrap_or(usize::MAX);
        let api = QueryApi::new(store.clone(), AT_LEAST_PATIENCE, streams_max, shutdown.clone());
        protected = protected.merge(query_api::router(api));
    }
    let limits = Limits::new(
        usize::try_from(settings.body_bytes_max).unwrap_or(usize::MAX),
        Duration::from_secs(settings.request_seconds_max),
        usize::try_from(settings.requests_max).unwrap_or(usize::MAX),
    );
    let limits = limits.with_account_requests_max(usize::try_from(settings.account_requests_max).unwrap_or(usize::MAX));
    let authenticator = Authenticator::new(key);
    let router = server::wrap(query_api::public_router(), protected, health.router(), authenticator, limits);
    cors::allow(router, &settings.cors_origins)
}

/// As many connections as asked for, and no more than leave files for everything else.
fn connection_limits(settings: &ServerSettings) -> ConnectionLimits {
    let others = FILES_OF_ITS_OWN + u64::from(settings.database_connections);
    let connections = settings.connections_max.min(lifecycle::raise_open_files().saturating_sub(others)).max(1);
    ConnectionLimits {
        connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
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
    executor: &Executor,
    nats: Option<async_nats::Client>,
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
    let feed: Arc<dyn FeedSource> = match &nats {
        // Who appends in the same process hears of it sooner than through JetStream (docs/adr/0011).
        Some(client) if !roles.command_api => Arc::new(JetStreamFeedSource::new(client.clone(), store.log.clone())),
        _ => Arc::new(LogFeedSource::new(store.log.clone())),
    };
    let mut published = None;
    if let Some(client) = nats.filter(|_| roles.relay) {
        let options = RelayOptions { replicas: settings.nats.nats_replicas };
        let relay = Relay::new(store.clone(), client.clone(), options);
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
    if roles.saga {
        let runner = saga::Runner::new(store.clone(), executor.clone(), feed);
        let standing = runner.standing.clone();
        checks.push(works_beside(roles, "process managers", move || standing.now()));
        tasks.spawn("saga", runner.run(shutdown.clone()));
    }
    tasks
}

/// Tells the reader of the embedded engine where it is and what to do next.
fn welcome(settings: &ServerSettings, key: &Key) -> Result<(), ServeError> {
    let file = settings.storage.admin_token_file();
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    if Authenticator::new(key).verify(kept.trim()).is_err() {
        let actor = Actor { id: "administrator".to_owned(), role: Role::Administrator, organisation: None };
        let token = key.issue(&actor, ADMIN_TOKEN_LIFETIME).map_err(io::Error::other).map_err(ServeError::Token)?;
        // The one that is there has run out, or is of another key.
        if file.exists() {
            std::fs::remove_file(&file).map_err(ServeError::Token)?;
        }
        auth::write_private(&file, &token).map_err(ServeError::Token)?;
    }
    let program = std::env::args().next().unwrap_or_else(|| "anamnesis".to_owned());
    let url = format!("http://{}", settings.listen);
    line(&format!(
        "Anamnesis listens on {url}
  interface   {url}/docs  (OpenAPI: {url}/openapi.json)
  data        {data}
  token       {token}  (the administrator's; the commands below find it)

Try next, in another terminal:
  {program} simulate --subjects 200 --sites 5 --seed 1
  curl -H \"Authorization: Bearer $(cat {token})\" {url}/v1/alerts

Ctrl-C stops it; everything is kept.",
        data = settings.storage.data_dir.display(),
        token = file.display(),
    ));
    Ok(())
}

/// Whether the log answers: where commands are taken, on the connection that writes.
fn log_answers(roles: Roles, log: Arc<dyn EventLog>) -> Check {
    Check::new("log", move || {
        let log = log.clone();
        async move {
            let answered = if roles.command_api { log.ready().await } else { log.head().await.map(drop) };
            answered.map_err(|error| with_causes(&error))
        }
    })
}

/// What a role tells of its own work. It decides where the process does nothing else: one that
/// answers requests, too, goes on answering them.
fn works_beside(
    roles: Roles,
    name: &'static str,
    told: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> Check {
    let check = Check::new(name, move || std::future::ready(told()));
    if roles.command_api || roles.query_api { check.shown_only() } else { check }
}

fn view_stands(standing: &projector::Standing, name: &str) -> Result<(), String> {
    let views = standing.views();
    views.into_iter().find(|(view, _)| *view == name).map_or(Ok(()), |(_, stands)| stands)
}

/// Whether every view that is served has been registered: before, queries cannot be answered.
fn views_are_registered(views: Arc<dyn ViewStore>) -> Check {
    Check::new("views", move || {
        let views = views.clone();
        async move {
            let states = views.states().await.map_err(|error| with_causes(&error))?;
            let mut tables = ::views::tables().map(|table| table.schema().name);
            let unregistered = tables.find(|name| states.iter().all(|state| state.name != *name));
            unregistered.map_or(Ok(()), |name| Err(format!("`{name}` is not registered yet")))
        }
    })
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
