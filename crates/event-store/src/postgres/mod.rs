//! The PostgreSQL engine (15 or newer).

mod address;
mod advance;
mod batch;
mod coordination;
mod generations;
mod head;
mod keys;
mod log;
mod notices;
mod pool;
mod primary;
mod readings;
mod sagas;
mod views;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgPoolOptions;

pub use address::AddressError;
pub use coordination::{PostgresCheckpoints, PostgresLeases};
pub use keys::PostgresKeys;
pub use log::PostgresLog;
pub use pool::Pool;
pub use primary::Primary;
pub use readings::PostgresReadings;
pub use sagas::PostgresSagas;
pub use views::{PostgresViews, forget_derived};

/// How long a connection is kept that nobody uses.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(60);
/// How long a connection may lie idle before it is tried.
const UNTRIED_MAX: Duration = Duration::from_millis(200);
/// How long the answer to that may take: it is the shortest there is.
const PING_MAX: Duration = Duration::from_secs(2);
/// How long a caller waits for a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// Opens a pool that follows the primary; connections are made as they are needed.
///
/// # Errors
/// Where the primary cannot be reached or used; the server's own words.
pub async fn connect(primary: &Arc<Primary>, connections_max: u32) -> Result<Pool, sqlx::Error> {
    // Not over the pool, which would tell that the time is up, and not why.
    let (mut one, mut other) = (primary.connect().await?, primary.connect().await?);
    let own = primary::require_own_sessions(&mut one, &mut other).await;
    primary::close(one).await;
    primary::close(other).await;
    own?;
    let pool = PgPoolOptions::new().max_connections(connections_max).acquire_timeout(ACQUIRE_MAX);
    // Given back soon: a server's connections are few, and other processes may starve.
    let pool = pool.idle_timeout(IDLE_CONNECTION_MAX);
    let verifying = primary.clone();
    let pool = pool.after_connect(move |connection, _| {
        let primary = verifying.clone();
        Box::pin(async move { primary.verify(connection).await.map(drop) })
    });
    // A connection is tried when it is given back; again only after it has lain idle.
    let pool = pool.test_before_acquire(false).before_acquire(|connection, meta| {
        Box::pin(async move {
            if meta.idle_for > UNTRIED_MAX {
                let answered = tokio::time::timeout(PING_MAX, connection.ping()).await;
                answered.unwrap_or_else(|_| Err(primary::silent(PING_MAX)))?;
            }
            Ok(true)
        })
    });
    let pool = pool.connect_lazy_with(primary.options());
    primary.lead(&pool);
    Ok(Pool::new(pool, primary.clone()))
}
