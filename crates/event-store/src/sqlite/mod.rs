//! The embedded engine: a SQLite file for the log, one for what is derived from it (docs/adr/0018), one for keys
//! (docs/adr/0036), and one for readings of wearables (docs/adr/0047).

mod backup;
mod batch;
mod coordination;
mod declared;
mod folder;
mod keys;
mod log;
mod readings;
mod references;
mod rows;
mod sagas;
mod soundness;
mod views;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use backup::{BackedUp, BackupError, backup, backup_keys, backup_readings};
pub use coordination::{SqliteCheckpoints, SqliteLeases};
pub use declared::forget_derived;
pub use folder::{Folder, Folders, open};
pub use keys::SqliteKeys;
pub use log::SqliteLog;
pub use readings::SqliteReadings;
pub use sagas::SqliteSagas;
pub use views::SqliteViews;
pub use writer::Writer;

/// How long a connection waits for another's write.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(20);
/// Connections that read at the same time.
const READERS_MAX: u32 = 8;

/// The connections to one file: readers never wait for the writer.
#[derive(Clone)]
pub struct SqliteFile {
    /// The one connection that writes.
    pub write: Arc<Writer>,
    /// Connections that read.
    pub read: SqlitePool,
}

/// What a file holds, and so whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The truth: an acknowledged append must survive a power cut.
    Log,
    /// What can be made again from the log. It need not wait for the disk (docs/adr/0010); a power cut takes
    /// the last commits back, never a part of one.
    Derived,
    /// Readings of wearables: the truth beside the log.
    Readings,
    /// Wrapped data keys: what was sealed under one that a power cut takes back is lost.
    Keys,
}

/// How to open a file.
pub fn connect_options(path: &Path, content: Content) -> SqliteConnectOptions {
    let options = match content {
        // Where a destroyed key was there are zeros.
        Content::Keys => SqliteConnectOptions::new().pragma("secure_delete", "on"),
        Content::Log | Content::Derived | Content::Readings => SqliteConnectOptions::new(),
    };
    options
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match content {
            Content::Log | Content::Keys | Content::Readings => SqliteSynchronous::Full,
            Content::Derived => SqliteSynchronous::Normal,
        })
        .busy_timeout(BUSY_WAIT_MAX)
        // The default of 2 MB does not hold the inner pages of the indexes.
        .pragma("cache_size", "-16384")
        // A checkpoint of every 1,000 pages would come several times a second under load.
        .pragma("wal_autocheckpoint", "8000")
        // A reader that stays long lets the write-ahead log grow; afterwards it is cut to 64 MiB again.
        .pragma("journal_size_limit", "67108864")
        // Statements of a few sizes for every view, or for the log.
        .statement_cache_capacity(256)
        .foreign_keys(true)
}

impl SqliteFile {
    /// Opens the file, made where it is missing.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn open(path: &Path, content: Content) -> Result<Self, sqlx::Error> {
        let options = connect_options(path, content);
        let write = Arc::new(Writer::new(options.clone()));
        drop(write.turn().await?);
        // There are many of them, for two files; what they do not keep the operating system does.
        let options = options.pragma("cache_size", "-8192");
        let read = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options).await?;
        Ok(Self { write, read })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
