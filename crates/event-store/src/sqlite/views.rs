//! Views on SQLite. Ids and times in the columns are text that sorts like the value.

use std::collections::HashMap;
use std::ops::DerefMut;
use std::sync::RwLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite};
use tokio::sync::watch;
use uuid::Uuid;

use super::SqliteFile;
use super::declared::{declare, forget_indexes};
use super::log::length;
use super::rows::{chunks, values};
use crate::checkpoints::Checkpoint;
use crate::log::row::{natural, signed};
use crate::portion::Portion;
use crate::views::catalogue::{self, CatalogueRow, columns_text, state, table};
use crate::views::{
    Column, ColumnKind, ColumnValue, CommitError, CountSql, Cursor, DOCUMENT_COLUMN, Dialect, Filter, Found, ListQuery,
    ListSql, Page, SortKey, ViewBatch, ViewError, ViewRow, ViewSchema, ViewState, ViewStore, cursor_behind, time_text,
};

/// Old rows that are removed at a time.
const SWEEP_ROWS: u32 = 5_000;

/// Views in a SQLite file.
pub struct SqliteViews {
    file: SqliteFile,
    // What this process writes; what it reads is in the catalogue.
    schemas: RwLock<HashMap<String, ViewSchema>>,
    commits: watch::Sender<()>,
}

impl SqliteViews {
    /// Opens the views of a migrated file.
    pub fn open(file: SqliteFile) -> Self {
        Self { file, schemas: RwLock::default(), commits: watch::Sender::new(()) }
    }

    /// Does within a transaction what [`ViewStore::commit`] does in one of its own.
    pub(super) async fn apply(
        &self,
        connection: &mut SqliteConnection,
        batches: &[ViewBatch],
    ) -> Result<(), CommitError> {
        let moves = batches.iter().map(|batch| (&batch.view, batch.generation, place(batch.from), place(batch.to)));
        let moves = serde_json::to_string(&moves.collect::<Vec<_>>()).expect("moves serialise by construction");
        let sql = catalogue::advance(
            "(SELECT value ->> 0 AS name, value ->> 1 AS generation,
                 value ->> '$[2][0]' AS from_position, unhex(value ->> '$[2][1]') AS from_event_id,
                 value ->> '$[3][0]' AS to_position, unhex(value ->> '$[3][1]') AS to_event_id
             FROM json_each($1)) AS moved",
        );
        let moved = sqlx::query_scalar(AssertSqlSafe(sql)).bind(moves).fetch_all(&mut *connection).await;
        catalogue::all_moved(batches, &moved.map_err(ViewError::database("moving views"))?)?;
        for batch in batches {
            if !batch.upserts.is_empty() {
                let columns = self.columns(&batch.view)?;
                upsert(connection, &batch.view, batch.generation, &batch.upserts, columns).await?;
            }
            if !batch.deletes.is_empty() {
                let sql = format!(
                    "DELETE FROM {} WHERE generation = $1 AND key IN (SELECT value FROM json_each($2))",
                    table(&batch.view)?
                );
                let deletion = sqlx::query(AssertSqlSafe(sql)).bind(batch.generation).bind(keys_text(&batch.deletes));
                deletion.execute(&mut *connection).await.map_err(ViewError::database("deleting documents"))?;
            }
        }
        Ok(())
    }

    /// Wakes whoever waits for a commit.
    pub(super) fn announce(&self) {
        self.commits.send_replace(());
    }

    fn remember(&self, schema: &ViewSchema) {
        let mut schemas = self.schemas.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        schemas.insert(schema.name.to_owned(), *schema);
    }

    /// The columns of a view that this process writes.
    pub(super) fn columns(&self, view: &str) -> Result<&'static [Column], ViewError> {
        let schemas = self.schemas.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        schemas.get(view).map(|schema| schema.columns).ok_or_else(|| ViewError::Unknown(view.to_owned()))
    }

    async fn turn(&self) -> Result<impl DerefMut<Target = SqliteConnection> + '_, ViewError> {
        self.file.write.turn().await.map_err(ViewError::database("opening the file"))
    }

    async fn state(&self, view: &str) -> Result<ViewState, ViewError> {
        let sql = format!("SELECT {} FROM views WHERE name = $1", catalogue::COLUMNS);
        let row: Option<CatalogueRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(view)
            .fetch_optional(&self.file.read)
            .await
            .map_err(ViewError::database("reading the catalogue"))?;
        state(row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?)
    }
}

#[async_trait]
impl ViewStore for SqliteViews {
    async fn register(&self, schema: &ViewSchema) -> Result<ViewState, ViewError> {
        self.remember(schema);
        let registering = ViewError::database("registering a view");
        let mut turn = self.file.write.whole_turn().await.map_err(&registering)?;
        let mut transaction = turn.begin().await.map_err(&registering)?;
        let entered = sqlx::query(catalogue::REGISTER)
            .bind(schema.name)
            .bind(i64::from(schema.version))
            .bind(columns_text(schema))
            .bind(Uuid::nil())
            .execute(&mut *transaction)
            .await
            .map_err(&registering)?;
        if entered.rows_affected() == 1 {
            declare(&mut transaction, schema).await?;
        }
        transaction.commit().await.map_err(&registering)?;
        turn.end();
        self.state(schema.name).await
    }

    async fn states(&self) -> Result<Vec<ViewState>, ViewError> {
        let sql = format!("SELECT {} FROM views ORDER BY name", catalogue::COLUMNS);
        let rows: Vec<CatalogueRow> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&self.file.read)
            .await
            .map_err(ViewError::database("reading the catalogue"))?;
        rows.into_iter().map(state).collect()
    }

    async fn load(
        &self,
        view: &str,
        generation: i64,
        keys: &[String],
    ) -> Result<HashMap<String, Box<RawValue>>, ViewError> {
        let sql = format!(
            "SELECT key, document FROM {} WHERE generation = $1 AND key IN (SELECT value FROM json_each($2))",
            table(view)?
        );
        let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(generation)
            .bind(keys_text(keys))
            .fetch_all(&self.file.read)
            .await
            .map_err(ViewError::database("loading documents"))?;
        rows.into_iter().map(|(key, document)| Ok((key, raw(document)?))).collect()
    }

    async fn commit(&self, batches: &[ViewBatch]) -> Result<(), CommitError> {
        let turn = self.file.write.whole_turn().await;
        let mut turn = turn.map_err(ViewError::database("opening the file"))?;
        let mut transaction = turn.begin().await.map_err(ViewError::database("beginning a batch of views"))?;
        self.apply(&mut transaction, batches).await?;
        transaction.commit().await.map_err(ViewError::database("committing a batch of views"))?;
        turn.end();
        self.announce();
        Ok(())
    }

    async fn start_rebuild(&self, schema: &ViewSchema) -> Result<i64, ViewError> {
        self.remember(schema);
        let starting = ViewError::database("starting a rebuild");
        let mut turn = self.file.write.whole_turn().await.map_err(&starting)?;
        let mut transaction = turn.begin().await.map_err(&starting)?;
        let generation: Option<i64> = sqlx::query_scalar(catalogue::START_REBUILD)
            .bind(schema.name)
            .bind(i64::from(schema.version))
            .bind(columns_text(schema))
            .bind(Uuid::nil())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&starting)?;
        let generation = generation.ok_or_else(|| ViewError::Unknown(schema.name.to_owned()))?;
        declare(&mut transaction, schema).await?;
        transaction.commit().await.map_err(&starting)?;
        turn.end();
        Ok(generation)
    }

    async fn swap(&self, view: &str, generation: i64) -> Result<bool, ViewError> {
        let swapped = sqlx::query(catalogue::SWAP).bind(view).bind(generation).execute(&mut *self.turn().await?).await;
        let swapped = swapped.map_err(ViewError::database("putting a rebuilt view in place"))?;
        self.commits.send_replace(());
        Ok(swapped.rows_affected() == 1)
    }

    async fn sweep(&self, view: &str) -> Result<(), ViewError> {
        let table = table(view)?;
        let sql = format!(
            "DELETE FROM {table} WHERE (generation, key) IN (
                 SELECT generation, key FROM {table} WHERE generation NOT IN (
                     SELECT generation FROM views WHERE name = $1
                     UNION SELECT rebuild_generation FROM views WHERE name = $1 AND rebuild_generation IS NOT NULL)
                 LIMIT {SWEEP_ROWS})"
        );
        loop {
            // Piece by piece: others write in between.
            let deletion = sqlx::query(AssertSqlSafe(sql.clone())).bind(view).execute(&mut *self.turn().await?).await;
            if deletion.map_err(ViewError::database("sweeping old rows"))?.rows_affected() == 0 {
                break;
            }
        }
        // Where an older program sweeps, what a newer one has declared stays.
        let state = self.state(view).await?;
        let declared = self.schemas.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(view).copied();
        match declared.filter(|schema| schema.version == state.version && state.rebuild.is_none()) {
            Some(schema) => forget_indexes(&mut *self.turn().await?, &schema).await,
            None => Ok(()),
        }
    }

    async fn set_failure(&self, view: &str, failure: Option<&str>) -> Result<(), ViewError> {
        let update = sqlx::query("UPDATE views SET failure = $2 WHERE name = $1").bind(view).bind(failure);
        update.execute(&mut *self.turn().await?).await.map_err(ViewError::database("noting a view's failure")).map(drop)
    }

    async fn get(&self, view: &str, key: &str) -> Result<Found, ViewError> {
        let sql = format!(
            "SELECT views.position, views.event_id, page.document FROM views
             LEFT JOIN {} AS page ON page.generation = views.generation AND page.key = $2
             WHERE views.name = $1",
            table(view)?
        );
        let row: Option<(i64, Uuid, Option<String>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(view)
            .bind(key)
            .fetch_optional(&self.file.read)
            .await
            .map_err(ViewError::database("reading a document"))?;
        let (position, event_id, document) = row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?;
        let checkpoint = catalogue::checkpoint(position, event_id)?;
        Ok(Found { checkpoint, document: document.map(raw).transpose()? })
    }

    async fn list(&self, view: &str, query: &ListQuery) -> Result<Page, ViewError> {
        table(view)?;
        let columns = self.state(view).await?.columns;
        let ListSql { sql, values, sort } = ListSql::build(view, &columns, query, Dialect::Sqlite)?;
        let statement = values.iter().fold(sqlx::query(AssertSqlSafe(sql)).bind(view.to_owned()), bind);
        let portion = Portion::read(statement.fetch(&self.file.read), |row| length(row, DOCUMENT_COLUMN)).await;
        page(view, query, &sort, portion.map_err(ViewError::database("reading a list"))?)
    }

    async fn count(&self, view: &str, filters: &[Filter], max: u32) -> Result<u64, ViewError> {
        table(view)?;
        let columns = self.state(view).await?.columns;
        let CountSql { sql, values } = CountSql::build(view, &columns, filters, max, Dialect::Sqlite)?;
        let statement = values.iter().fold(sqlx::query(AssertSqlSafe(sql)).bind(view.to_owned()), bind);
        let counting = ViewError::database("counting documents");
        let row = statement.fetch_one(&self.file.read).await.map_err(&counting)?;
        position_of(row.try_get(0).map_err(counting)?)
    }

    async fn position(&self, view: &str) -> Result<u64, ViewError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT position FROM views WHERE name = $1")
            .bind(view)
            .fetch_optional(&self.file.read)
            .await
            .map_err(ViewError::database("reading a view's position"))?;
        position_of(row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?.0)
    }

    async fn origin(&self, log_id: Uuid) -> Result<Uuid, ViewError> {
        let reading = ViewError::database("reading which log the data are of");
        let found: Option<Uuid> =
            sqlx::query_scalar(catalogue::ORIGIN).fetch_optional(&self.file.read).await.map_err(&reading)?;
        if let Some(found) = found {
            return Ok(found);
        }
        let entered = sqlx::query(catalogue::ENTER_ORIGIN).bind(log_id).execute(&mut *self.turn().await?).await;
        entered.map_err(&reading)?;
        // Of several that enter theirs, one does.
        sqlx::query_scalar(catalogue::ORIGIN).fetch_one(&self.file.read).await.map_err(reading)
    }

    fn watch(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }
}

fn position_of(position: i64) -> Result<u64, ViewError> {
    natural(position).map_err(|_| ViewError::Corrupt("a negative position".to_owned()))
}

/// A document as the database gives it.
pub(super) fn raw(document: String) -> Result<Box<RawValue>, ViewError> {
    RawValue::from_string(document).map_err(|_| ViewError::Corrupt("a document that is not JSON".to_owned()))
}

/// A checkpoint as a list in JSON.
fn place(checkpoint: Checkpoint) -> (i64, String) {
    (signed(checkpoint.position), checkpoint.event_id.simple().to_string())
}

fn keys_text(keys: &[String]) -> String {
    serde_json::to_string(keys).expect("keys serialise to JSON by construction")
}

fn bind<'query>(
    query: Query<'query, Sqlite, SqliteArguments>,
    value: &'query ColumnValue,
) -> Query<'query, Sqlite, SqliteArguments> {
    match value {
        ColumnValue::Text(text) => query.bind(text),
        ColumnValue::Uuid(id) => query.bind(id.to_string()),
        ColumnValue::Integer(number) => query.bind(*number),
        ColumnValue::Time(time) => query.bind(time_text(*time)),
        ColumnValue::Boolean(truth) => query.bind(*truth),
        ColumnValue::Null => query.bind(None::<String>),
    }
}

fn page(view: &str, query: &ListQuery, sort: &SortKey, portion: Portion<SqliteRow>) -> Result<Page, ViewError> {
    let Portion { mut rows, is_whole } = portion;
    let reading = ViewError::database("reading a list's rows");
    let first = rows.first().ok_or_else(|| ViewError::Unknown(view.to_owned()))?;
    let (position, event_id) = (first.try_get(0).map_err(&reading)?, first.try_get(4).map_err(&reading)?);
    let checkpoint = catalogue::checkpoint(position, event_id)?;
    let more = !is_whole || rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    let next = match rows.last() {
        Some(last) if more => Some(cursor(view, query, sort, last).map_err(&reading)?),
        _ => None,
    };
    let mut documents = Vec::with_capacity(rows.len());
    for row in &rows {
        // The one row without a key tells the position of an empty list.
        let key: Option<String> = row.try_get(1).map_err(&reading)?;
        if let Some(key) = key {
            documents.push((key, raw(row.try_get(DOCUMENT_COLUMN).map_err(&reading)?)?));
        }
    }
    Ok(Page { checkpoint, rows: documents, next })
}

fn cursor(view: &str, query: &ListQuery, sort: &SortKey, row: &SqliteRow) -> Result<Cursor, sqlx::Error> {
    let value = match sort {
        None => ColumnValue::Null,
        Some((_, ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words)) => {
            row.try_get::<Option<String>, _>(3)?.into()
        }
        Some((_, ColumnKind::Uuid)) => {
            let text: Option<String> = row.try_get(3)?;
            text.map(|text| text.parse::<Uuid>()).transpose().map_err(decoding)?.into()
        }
        Some((_, ColumnKind::Integer)) => {
            row.try_get::<Option<i64>, _>(3)?.map_or(ColumnValue::Null, ColumnValue::Integer)
        }
        Some((_, ColumnKind::Time)) => {
            let text: Option<String> = row.try_get(3)?;
            text.map(|text| text.parse::<DateTime<Utc>>()).transpose().map_err(decoding)?.into()
        }
        Some((_, ColumnKind::Boolean)) => row.try_get::<Option<bool>, _>(3)?.into(),
    };
    Ok(cursor_behind(view, query, &row.try_get::<String, _>(1)?, value, row.try_get(4)?))
}

fn decoding(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// Writes the rows of a batch, many in one statement.
pub(super) async fn upsert(
    connection: &mut SqliteConnection,
    view: &str,
    generation: i64,
    rows: &[ViewRow],
    columns: &[Column],
) -> Result<(), ViewError> {
    let listed = columns.iter().map(|column| format!(", {}", column.name)).collect::<String>();
    let updated = columns.iter().map(|column| format!(", {0} = excluded.{0}", column.name)).collect::<String>();
    let table = table(view)?;
    for rows in chunks(rows) {
        let sql = format!(
            "INSERT OR FAIL INTO {table} (generation, key, document{listed}) VALUES {}
             ON CONFLICT (generation, key) DO UPDATE SET document = excluded.document{updated}",
            values(rows.len(), 3 + columns.len()),
        );
        let query = rows.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, row| {
            let query = query.bind(generation).bind(&row.key).bind(row.document.get());
            row.columns.iter().fold(query, bind)
        });
        query.execute(&mut *connection).await.map_err(ViewError::database("writing documents"))?;
    }
    Ok(())
}
