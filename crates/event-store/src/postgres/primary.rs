//! The server that holds the log: found among the hosts, and looked at before it is believed.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection as _, PgPool};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::address::{Address, AddressError};

/// What every session is set to, as `SHOW` spells it. What the server's role or
/// database says otherwise does not count, and what a pooler drops is noticed.
const PINNED: [(&str, &str); 8] = [
    ("default_transaction_isolation", "read committed"),
    // A page is a stretch of an index that is read in order; gathering all that match and sorting them is
    // sometimes guessed to be cheaper, and is not when the guess is wrong (docs/adr/0026).
    ("enable_bitmapscan", "off"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("jit", "off"),
    ("lock_timeout", LOCK_WAIT_MAX),
    // Names are distinct; what is derived may be on another server.
    ("search_path", "log, derived"),
    ("synchronous_commit", "on"),
    ("TimeZone", "UTC"),
];
/// How long a statement waits for a lock before its transaction is tried again.
const LOCK_WAIT_MAX: &str = "8s";
/// So that the server, too, gives up a client that is gone.
const KEEPALIVE: [(&str, &str); 4] = [
    // Whoever gives a statement up closes its connection: the server looks whether that is so while it works.
    ("client_connection_check_interval", "200ms"),
    ("tcp_keepalives_count", "3"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
];
/// SQLSTATE of a prepared statement whose name is taken.
const DUPLICATE_STATEMENT: &str = "42P05";
/// SQLSTATE of a prepared statement that is not there.
const UNKNOWN_STATEMENT: &str = "26000";
/// How long the other hosts are waited for once one has said that it is the primary.
const OTHERS_MAX: Duration = Duration::from_millis(200);
/// How long a connection may take to close.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Why a server that answers is not used.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the server is a standby: it takes no writes")]
    Standby,
    #[error("the server is on timeline {timeline:08X}, another one has gone on to {newest:08X}: it is an old primary")]
    Stale { timeline: u32, newest: u32 },
    #[error(
        "the session's `{name}` is `{found}` instead of `{wanted}`: something between here and the server drops \
         settings, as pgbouncer does with `options`; set it with ALTER ROLE (docs/guides/highly-available.md)"
    )]
    Setting { name: &'static str, wanted: &'static str, found: String },
    #[error(
        "a pooler hands one session to several connections and mixes their prepared statements up, as pgbouncer \
         before 1.21 does in transaction mode: use its session mode, or a newer one (docs/guides/highly-available.md)"
    )]
    Mixed(#[source] sqlx::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

/// A server that says that it is the primary: its timeline, which host it is, and a connection to it.
type Reached = (u32, usize, PgConnection);

/// The way to the primary.
pub struct Primary {
    address: Address,
    current: AtomicUsize,
    newest_timeline: AtomicU32,
    /// The last event that this process knows to be in the log.
    seen: Mutex<Option<(u64, Uuid)>>,
    incarnation: watch::Sender<u64>,
    pool: OnceLock<PgPool>,
}

impl Primary {
    /// The way to the database at `url`; nothing is connected.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(url: &str) -> Result<Arc<Self>, AddressError> {
        let mut address = Address::parse(url)?;
        address.hosts = address.hosts.into_iter().map(pinned).collect();
        Ok(Arc::new(Self {
            address,
            current: AtomicUsize::new(0),
            newest_timeline: AtomicU32::new(0),
            seen: Mutex::new(None),
            incarnation: watch::Sender::new(0),
            pool: OnceLock::new(),
        }))
    }

    /// The hosts that may be it, for people.
    pub fn servers(&self) -> String {
        let hosts = self.address.hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port()));
        hosts.collect::<Vec<_>>().join(", ")
    }

    /// Connects to the primary. All hosts are asked at once: one that is silent costs nothing. Two may say that they
    /// are it: whoever is on the latest timeline is.
    ///
    /// # Errors
    /// What the last of them said, where none can be used.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut tries: FuturesUnordered<_> =
            (0..self.address.hosts.len()).map(|host| async move { (host, self.reach(host).await) }).collect();
        let (mut found, mut refusal): (Option<Reached>, _) = (None, None);
        loop {
            let next = match &found {
                None => tries.next().await,
                // An old primary that is still alive may have been quicker.
                Some(_) => timeout(OTHERS_MAX, tries.next()).await.unwrap_or_default(),
            };
            match next {
                Some((host, Ok((timeline, connection)))) => {
                    let reached = (timeline, host, connection);
                    let (newest, other) = match found.take() {
                        Some(before) if before.0 >= timeline => (before, Some(reached)),
                        before => (reached, before),
                    };
                    found = Some(newest);
                    if let Some((_, _, connection)) = other {
                        close(connection).await;
                    }
                }
                Some((_, Err(error))) => refusal = Some(error),
                None => break,
            }
        }
        match found {
            Some((_, host, connection)) => {
                self.turn_to(host);
                Ok(connection)
            }
            None => Err(refusal.unwrap_or(sqlx::Error::WorkerCrashed)),
        }
    }

    async fn reach(&self, host: usize) -> Result<(u32, PgConnection), sqlx::Error> {
        let max = self.address.connect_max;
        let reached = async {
            let mut connection = self.address.hosts[host].connect().await?;
            let timeline = self.verify(&mut connection).await?;
            Ok((timeline, connection))
        };
        timeout(max, reached).await.unwrap_or_else(|_| Err(silent(max)))
    }

    /// New connections of the pool go where the primary is.
    fn turn_to(&self, host: usize) {
        if self.current.swap(host, Ordering::Relaxed) != host
            && let Some(pool) = self.pool.get()
        {
            tracing::warn!(host = self.address.hosts[host].get_host(), "another server is the primary now");
            pool.set_connect_options(self.address.hosts[host].clone());
        }
    }

    /// How to reach the host that is the primary as far as is known.
    pub fn options(&self) -> PgConnectOptions {
        self.address.hosts[self.current.load(Ordering::Relaxed)].clone()
    }

    /// The pool that is to follow the primary.
    pub fn lead(&self, pool: &PgPool) {
        // There is one pool for each.
        drop(self.pool.set(pool.clone()));
    }

    /// Whether there is another host to look at.
    pub const fn has_several_hosts(&self) -> bool {
        self.address.hosts.len() > 1
    }

    /// Looks at a new connection's server, its settings and whether the log still holds what it held; gives the
    /// server's timeline.
    ///
    /// # Errors
    /// Where it must not be used, or does not answer.
    pub async fn verify(&self, connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
        let names: Vec<&str> = PINNED.iter().map(|(name, _)| *name).collect();
        // Not kept: the name of a kept statement means nothing behind a pooler that mixes sessions up.
        let row: (bool, Option<String>, Vec<String>) = sqlx::query_as(
            "SELECT pg_is_in_recovery(),
                CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
                (SELECT array_agg(current_setting(name) ORDER BY place)
                 FROM unnest($1::text[]) WITH ORDINALITY AS pinned(name, place))",
        )
        .bind(&names)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
        let (standby, timeline, settings) = row;
        let timeline = timeline.and_then(|timeline| u32::from_str_radix(&timeline, 16).ok());
        let (false, Some(timeline)) = (standby, timeline) else { return Err(unfit(Unfit::Standby)) };
        let newest = self.newest_timeline.fetch_max(timeline, Ordering::Relaxed);
        if timeline < newest {
            return Err(unfit(Unfit::Stale { timeline, newest }));
        }
        let found: HashMap<&str, String> = names.into_iter().zip(settings).collect();
        for (name, wanted) in PINNED {
            let found = found.get(name).cloned().unwrap_or_default();
            if found != wanted {
                let setting = Unfit::Setting { name, wanted, found };
                return Err(sqlx::Error::Configuration(Box::new(setting)));
            }
        }
        self.compare(connection).await?;
        Ok(timeline)
    }

    /// Compares the log with what this process has seen of it.
    async fn compare(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((position, event_id)) = seen else { return Ok(()) };
        let found: Option<Uuid> = sqlx::query_scalar("SELECT event_id FROM events WHERE position = $1")
            .bind(position.cast_signed())
            .persistent(false)
            .fetch_optional(connection)
            .await?;
        if found == Some(event_id) {
            return Ok(());
        }
        let mut kept = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept == seen {
            *kept = None;
            tracing::error!(position, %event_id, "the log went back: an event that was in it is gone");
            metrics::counter!("anamnesis_log_rewinds_total").increment(1);
            self.incarnation.send_modify(|incarnation| *incarnation += 1);
        }
        Ok(())
    }

    /// Remembers an event that was found in the log or put into it, in this incarnation.
    pub fn saw(&self, incarnation: u64, position: u64, event_id: Uuid) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.incarnation.borrow() == incarnation && seen.is_none_or(|(known, _)| known < position) {
            *seen = Some((position, event_id));
        }
    }

    /// Counts how often the log went back under this process.
    pub fn incarnation(&self) -> watch::Receiver<u64> {
        self.incarnation.subscribe()
    }
}

/// Whether two connections that are open at the same time have sessions, and so prepared statements, of their own.
///
/// # Errors
/// Where a pooler mixes them up, or one does not answer.
pub async fn require_own_sessions(one: &mut PgConnection, other: &mut PgConnection) -> Result<(), sqlx::Error> {
    for connection in [one, other] {
        // The first statement that each keeps: both have the same name for it.
        let kept = sqlx::query("SELECT 1").execute(connection).await;
        kept.map_err(|error| match error.as_database_error().and_then(|error| error.code()).as_deref() {
            Some(DUPLICATE_STATEMENT | UNKNOWN_STATEMENT) => sqlx::Error::Configuration(Box::new(Unfit::Mixed(error))),
            _ => error,
        })?;
    }
    Ok(())
}

fn pinned(options: PgConnectOptions) -> PgConnectOptions {
    let named = options.get_application_name().is_some();
    let options = if named { options } else { options.application_name("anamnesis") };
    options.options(PINNED).options(KEEPALIVE)
}

fn unfit(unfit: Unfit) -> sqlx::Error {
    // As an I/O error: it passes, by fail-over.
    sqlx::Error::Io(io::Error::other(unfit))
}

/// No answer came in time.
pub fn silent(max: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, Unfit::Silent(max)))
}

/// Closes a connection that may be broken; the server ends its transaction either way.
pub async fn close(connection: PgConnection) {
    drop(timeout(CLOSE_MAX, connection.close_hard()).await);
}
