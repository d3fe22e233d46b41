//! Serving: every role in one process, or one of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use command_api::CommandApi;
use command_api::inquiries::Inquirer;
use event_bus::{
    ConnectionError, FeedSource, JetStreamFeedSource, LogFeedSource, Placed, Relay, RelayOptions, WhileAway,
};
use event_store::execute::{ExecuteError, Executor, ExecutorOptions};
use event_store::{Installation, OpenError, Store, StoreOptions};
use query_api::{QueryApi, StreamsMax};
use readings::Uploads;
use service::accounts::Accounts;
use service::auth::Gate;
use service::backlog::Backlog;
use service::connections::ConnectionLimits;
use service::event_keys::EventKeyError;
use service::health::{Check, Health};
use service::identity::{SetupError, SigningKeyError, Verifier};
use service::settings::{OnLoss, ServerSettings};
use service::supervise::{self, SupervisionError, Supervisor};
use service::telemetry::TelemetryError;
use service::tls::TlsError;
use service::{lifecycle, metrics, server, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::build::BUILD;
use crate::checks::{log_answers, view_stands, views_are_registered, works_beside};
use crate::clock::ClockWatch;
use crate::disclosures::Disclosures;
use crate::embedded::Beginning;
use crate::gauges::Watched;
use crate::interfaces::{Interfaces, Parts};
use crate::listeners::{Addresses, Listeners};
use crate::master::{self, KeysError};
use crate::messaging::Messaging;
use crate::publishing::Publishing;
pub use crate::roles::Roles;
use crate::{banner, incidents, nats, recover};

/// How long `at_least` waits where the caller does not say.
const AT_LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may take nothing of an answer that is ready for it.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How long requests may go on after the process was asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

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
    /// gRPC cannot be spoken.
    #[error("gRPC cannot be spoken")]
    Grpc(#[from] grpc_api::SetupError),
    /// Messages cannot be sent as the settings say.
    #[error("messages cannot be sent as the settings say")]
    Outbound(#[from] outbound::SetupError),
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
    let measured = settings.metrics_listen.map(|_| metrics::install(BUILD)).transpose()?;
    let tls = settings.tls.load()?;
    // Before anything is made: whoever chose a port that is taken finds no half-made folder.
    let listeners = Listeners::bind(roles, settings).await?;
    let (addresses, limits) = (listeners.addresses(roles, settings), listeners.limits(settings));
    let verifier = verifier(roles, settings)?;
    let publishing = Publishing::of(roles, settings)?;
    let messaging = Messaging::of(roles, settings)?;
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
    if let Some(measured) = measured.zip(listeners.metrics) {
        measure(measured, Watched::new(roles, &store, queries.streams(), nats.clone()), &mut supervisor);
    }
    tls.clone().into_iter().for_each(|tls| supervisor.spawn("certificate", tls.keep_current(shutdown.clone())));
    supervisor.spawn("issuers' keys", verifier.clone().keep_fresh(shutdown.clone()));
    master::attend(installation.as_ref(), &mut checks, &mut supervisor);
    let recorder = incidents::recorder(executor.as_ref(), &mut supervisor, &shutdown);
    publishing.watch(roles, &store, nats, &recorder, &mut supervisor, &mut checks);
    let gate = Gate::new(verifier.clone(), accounts.clone(), recorder);
    let beginning = is_embedded(roles, settings).then(Beginning::default);
    checks.extend(beginning.as_ref().map(Beginning::check));
    let (backlog, receipts) = messaging.start(roles, &store, executor.as_ref(), &mut supervisor);
    let uploads = uploads(roles, settings, &store, executor.as_ref(), &mut supervisor);
    let commands = commands(roles, executor.clone(), accounts, backlog);
    let (event_keys, health) = (publishing.jwks(), Health::new(checks));
    let parts =
        Parts { gate, commands, queries: roles.query_api.then_some(queries), event_keys, receipts, uploads, health };
    let interfaces = Interfaces::new(roles, settings, parts)?;
    tell_started(roles, &addresses);
    let http = server::serve(listeners.http, tls.clone(), interfaces.http, limits, shutdown.clone());
    let grpc = async {
        if let Some((listener, router)) = listeners.grpc.zip(interfaces.grpc) {
            server::serve(listener, tls, router, limits, shutdown.clone()).await;
        }
    };
    let beginning = async {
        let begun = match (beginning, &installation, &executor) {
            (Some(beginning), Some(installation), Some(executor)) => {
                beginning.begin(settings, &addresses, installation, executor, &mut supervisor).await
            }
            _ => {
                banner::apart(settings, &addresses);
                Ok(())
            }
        };
        begun.inspect_err(|_| shutdown.cancel())
    };
    // Beside each other: while it waits for keys it answers that it does.
    let ((), (), begun) = tokio::join!(http, grpc, beginning);
    begun?;
    let ended = supervisor.end(supervise::END_MAX).await;
    store.close().await;
    ended.map_err(ServeError::Supervision)
}

/// Tells what is measured, and looks at what is not measured where it happens.
fn measure(
    (handle, listener): (metrics::PrometheusHandle, TcpListener),
    watched: Watched,
    supervisor: &mut Supervisor,
) {
    let shutdown = supervisor.shutdown();
    supervisor.spawn("gauges", watched.run(shutdown.clone()));
    supervisor.spawn("metrics", metrics::serve(listener, handle, shutdown));
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
    let disclosures = Arc::new(Disclosures::new(executor.clone()));
    let inquiries = Arc::new(Inquirer::new(executor));
    QueryApi::new(
        store.clone(),
        accounts.clone(),
        disclosures,
        inquiries,
        AT_LEAST_PATIENCE,
        streams_max,
        shutdown.clone(),
    )
}

/// What takes readings of wearables, where the process takes commands.
fn uploads(
    roles: Roles,
    settings: &ServerSettings,
    store: &Store,
    executor: Option<&Executor>,
    supervisor: &mut Supervisor,
) -> Router {
    let Some(executor) = executor.filter(|_| roles.command_api) else { return Router::new() };
    let uploads = Uploads::new(executor.clone(), store, size(settings.uploads_max));
    supervisor.spawn("readings", uploads.attend(store, &supervisor.shutdown()));
    readings::router(uploads)
}

/// What carries out what callers want, where the process takes commands.
fn commands(roles: Roles, executor: Option<Executor>, accounts: Accounts, backlog: Backlog) -> Option<CommandApi> {
    executor.filter(|_| roles.command_api).map(|executor| CommandApi { executor, accounts, backlog })
}

fn tell_started(roles: Roles, addresses: &Addresses) {
    let Addresses { http, grpc, metrics } = addresses;
    tracing::info!(
        version = BUILD.version,
        commit = BUILD.commit,
        roles = roles.names(),
        listen = %http,
        grpc_listen = grpc.map(tracing::field::display),
        metrics_listen = metrics.map(tracing::field::display),
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

/// What verifies tokens, and our own keys where the process has those that sign. Keys are made only for a server that is
/// alone, and only where none are named: several that make their own refuse each other's tokens.
fn verifier(roles: Roles, settings: &ServerSettings) -> Result<Verifier, ServeError> {
    // Whoever answers nobody verifies nothing.
    let own = roles.answers().then(|| settings.signing.source(&settings.storage.data_dir, roles == Roles::ALL));
    Ok(Verifier::new(own.transpose()?, &settings.identity)?)
}

/// A setting as a size.
pub(crate) fn size(setting: u64) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}

/// The limits of so many connections.
pub(crate) fn connection_times(settings: &ServerSettings, connections_max: usize) -> ConnectionLimits {
    ConnectionLimits {
        connections_max,
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
