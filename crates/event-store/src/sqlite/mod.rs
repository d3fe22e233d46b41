//! The embedded engine: one SQLite file.

mod batch;
mod coordination;
mod declared;
mod log;
mod references;
mod rows;
mod sagas;
mod views;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use coordination::SqliteCoordination;
pub use declared::forget_derived;
pub use log::SqliteLog;
pub use sagas::SqliteSagas;
pub use views::SqliteViews;
pub use writer::Writer;

/// How long a connection waits for another's write.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(20);
/// Connections that read at the same time.
const READERS_MAX: u32 = 8;

/// The connections to one file: readers never wait for the writer.
#[derive(Clone)]
pub struct SqlitePools {
    /// The one connection that writes.
    pub write: Arc<Writer>,
    /// Connections that read.
    pub read: SqlitePool,
}

/// How to open the file.
pub fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged append must survive a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_WAIT_MAX)
        // The default of 2 MB does not hold the inner pages of the indexes.
        .pragma("cache_size", "-16384")
        // A checkpoint of every 1,000 pages would come several times a second under load.
        .pragma("wal_autocheckpoint", "8000")
        // A reader that stays long lets the write-ahead log grow; afterwards it is cut to 64 MiB again.
        .pragma("journal_size_limit", "67108864")
        // Statements of a few sizes for every view, next to those of the log.
        .statement_cache_capacity(256)
        .foreign_keys(true)
}

/// Opens the file, made where it is missing.
///
/// # Errors
/// Where it cannot be opened.
pub async fn connect(path: &Path) -> Result<SqlitePools, sqlx::Error> {
    let options = connect_options(path);
    let write = Arc::new(Writer::new(options.clone()));
    drop(write.turn().await?);
    let read = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options).await?;
    Ok(SqlitePools { write, read })
}
