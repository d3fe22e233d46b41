//! Why the storage could not be opened.

use std::fmt;
use std::path::PathBuf;

use sqlx::migrate::MigrateError;

use crate::postgres::AddressError;

/// Why the storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is neither PostgreSQL's nor a folder's.
    #[error("the database address must begin with `postgres://` or `sqlite:`")]
    Address,
    /// Log and derived data are to be kept by different engines.
    #[error(
        "the derived data must be kept by the same engine as the log: give both addresses as `postgres://…`, or none"
    )]
    Engines,
    /// The keys are to be kept by another engine.
    #[error("the keys must be kept by the same engine as the log: give both addresses as `postgres://…`, or none")]
    KeyEngines,
    /// PostgreSQL's address cannot be read, or asks for what is not supported.
    #[error(transparent)]
    Unreadable(AddressError),
    /// The folder of the embedded engine's files could not be made.
    #[error("the folder {0} cannot be made; the embedded engine's address names a folder, not a file")]
    Folder(PathBuf, #[source] std::io::Error),
    /// A file of the embedded engine cannot be used.
    #[error("the file {0} cannot be used; the file and its folder must exist and be writable for this user")]
    File(PathBuf, #[source] Said),
    /// Another process could not be kept from migrating at the same time.
    #[error("the file {0}, by which one process at a time migrates, cannot be locked")]
    Lock(PathBuf, #[source] std::io::Error),
    /// A copy of the log that was made while it was written.
    #[error(
        "the log in {file} is damaged: {what}. It was copied while it was in use, or its disk fails; nothing was \
         changed. Restore a copy made by `anamnesis backup`"
    )]
    Torn {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Derived data that cannot be read any more.
    #[error("{file} is damaged: {what}. Remove it with its `-wal` and `-shm`: all of it comes back from the log")]
    TornDerived {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Keys that cannot be read any more.
    #[error(
        "the keys in {file} are damaged: {what}. It was copied while it was in use, or its disk fails; nothing was \
         changed. Restore a copy: what was sealed under a key that is in none cannot be read any more"
    )]
    TornKeys {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Readings that cannot be read any more.
    #[error(
        "the readings in {file} are damaged: {what}. It was copied while it was in use, or its disk fails; nothing was \
         changed. Restore a copy; what came since has to be sent again"
    )]
    TornReadings {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The derived data were made from another log.
    #[error(
        "the derived data are of log {found}, the log is {log}: one of the two addresses is wrong, or the log was \
         replaced; where it was meant to be, remove the derived data (they come back from the log)"
    )]
    OtherLog {
        /// The log that is opened.
        log: uuid::Uuid,
        /// The log that the data are of.
        found: uuid::Uuid,
    },
    /// The database could not be connected to.
    #[error("the database at {servers} cannot be used")]
    Connect {
        /// The servers that were asked, as `host:port`.
        servers: String,
        /// What the last of them said.
        #[source]
        source: Said,
    },
    /// The schema could not be brought up to date.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[source] MigrateError),
}

/// What a database or the way to it said, in its own words and once: not what was around it, nor the line of the
/// server's own sources.
#[derive(Debug)]
pub struct Said(pub sqlx::Error);

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(said) => formatter.write_str(said.message()),
            sqlx::Error::Io(error) => error.fmt(formatter),
            sqlx::Error::Tls(error) => write!(formatter, "TLS: {error}"),
            other => other.fmt(formatter),
        }
    }
}

impl std::error::Error for Said {}
