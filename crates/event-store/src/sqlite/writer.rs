//! The one connection that writes, and whose turn it is.

use std::io;
use std::ops::{Deref, DerefMut};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// Begins a transaction of views and process managers. What can be made again from the log need
/// not wait for the disk (docs/adr/0010); the next batch of the log takes it along.
const BEGIN_DERIVED: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";
/// What must be left on the disk: a command writes some pages of the log, of its indexes and of what is derived.
const ROOM_MIN_BYTES: u64 = 1024 * 1024;

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

    /// Waits for the turn to write by single statements.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn turn(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let opened = self.open().await?;
        Ok(MutexGuard::map(opened, |opened| &mut opened.as_mut().expect("it was opened above").connection))
    }

    /// Waits for the turn to write by transactions.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub async fn whole_turn(&self) -> Result<Turn<'_>, sqlx::Error> {
        let mut slot = self.open().await?;
        let opened = slot.take().expect("it was opened above");
        Ok(Turn { slot, opened })
    }

    async fn open(&self) -> Result<MutexGuard<'_, Option<Opened>>, sqlx::Error> {
        let mut slot = self.opened.lock().await;
        if slot.is_none() {
            *slot = Some(Opened { connection: self.options.connect().await?, durable: true });
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
        if let Some(opened) = self.opened.lock().await.take() {
            drop(opened.connection.close().await);
        }
    }
}

/// A turn that leaves the connection as it found it, or not at all: unless it is ended, the
/// connection is closed, and a transaction that is open is rolled back. After a failed commit neither
/// SQLite's nor sqlx's account of the transaction is worth anything.
pub struct Turn<'writer> {
    slot: MutexGuard<'writer, Option<Opened>>,
    opened: Opened,
}

impl Turn<'_> {
    /// Sees to it that commits wait for the disk.
    ///
    /// # Errors
    /// Where SQLite refuses.
    pub async fn make_durable(&mut self) -> Result<(), sqlx::Error> {
        if !self.opened.durable {
            // Raw: it takes effect when it is prepared, so a kept statement would do nothing.
            sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut self.opened.connection).await?;
            self.opened.durable = true;
        }
        Ok(())
    }

    /// Begins a transaction of what can be made again from the log.
    ///
    /// # Errors
    /// Where SQLite refuses.
    pub async fn begin_derived(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        self.opened.durable = false;
        self.opened.connection.begin_with(BEGIN_DERIVED).await
    }

    /// Ends the turn. No transaction is open.
    pub fn end(mut self) {
        *self.slot = Some(self.opened);
    }
}

impl Deref for Turn<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.opened.connection
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.opened.connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQLite's number for FULL.
    const FULL: i64 = 2;

    async fn level(connection: &mut SqliteConnection) -> i64 {
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await.expect("the level")
    }

    #[tokio::test]
    async fn commits_of_the_log_wait_for_the_disk_whatever_came_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = Writer::new(crate::sqlite::connect_options(&folder.path().join("log.db")));
        for _ in 0..2 {
            let mut turn = writer.whole_turn().await.expect("a turn");
            turn.make_durable().await.expect("durable");
            assert_eq!(level(&mut turn).await, FULL);
            turn.end();
            let mut turn = writer.whole_turn().await.expect("a turn");
            let mut transaction = turn.begin_derived().await.expect("begun");
            assert_ne!(level(&mut transaction).await, FULL);
            transaction.commit().await.expect("committed");
            turn.end();
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_not_ended_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = Writer::new(crate::sqlite::connect_options(&folder.path().join("log.db")));
        let mut turn = writer.whole_turn().await.expect("a turn");
        sqlx::raw_sql("BEGIN IMMEDIATE; CREATE TABLE halves (half INTEGER)").execute(&mut *turn).await.expect("a half");
        drop(turn);
        let mut turn = writer.whole_turn().await.expect("another turn");
        let begun = turn.begin_derived().await.expect("nothing is open");
        begun.commit().await.expect("committed");
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *turn).await.expect("a count");
        assert_eq!(tables, 0);
        turn.end();
    }
}
