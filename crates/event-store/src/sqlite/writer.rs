//! The one connection that writes, and whose turn it is.

use std::ops::{Deref, DerefMut};

use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// Begins a transaction of views and process managers, in a [`Writer::derived_turn`]. What can be
/// made again from the log need not wait for the disk (docs/adr/0010); the next batch of the log
/// takes it along.
pub const BEGIN_DERIVED: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";

/// The one connection of this process that writes. SQLite has one writer at a
/// time and lets the others sleep; here they queue. And whatever another
/// connection writes empties a connection's page cache: this one's stays.
pub struct Writer {
    options: SqliteConnectOptions,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    connection: SqliteConnection,
    /// Whether a commit waits for the disk.
    durable: bool,
}

impl Writer {
    /// A writer that opens the file when its first turn comes.
    pub const fn new(options: SqliteConnectOptions) -> Self {
        Self { options, opened: Mutex::const_new(None) }
    }

    /// Waits for the turn to write.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn turn(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let opened = self.open().await?;
        Ok(MutexGuard::map(opened, |opened| &mut present(opened).connection))
    }

    /// Waits for the turn to write what can be made again from the log.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn derived_turn(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let mut opened = self.open().await?;
        present(&mut opened).durable = false;
        Ok(MutexGuard::map(opened, |opened| &mut present(opened).connection))
    }

    /// Waits for the turn to write the log; commits wait for the disk.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn log_turn(&self) -> Result<LogTurn<'_>, sqlx::Error> {
        let mut slot = self.open().await?;
        let mut opened = slot.take().expect("it was opened above");
        if !opened.durable {
            sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut opened.connection).await?;
            opened.durable = true;
        }
        Ok(LogTurn { slot, opened })
    }

    async fn open(&self) -> Result<MutexGuard<'_, Option<Opened>>, sqlx::Error> {
        let mut slot = self.opened.lock().await;
        if slot.is_none() {
            *slot = Some(Opened { connection: self.options.connect().await?, durable: true });
        }
        Ok(slot)
    }

    /// Closes the connection; the next turn opens another. An open transaction is rolled back.
    pub async fn close(&self) {
        if let Some(opened) = self.opened.lock().await.take() {
            drop(opened.connection.close().await);
        }
    }
}

fn present(opened: &mut Option<Opened>) -> &mut Opened {
    opened.as_mut().expect("it was opened above")
}

/// The log's turn. Its transactions begin and end in one piece with what they store, which sqlx
/// does not keep account of: unless the turn is ended, the connection is closed, and whatever
/// it left open is rolled back.
pub struct LogTurn<'writer> {
    slot: MutexGuard<'writer, Option<Opened>>,
    opened: Opened,
}

impl LogTurn<'_> {
    /// Ends the turn. No transaction is open.
    pub fn end(mut self) {
        *self.slot = Some(self.opened);
    }
}

impl Deref for LogTurn<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.opened.connection
    }
}

impl DerefMut for LogTurn<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.opened.connection
    }
}
