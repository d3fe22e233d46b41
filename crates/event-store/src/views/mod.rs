//! Where views are kept: documents beside typed columns, one table per view.
//!
//! A row belongs to a *generation*; the catalogue says which generation is
//! read. A rebuild fills the next one beside it (docs/adr/0005-view-generations.md).

pub(crate) mod catalogue;
mod cursor;
pub(crate) mod ddl;
mod fit;
mod query;
mod wait;
mod words;

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;
use sqlx::error::DatabaseError;
use tokio::sync::watch;
use uuid::Uuid;

use crate::checkpoints::Checkpoint;

pub use cursor::Cursor;
pub(crate) use cursor::cursor_behind;
pub(crate) use query::DOCUMENT_COLUMN;
pub(crate) use query::{CountSql, SortKey};
pub use query::{Dialect, ListSql, STRETCHES_MAX};
pub use query::{Direction, Filter, FilterOp, ListQuery, QueryError, Within};
pub use view_schema::{Column, ColumnKind, ColumnValue, ViewRow, ViewSchema};
pub use wait::ViewWaits;

/// Rows that one list answers at most.
pub const LIST_LIMIT_MAX: u32 = 1_000;

/// A time as text that sorts like the time itself.
pub(crate) fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A rebuild on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// The generation that is being filled.
    pub generation: i64,
    /// How far it stands.
    pub checkpoint: Checkpoint,
    /// The schema's version that it is made for.
    pub version: u32,
}

/// Where a view stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewState {
    /// The view's name.
    pub name: String,
    /// The schema's version of the generation that is read.
    pub version: u32,
    /// The generation that is read.
    pub generation: i64,
    /// How far it stands.
    pub checkpoint: Checkpoint,
    /// Its columns.
    pub columns: Vec<(String, ColumnKind)>,
    /// A rebuild on its way.
    pub rebuild: Option<Rebuild>,
    /// Why the view stands still, where it does.
    pub failure: Option<String>,
}

/// What a stretch of the log did to one generation of a view.
#[derive(Clone, Debug)]
pub struct ViewBatch {
    /// The view's name.
    pub view: String,
    /// The generation.
    pub generation: i64,
    /// Where the generation must stand.
    pub from: Checkpoint,
    /// Where it stands afterwards.
    pub to: Checkpoint,
    /// Rows that are new or changed.
    pub upserts: Vec<ViewRow>,
    /// Keys whose rows go.
    pub deletes: Vec<String>,
}

/// A document with the position at which it was read.
#[derive(Debug)]
pub struct Found {
    /// Where the view stood.
    pub checkpoint: Checkpoint,
    /// The document, where there is one.
    pub document: Option<Box<RawValue>>,
}

/// A page of a list, all from one moment.
#[derive(Debug)]
pub struct Page {
    /// Where the view stood.
    pub checkpoint: Checkpoint,
    /// Keys and documents, in order.
    pub rows: Vec<(String, Box<RawValue>)>,
    /// Where the next page starts; absent on the last.
    pub next: Option<Cursor>,
}

/// The views' storage could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The database refused or could not be reached.
    #[error("the views' database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// No projector has registered the view yet.
    #[error("the view `{0}` has not been built yet")]
    Unknown(String),
    /// A stored value is not what this program writes.
    #[error("the views' storage holds what cannot be read: {0}")]
    Corrupt(String),
    /// What is sealed in it cannot be opened or sealed now.
    #[error("the keys of what is sealed in the view cannot be had now: {0}")]
    Closed(String),
    /// The query names what the view does not have.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl ViewError {
    /// Whether what was asked for cannot succeed, however often it is tried: the statement or what is stored does not
    /// fit. Everything else (a connection, a deadlock, a full disk) is the database's own and passes.
    pub fn is_lasting(&self) -> bool {
        match self {
            ViewError::Database { source, .. } => source.as_database_error().is_some_and(is_refusal),
            ViewError::Corrupt(_) | ViewError::Query(_) => true,
            ViewError::Unknown(_) | ViewError::Closed(_) => false,
        }
    }

    /// Wraps a database error with what was being done.
    pub fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> ViewError {
        move |source| ViewError::Database { doing, source }
    }
}

/// Whether a database refused for what it was given: SQLSTATE 22 (data), 23 (constraints), 42 (names and syntax), and
/// what SQLite says in their place.
fn is_refusal(error: &(dyn DatabaseError + 'static)) -> bool {
    /// SQLite's error, too big, constraint, mismatch, range.
    const SQLITE_REFUSALS: [u32; 5] = [1, 18, 19, 20, 25];
    let Some(code) = error.code() else { return false };
    if code.len() == SQLSTATE_LENGTH {
        return ["22", "23", "42"].iter().any(|class| code.starts_with(class));
    }
    // The lowest byte of an extended code is the primary one.
    code.parse::<u32>().is_ok_and(|code| SQLITE_REFUSALS.contains(&(code & 0xff)))
}

/// SQLite's codes are never as long.
const SQLSTATE_LENGTH: usize = 5;

/// Why a batch was not stored.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another projector moved the view, or a rebuild was swapped in.
    #[error("the view `{view}` no longer stands where the batch begins")]
    Moved {
        /// The view.
        view: String,
    },
    /// The storage could not answer.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// The storage of views.
#[async_trait]
pub trait ViewStore: Send + Sync + 'static {
    /// Puts the view into the catalogue if it is not there, and tells where it stands.
    async fn register(&self, schema: &ViewSchema) -> Result<ViewState, ViewError>;

    /// Where every view stands, by name.
    async fn states(&self) -> Result<Vec<ViewState>, ViewError>;

    /// Documents of one generation by key; keys without a document are absent.
    async fn load(
        &self,
        view: &str,
        generation: i64,
        keys: &[String],
    ) -> Result<HashMap<String, Box<RawValue>>, ViewError>;

    /// Stores all batches and their positions in one transaction.
    ///
    /// # Errors
    /// [`CommitError::Moved`] where a generation does not stand at its batch's beginning; nothing is stored then.
    async fn commit(&self, batches: &[ViewBatch]) -> Result<(), CommitError>;

    /// Begins a rebuild from position 0, in place of one that is on its way; gives its generation.
    async fn start_rebuild(&self, schema: &ViewSchema) -> Result<i64, ViewError>;

    /// Puts the rebuilt generation in place if it has caught up with the one that is read; tells whether it did.
    /// May take long the first time, where the engine makes its indexes then: what comes meanwhile is caught up with,
    /// and it is called again.
    async fn swap(&self, view: &str, generation: i64) -> Result<bool, ViewError>;

    /// Removes generations that nobody reads or fills, without keeping others from reading or writing for long.
    async fn sweep(&self, view: &str) -> Result<(), ViewError>;

    /// Notes why a view stands still, or that it no longer does.
    async fn set_failure(&self, view: &str, failure: Option<&str>) -> Result<(), ViewError>;

    /// One document, with the position at which it was read.
    async fn get(&self, view: &str, key: &str) -> Result<Found, ViewError>;

    /// A page of documents, with the position at which it was read.
    async fn list(&self, view: &str, query: &ListQuery) -> Result<Page, ViewError>;

    /// How many documents fit the filters, counted no further than `max`.
    async fn count(&self, view: &str, filters: &[Filter], max: u32) -> Result<u64, ViewError>;

    /// Where one view stands.
    async fn position(&self, view: &str) -> Result<u64, ViewError>;

    /// The log that everything here is derived from: `log_id` where nothing was derived yet, and from then on.
    async fn origin(&self, log_id: Uuid) -> Result<Uuid, ViewError>;

    /// Wakes after commits of this process. A hint: other processes commit, too.
    fn watch(&self) -> watch::Receiver<()>;
}
