//! How a process comes to NATS: addresses, who it is, and TLS.

mod check;
mod error;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use futures::future::BoxFuture;

pub use error::ConnectionError;

/// How often a quiet connection is asked whether it is alive: after two
/// unanswered questions it is made anew, on another server where there are several.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long the first attempt may take before the connection is left to be made in the background.
const FIRST_ATTEMPT_TIME_MAX: Duration = Duration::from_secs(5);

/// Where NATS is and how to connect to it. At most one way of authentication
/// may be given, in the addresses or beside them.
#[derive(Clone, Default)]
pub struct NatsOptions {
    /// Servers of one NATS, as `nats://host:port` or `tls://host:port`; separated by commas.
    pub url: String,
    /// Name of a user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A token instead of a user.
    pub token: Option<String>,
    /// An nkey's seed.
    pub nkey: Option<String>,
    /// File of an nkey's seed.
    pub nkey_file: Option<PathBuf>,
    /// File of credentials: a user's JWT with its seed.
    pub creds_file: Option<PathBuf>,
    /// PEM file of the authorities that the servers' certificates must come from; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the certificate's key.
    pub key_file: Option<PathBuf>,
    /// Refuses a connection without TLS.
    pub require_tls: bool,
}

/// What happens while no server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileAway {
    /// The client is given all the same and connects by itself: for servers, which go on without NATS.
    Retry,
    /// It is an error: for an operator's command.
    Fail,
}

/// Connects. What was connected once stays so by itself: the client goes to
/// another of the servers where one goes away.
///
/// # Errors
/// [`ConnectionError`], naming the setting where one cannot be used, and saying
/// so where a server refuses who we are or cannot prove who it is. That no
/// server answers is an error only with [`WhileAway::Fail`].
pub fn connect(options: &NatsOptions, away: WhileAway) -> BoxFuture<'_, Result<Client, ConnectionError>> {
    Box::pin(async move {
        let checked = check::check(options).await?;
        let first =
            tokio::time::timeout(FIRST_ATTEMPT_TIME_MAX, checked.options(false)?.connect(checked.servers.clone()))
                .await;
        let error = match first {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => error,
            Err(_) => async_nats::ConnectError::new(ConnectErrorKind::TimedOut),
        };
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Err(ConnectionError::Refused(error))
            }
            _ if is_tls(&error) => Err(ConnectionError::Tls(error)),
            _ if away == WhileAway::Fail => Err(ConnectionError::Away(error)),
            _ => {
                tracing::warn!(error = &error as &dyn std::error::Error, "NATS does not answer; trying on");
                let options = checked.options(true)?.retry_on_initial_connect();
                options.connect(checked.servers).await.map_err(ConnectionError::Away)
            }
        }
    })
}

/// Whether it is TLS that failed: trying again would not help. While certificates are shown the client tells of any
/// failure as of one of the network.
fn is_tls(error: &async_nats::ConnectError) -> bool {
    let is_of_tls = |cause: &(dyn Error + 'static)| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        if is_of_tls(error) {
            return true;
        }
        cause = error.source();
    }
    error.kind() == ConnectErrorKind::Tls
}

/// Who we are to the server.
#[derive(Clone)]
enum Identity {
    Nobody,
    User(String, String),
    Token(String),
    /// The seed.
    Nkey(String),
    /// The file's text.
    Credentials(String),
}

/// Options that were found usable.
struct Checked {
    servers: Vec<ServerAddr>,
    identity: Identity,
    ca_file: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    require_tls: bool,
}

impl Checked {
    /// `first_seen_away`: that it is has been told.
    fn options(&self, first_seen_away: bool) -> Result<ConnectOptions, ConnectionError> {
        let mut options = ConnectOptions::new().name("anamnesis").ping_interval(PING_INTERVAL);
        options =
            match self.identity.clone() {
                Identity::Nobody => options,
                Identity::User(user, password) => options.user_and_password(user, password),
                Identity::Token(token) => options.token(token),
                Identity::Nkey(seed) => options.nkey(seed),
                Identity::Credentials(text) => options.credentials(&text).map_err(|source| {
                    ConnectionError::Content { setting: check::CREDS, what: "credentials", source: source.into() }
                })?,
            };
        if let Some(file) = &self.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let away = Arc::new(AtomicBool::new(first_seen_away));
        let callback = move |event| {
            tell(&event, &away);
            std::future::ready(())
        };
        Ok(options.require_tls(self.require_tls).event_callback(callback))
    }
}

/// Logs what happens to a connection. That NATS is away is told once, not with every attempt to reach it.
fn tell(event: &async_nats::Event, away: &AtomicBool) {
    match event {
        async_nats::Event::Connected => {
            away.store(false, Ordering::Relaxed);
            tracing::info!("connected to NATS");
        }
        async_nats::Event::Disconnected => {
            away.store(true, Ordering::Relaxed);
            tracing::warn!("NATS is away; events wait in the log and are published when it is back");
        }
        async_nats::Event::ClientError(_) if away.load(Ordering::Relaxed) => {
            tracing::debug!(%event, "NATS is still away");
        }
        async_nats::Event::ServerError(_) | async_nats::Event::ClientError(_) => {
            tracing::warn!(%event, "NATS reports an error");
        }
        event => tracing::info!(%event, "NATS reports"),
    }
}
