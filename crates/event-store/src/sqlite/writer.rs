//! The one connection that writes, and whose turn it is.

use std::io;
use std::ops::{Deref, DerefMut};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// What must be left on the disk: a command writes some pages of the log and of its indexes.
const ROOM_MIN_BYTES: u64 = 1024 * 1024;

/// The one connection of this process that writes to a file. SQLite has one writer at
/// a time and lets the others sleep; here they queue. And whatever another
/// connection writes empties a connection's page cache: this one's stays.
pub struct Writer {
    options: SqliteConnectOptions,
    opened: Mutex<Option<SqliteConnection>>,
}

impl Writer {
    /// A writer that opens the file when its first turn comes.
    pub const fn new(options: SqliteConnectOptions) -> Self {
        Self { options, opened: Mutex::const_new(None) }
    }

    /// Waits for the turn to write by single statements.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn turn(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let opened = self.open().await?;
        Ok(MutexGuard::map(opened, |opened| opened.as_mut().expect("it was opened above")))
    }

    /// Waits for the turn to write by transactions.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn whole_turn(&self) -> Result<Turn<'_>, sqlx::Error> {
        let mut slot = self.open().await?;
        let connection = slot.take().expect("it was opened above");
        Ok(Turn { slot, connection })
    }

    async fn open(&self) -> Result<MutexGuard<'_, Option<SqliteConnection>>, sqlx::Error> {
        let mut slot = self.opened.lock().await;
        if slot.is_none() {
            *slot = Some(self.options.connect().await?);
        }
        Ok(slot)
    }

    /// Whether the file's disk has room for a command or two. To write one page, which is all that
    /// a probe does, there may be room where a command has none.
    ///
    /// # Errors
    /// That there is none.
    pub fn room(&self) -> Result<(), io::Error> {
        // What cannot be measured, such as a file system without sizes, is not full.
        let Ok(disk) = rustix::fs::statvfs(self.options.get_filename()) else { return Ok(()) };
        let (room, sized) = (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks > 0);
        if sized && room < ROOM_MIN_BYTES {
            let told = format!("the disk has {room} bytes left, less than {ROOM_MIN_BYTES}");
            return Err(io::Error::new(io::ErrorKind::StorageFull, told));
        }
        Ok(())
    }

    /// Closes the connection; the next turn opens another. An open transaction is rolled back.
    pub async fn close(&self) {
        if let Some(connection) = self.opened.lock().await.take() {
            drop(connection.close().await);
        }
    }
}

/// A turn that leaves the connection as it found it, or not at all: unless it is ended, the
/// connection is closed, and a transaction that is open is rolled back. After a failed commit neither
/// SQLite's nor sqlx's account of the transaction is worth anything.
pub struct Turn<'writer> {
    slot: MutexGuard<'writer, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl Turn<'_> {
    /// Begins a transaction; nobody else writes until it ends.
    ///
    /// # Errors
    /// Where SQLite refuses.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        self.connection.begin_with("BEGIN IMMEDIATE").await
    }

    /// Ends the turn. No transaction is open.
    pub fn end(mut self) {
        *self.slot = Some(self.connection);
    }
}

impl Deref for Turn<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Content, connect_options};

    #[tokio::test]
    async fn commits_of_the_log_wait_for_the_disk_those_of_derived_data_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        // SQLite's numbers for FULL and NORMAL.
        for (content, wanted) in [(Content::Log, 2), (Content::Derived, 1)] {
            let writer = Writer::new(connect_options(&folder.path().join(format!("{content:?}.db")), content));
            let mut turn = writer.turn().await.expect("a turn");
            let level: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *turn).await.expect("the level");
            assert_eq!(level, wanted, "{content:?}");
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_not_ended_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = Writer::new(connect_options(&folder.path().join("log.db"), Content::Log));
        let mut turn = writer.whole_turn().await.expect("a turn");
        sqlx::raw_sql("BEGIN IMMEDIATE; CREATE TABLE halves (half INTEGER)").execute(&mut *turn).await.expect("a half");
        drop(turn);
        let mut turn = writer.whole_turn().await.expect("another turn");
        let begun = turn.begin().await.expect("nothing is open");
        begun.commit().await.expect("committed");
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *turn).await.expect("a count");
        assert_eq!(tables, 0);
        turn.end();
    }
}
