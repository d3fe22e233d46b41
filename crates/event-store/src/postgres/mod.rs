//! The PostgreSQL engine (15 or newer).

mod advance;
mod batch;
mod coordination;
mod generations;
mod head;
mod log;
mod sagas;
mod views;

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

pub use coordination::PostgresCoordination;
pub use log::PostgresLog;
pub use sagas::PostgresSagas;
pub use views::PostgresViews;

/// The schema, in the order of its history.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long a connection may sit inside a transaction: a process that is
/// stopped there must not hold up the others.
const IDLE_IN_TRANSACTION_MAX: &str = "5s";
/// How long a connection is kept that nobody uses.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(60);
/// How long a connection may lie idle before it is tried.
const UNTRIED_MAX: Duration = Duration::from_millis(200);
/// How long a statement waits for a lock before its batch is tried again.
const LOCK_WAIT_MAX: &str = "20s";

/// How to reach the database at `url`.
///
/// # Errors
/// Where the address is malformed.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?;
    Ok(options.application_name("anamnesis").options([
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MAX),
        ("lock_timeout", LOCK_WAIT_MAX),
        ("synchronous_commit", "on"),
        ("jit", "off"),
    ]))
}

/// Opens a pool; connections are made as they are needed.
///
/// # Errors
/// Where the database cannot be reached.
pub async fn connect(url: &str, connections_max: u32) -> Result<PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(connections_max).acquire_timeout(Duration::from_secs(10));
    // Given back soon: a server's connections are few, and other processes may starve.
    let pool = pool.idle_timeout(IDLE_CONNECTION_MAX);
    // A connection is tried when it is given back; again only after it has lain idle.
    let pool = pool.test_before_acquire(false).before_acquire(|connection, meta| {
        Box::pin(async move {
            if meta.idle_for > UNTRIED_MAX {
                connection.ping().await?;
            }
            Ok(true)
        })
    });
    pool.connect_with(connect_options(url)?).await
}
