//! Views on PostgreSQL.

use std::collections::HashMap;
use std::sync::RwLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _};
use tokio::sync::watch;
use uuid::Uuid;

use super::Pool;
use super::advance::advance;
use super::generations::{self, generation_table};
use crate::log::row::natural;
use crate::portion::Portion;
use crate::views::catalogue::{self, CatalogueRow, columns_text, state, table};
use crate::views::{
    Column, ColumnKind, ColumnValue, CommitError, CountSql, Cursor, DOCUMENT_COLUMN, Dialect, Filter, Found, ListQuery,
    ListSql, Page, SortKey, ViewBatch, ViewError, ViewSchema, ViewState, ViewStore, cursor_behind,
};

/// Views in a PostgreSQL database.
pub struct PostgresViews {
    pool: Pool,
    // What this process writes; what it reads is in the catalogue.
    schemas: RwLock<HashMap<String, ViewSchema>>,
    commits: watch::Sender<()>,
}

impl PostgresViews {
    /// Opens the views of a migrated database.
    pub fn open(pool: Pool) -> Self {
        Self { pool, schemas: RwLock::default(), commits: watch::Sender::new(()) }
    }

    /// Does over a connection, or within its transaction, what [`ViewStore::commit`] does.
    pub(super) async fn apply(&self, connection: &mut PgConnection, batches: &[ViewBatch]) -> Result<(), CommitError> {
        let columns: Result<Vec<_>, _> = batches.iter().map(|batch| self.columns(&batch.view)).collect();
        advance(connection, batches, &columns?).await
    }

    /// The view of a batch whose generation nobody reads or fills any more.
    async fn swept(&self, batches: &[ViewBatch]) -> Result<Option<String>, ViewError> {
        let states = self.states().await?;
        let is_kept = |batch: &ViewBatch| {
            states.iter().filter(|state| state.name == batch.view).any(|state| {
                let filled = state.rebuild.as_ref().map(|rebuild| rebuild.generation);
                state.generation == batch.generation || filled == Some(batch.generation)
            })
        };
        Ok(batches.iter().find(|batch| !is_kept(batch)).map(|batch| batch.view.clone()))
    }

    /// Wakes whoever waits for a commit.
    pub(super) fn announce(&self) {
        self.commits.send_replace(());
    }

    fn remember(&self, schema: &ViewSchema) {
        let mut schemas = self.schemas.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        schemas.insert(schema.name.to_owned(), *schema);
    }

    fn declared(&self, view: &str) -> Option<ViewSchema> {
        self.schemas.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(view).copied()
    }

    /// The columns of a view that this process writes.
    pub(super) fn columns(&self, view: &str) -> Result<&'static [Column], ViewError> {
        let schemas = self.schemas.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        schemas.get(view).map(|schema| schema.columns).ok_or_else(|| ViewError::Unknown(view.to_owned()))
    }

    async fn state(&self, view: &str) -> Result<ViewState, ViewError> {
        let sql = format!("SELECT {} FROM views WHERE name = $1", catalogue::COLUMNS);
        let row: Option<CatalogueRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(view)
            .fetch_optional(&self.pool)
            .await
            .map_err(ViewError::database("reading the catalogue"))?;
        state(row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?)
    }
}

#[async_trait]
impl ViewStore for PostgresViews {
    async fn register(&self, schema: &ViewSchema) -> Result<ViewState, ViewError> {
        self.remember(schema);
        let registering = ViewError::database("registering a view");
        let mut transaction = self.pool.begin().await.map_err(&registering)?;
        let entered = sqlx::query(catalogue::REGISTER)
            .bind(schema.name)
            .bind(i64::from(schema.version))
            .bind(columns_text(schema))
            .bind(Uuid::nil())
            .execute(&mut *transaction)
            .await
            .map_err(&registering)?;
        if entered.rows_affected() == 1 {
            generations::declare(&mut transaction, schema).await?;
            generations::create_read(&mut transaction, schema.name, catalogue::FIRST_GENERATION).await?;
        }
        transaction.commit().await.map_err(&registering)?;
        self.state(schema.name).await
    }

    async fn states(&self) -> Result<Vec<ViewState>, ViewError> {
        let sql = format!("SELECT {} FROM views ORDER BY name", catalogue::COLUMNS);
        let rows: Vec<CatalogueRow> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&self.pool)
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
        let table = generation_table(view, generation)?;
        let sql = format!("SELECT key, document::text FROM {table} WHERE generation = $1 AND key = ANY($2)");
        let rows = sqlx::query_as(AssertSqlSafe(sql)).bind(generation).bind(keys).fetch_all(&self.pool).await;
        let rows: Vec<(String, String)> = match rows {
            // Swept: whoever wants to store what it makes of this is told that the view has moved.
            Err(error) if generations::is_missing(&error) => Vec::new(),
            rows => rows.map_err(ViewError::database("loading documents"))?,
        };
        rows.into_iter().map(|(key, document)| Ok((key, raw(document)?))).collect()
    }

    async fn commit(&self, batches: &[ViewBatch]) -> Result<(), CommitError> {
        let mut held = self.pool.hold().await.map_err(ViewError::database("connecting"))?;
        let applied = self.apply(&mut held, batches).await;
        held.give_back();
        match applied {
            Err(CommitError::View(ViewError::Database { doing, source })) if generations::is_missing(&source) => {
                return Err(match self.swept(batches).await? {
                    Some(view) => CommitError::Moved { view },
                    None => CommitError::View(ViewError::Database { doing, source }),
                });
            }
            applied => applied?,
        }
        self.announce();
        Ok(())
    }

    async fn start_rebuild(&self, schema: &ViewSchema) -> Result<i64, ViewError> {
        self.remember(schema);
        let starting = ViewError::database("starting a rebuild");
        let mut transaction = self.pool.begin().await.map_err(&starting)?;
        let generation: Option<i64> = sqlx::query_scalar(catalogue::START_REBUILD)
            .bind(schema.name)
            .bind(i64::from(schema.version))
            .bind(columns_text(schema))
            .bind(Uuid::nil())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&starting)?;
        let generation = generation.ok_or_else(|| ViewError::Unknown(schema.name.to_owned()))?;
        generations::declare(&mut transaction, schema).await?;
        generations::create_beside(&mut transaction, schema.name, generation).await?;
        transaction.commit().await.map_err(&starting)?;
        Ok(generation)
    }

    async fn swap(&self, view: &str, generation: i64) -> Result<bool, ViewError> {
        generations::attach(&self.pool, view, generation).await?;
        let swapped = sqlx::query(catalogue::SWAP).bind(view).bind(generation).execute(&self.pool).await;
        let swapped = swapped.map_err(ViewError::database("putting a rebuilt view in place"))?;
        self.commits.send_replace(());
        Ok(swapped.rows_affected() == 1)
    }

    async fn sweep(&self, view: &str) -> Result<(), ViewError> {
        // Where an older program sweeps, what a newer one has declared stays.
        let state = self.state(view).await?;
        let declared = self.declared(view).filter(|schema| schema.version == state.version && state.rebuild.is_none());
        generations::sweep(&self.pool, view, declared.as_ref()).await
    }

    async fn set_failure(&self, view: &str, failure: Option<&str>) -> Result<(), ViewError> {
        let update = sqlx::query("UPDATE views SET failure = $2 WHERE name = $1").bind(view).bind(failure);
        update.execute(&self.pool).await.map_err(ViewError::database("noting a view's failure")).map(drop)
    }

    async fn get(&self, view: &str, key: &str) -> Result<Found, ViewError> {
        let sql = format!(
            "SELECT views.position, views.event_id, page.document::text FROM views
             LEFT JOIN {} AS page ON page.generation = views.generation AND page.key = $2
             WHERE views.name = $1",
            table(view)?
        );
        let row: Option<(i64, Uuid, Option<String>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(view)
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(ViewError::database("reading a document"))?;
        let (position, event_id, document) = row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?;
        let checkpoint = catalogue::checkpoint(position, event_id)?;
        Ok(Found { checkpoint, document: document.map(raw).transpose()? })
    }

    async fn list(&self, view: &str, query: &ListQuery) -> Result<Page, ViewError> {
        table(view)?;
        let columns = self.state(view).await?.columns;
        let ListSql { sql, values, sort } = ListSql::build(view, &columns, query, Dialect::Postgres)?;
        let statement = values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)).bind(view.to_owned()), bind);
        let portion = self.pool.fetch_portion(statement, DOCUMENT_COLUMN).await;
        page(view, query, &sort, portion.map_err(ViewError::database("reading a list"))?)
    }

    async fn count(&self, view: &str, filters: &[Filter], max: u32) -> Result<u64, ViewError> {
        table(view)?;
        let columns = self.state(view).await?.columns;
        let CountSql { sql, values } = CountSql::build(view, &columns, filters, max, Dialect::Postgres)?;
        let statement = values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)).bind(view.to_owned()), bind);
        let counting = ViewError::database("counting documents");
        let row = statement.fetch_one(&self.pool).await.map_err(&counting)?;
        position_of(row.try_get(0).map_err(counting)?)
    }

    async fn position(&self, view: &str) -> Result<u64, ViewError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT position FROM views WHERE name = $1")
            .bind(view)
            .fetch_optional(&self.pool)
            .await
            .map_err(ViewError::database("reading a view's position"))?;
        position_of(row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?.0)
    }

    async fn origin(&self, log_id: Uuid) -> Result<Uuid, ViewError> {
        let reading = ViewError::database("reading which log the data are of");
        let found: Option<Uuid> =
            sqlx::query_scalar(catalogue::ORIGIN).fetch_optional(&self.pool).await.map_err(&reading)?;
        if let Some(found) = found {
            return Ok(found);
        }
        let entered = sqlx::query(catalogue::ENTER_ORIGIN).bind(log_id).execute(&self.pool).await;
        entered.map_err(&reading)?;
        // Of several that enter theirs, one does.
        sqlx::query_scalar(catalogue::ORIGIN).fetch_one(&self.pool).await.map_err(reading)
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

fn bind(query: Query<'_, Postgres, PgArguments>, value: ColumnValue) -> Query<'_, Postgres, PgArguments> {
    match value {
        ColumnValue::Text(text) => query.bind(text),
        ColumnValue::Uuid(id) => query.bind(id),
        ColumnValue::Integer(number) => query.bind(number),
        ColumnValue::Time(time) => query.bind(time),
        ColumnValue::Boolean(truth) => query.bind(truth),
        ColumnValue::Null => query.bind(None::<String>),
    }
}

fn page(view: &str, query: &ListQuery, sort: &SortKey, portion: Portion<PgRow>) -> Result<Page, ViewError> {
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

fn cursor(view: &str, query: &ListQuery, sort: &SortKey, row: &PgRow) -> Result<Cursor, sqlx::Error> {
    let value = match sort {
        None => ColumnValue::Null,
        Some((_, ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words)) => {
            row.try_get::<Option<String>, _>(3)?.into()
        }
        Some((_, ColumnKind::Uuid)) => row.try_get::<Option<Uuid>, _>(3)?.into(),
        Some((_, ColumnKind::Integer)) => {
            row.try_get::<Option<i64>, _>(3)?.map_or(ColumnValue::Null, ColumnValue::Integer)
        }
        Some((_, ColumnKind::Time)) => row.try_get::<Option<DateTime<Utc>>, _>(3)?.into(),
        Some((_, ColumnKind::Boolean)) => row.try_get::<Option<bool>, _>(3)?.into(),
    };
    Ok(cursor_behind(view, query, &row.try_get::<String, _>(1)?, value, row.try_get(4)?))
}

/// Forgets all that is made from the log, as [`Store::forget_derived`](crate::Store::forget_derived) says.
pub async fn forget_derived(pool: &PgPool) -> Result<(), ViewError> {
    let forgetting = ViewError::database("forgetting what is derived");
    let mut transaction = pool.begin().await.map_err(&forgetting)?;
    // Whoever moves a view takes the catalogue first, too: nothing can cross.
    let lock = "LOCK TABLE views, saga_cursors, saga_steps IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *transaction).await.map_err(&forgetting)?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN views ON relname ~ ('^view_' || name || '(_g[0-9]+)?$')
         WHERE relkind IN ('r', 'p') AND relnamespace = 'derived'::regnamespace",
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(&forgetting)?;
    let drops = tables.iter().map(|table| format!("DROP TABLE IF EXISTS {table}"));
    let deletions = ["views", "saga_cursors", "saga_steps"].map(|table| format!("DELETE FROM {table}"));
    for sql in drops.chain(deletions) {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(&forgetting)?;
    }
    transaction.commit().await.map_err(forgetting)
}
