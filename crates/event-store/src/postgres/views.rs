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

use crate::log::row::{natural, signed};
use crate::views::catalogue::{self, CatalogueRow, columns_text, state, table};
use crate::views::{
    Column, ColumnKind, ColumnValue, CommitError, Cursor, Found, ListQuery, ListSql, Page, SortKey, ViewBatch,
    ViewError, ViewRow, ViewSchema, ViewState, ViewStore, cursor_behind,
};

/// Views in a PostgreSQL database.
pub struct PostgresViews {
    pool: PgPool,
    // What this process writes; what it reads is in the catalogue.
    schemas: RwLock<HashMap<String, &'static [Column]>>,
    commits: watch::Sender<()>,
}

impl PostgresViews {
    /// Opens the views of a migrated database.
    pub fn open(pool: PgPool) -> Self {
        Self { pool, schemas: RwLock::default(), commits: watch::Sender::new(()) }
    }

    /// Does within a transaction what [`ViewStore::commit`] does in one of its own.
    pub(super) async fn apply(&self, connection: &mut PgConnection, batches: &[ViewBatch]) -> Result<(), CommitError> {
        let sql = catalogue::advance(
            "unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
                 AS moved(name, generation, from_position, to_position)",
        );
        let moved = sqlx::query_as(AssertSqlSafe(sql))
            .bind(batches.iter().map(|batch| batch.view.as_str()).collect::<Vec<_>>())
            .bind(batches.iter().map(|batch| batch.generation).collect::<Vec<_>>())
            .bind(batches.iter().map(|batch| signed(batch.from_position)).collect::<Vec<_>>())
            .bind(batches.iter().map(|batch| signed(batch.to_position)).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await;
        catalogue::all_moved(batches, &moved.map_err(ViewError::database("moving views"))?)?;
        for batch in batches {
            if !batch.upserts.is_empty() {
                upsert(connection, batch, self.columns(&batch.view)?).await?;
            }
            if !batch.deletes.is_empty() {
                let sql = format!("DELETE FROM {} WHERE generation = $1 AND key = ANY($2)", table(&batch.view)?);
                let deletion = sqlx::query(AssertSqlSafe(sql)).bind(batch.generation).bind(&batch.deletes);
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
        schemas.insert(schema.name.to_owned(), schema.columns);
    }

    fn columns(&self, view: &str) -> Result<&'static [Column], ViewError> {
        let schemas = self.schemas.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        schemas.get(view).copied().ok_or_else(|| ViewError::Unknown(view.to_owned()))
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
        sqlx::query(catalogue::REGISTER)
            .bind(schema.name)
            .bind(i64::from(schema.version))
            .bind(columns_text(schema))
            .execute(&self.pool)
            .await
            .map_err(ViewError::database("registering a view"))?;
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
        let sql = format!("SELECT key, document::text FROM {} WHERE generation = $1 AND key = ANY($2)", table(view)?);
        let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(generation)
            .bind(keys)
            .fetch_all(&self.pool)
            .await
            .map_err(ViewError::database("loading documents"))?;
        rows.into_iter().map(|(key, document)| Ok((key, raw(document)?))).collect()
    }

    async fn commit(&self, batches: Vec<ViewBatch>) -> Result<(), CommitError> {
        let begun = self.pool.begin_with(super::BEGIN_DERIVED).await;
        let mut transaction = begun.map_err(ViewError::database("beginning a batch of views"))?;
        self.apply(&mut transaction, &batches).await?;
        transaction.commit().await.map_err(ViewError::database("committing a batch of views"))?;
        self.announce();
        Ok(())
    }

    async fn start_rebuild(&self, schema: &ViewSchema) -> Result<i64, ViewError> {
        self.remember(schema);
        let row: Option<(i64,)> = sqlx::query_as(catalogue::START_REBUILD)
            .bind(schema.name)
            .bind(i64::from(schema.version))
            .bind(columns_text(schema))
            .fetch_optional(&self.pool)
            .await
            .map_err(ViewError::database("starting a rebuild"))?;
        row.map(|(generation,)| generation).ok_or_else(|| ViewError::Unknown(schema.name.to_owned()))
    }

    async fn swap(&self, view: &str, generation: i64) -> Result<bool, ViewError> {
        let swapped = sqlx::query(catalogue::SWAP).bind(view).bind(generation).execute(&self.pool).await;
        let swapped = swapped.map_err(ViewError::database("putting a rebuilt view in place"))?;
        self.commits.send_replace(());
        Ok(swapped.rows_affected() == 1)
    }

    async fn sweep(&self, view: &str, limit: u32) -> Result<u64, ViewError> {
        let table = table(view)?;
        let sql = format!(
            "DELETE FROM {table} WHERE (generation, key) IN (
                 SELECT generation, key FROM {table} WHERE generation NOT IN (
                     SELECT generation FROM views WHERE name = $1
                     UNION SELECT rebuild_generation FROM views WHERE name = $1 AND rebuild_generation IS NOT NULL)
                 LIMIT $2)"
        );
        let deletion = sqlx::query(AssertSqlSafe(sql)).bind(view).bind(i64::from(limit)).execute(&self.pool).await;
        Ok(deletion.map_err(ViewError::database("sweeping old rows"))?.rows_affected())
    }

    async fn set_failure(&self, view: &str, failure: Option<&str>) -> Result<(), ViewError> {
        let update = sqlx::query("UPDATE views SET failure = $2 WHERE name = $1").bind(view).bind(failure);
        update.execute(&self.pool).await.map_err(ViewError::database("noting a view's failure")).map(drop)
    }

    async fn get(&self, view: &str, key: &str) -> Result<Found, ViewError> {
        let sql = format!(
            "SELECT views.position, page.document::text FROM views
             LEFT JOIN {} AS page ON page.generation = views.generation AND page.key = $2
             WHERE views.name = $1",
            table(view)?
        );
        let row: Option<(i64, Option<String>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(view)
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(ViewError::database("reading a document"))?;
        let (position, document) = row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?;
        Ok(Found { position: position_of(position)?, document: document.map(raw).transpose()? })
    }

    async fn list(&self, view: &str, query: &ListQuery) -> Result<Page, ViewError> {
        table(view)?;
        let columns = self.state(view).await?.columns;
        let ListSql { sql, values, sort } = ListSql::build(view, &columns, query, "document::text")?;
        let statement = values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)).bind(view.to_owned()), bind);
        let rows = statement.fetch_all(&self.pool).await.map_err(ViewError::database("reading a list"))?;
        page(view, query, &sort, rows)
    }

    async fn position(&self, view: &str) -> Result<u64, ViewError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT position FROM views WHERE name = $1")
            .bind(view)
            .fetch_optional(&self.pool)
            .await
            .map_err(ViewError::database("reading a view's position"))?;
        position_of(row.ok_or_else(|| ViewError::Unknown(view.to_owned()))?.0)
    }

    fn watch(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }
}

fn position_of(position: i64) -> Result<u64, ViewError> {
    natural(position).map_err(|_| ViewError::Corrupt("a negative position".to_owned()))
}

fn raw(document: String) -> Result<Box<RawValue>, ViewError> {
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

fn page(view: &str, query: &ListQuery, sort: &SortKey, mut rows: Vec<PgRow>) -> Result<Page, ViewError> {
    let reading = ViewError::database("reading a list's rows");
    let first = rows.first().ok_or_else(|| ViewError::Unknown(view.to_owned()))?;
    let position = position_of(first.try_get(0).map_err(&reading)?)?;
    let more = rows.len() > query.limit as usize;
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
            documents.push((key, raw(row.try_get(2).map_err(&reading)?)?));
        }
    }
    Ok(Page { position, rows: documents, next })
}

fn cursor(view: &str, query: &ListQuery, sort: &SortKey, row: &PgRow) -> Result<Cursor, sqlx::Error> {
    let value = match sort {
        None => ColumnValue::Null,
        Some((_, ColumnKind::Text)) => row.try_get::<Option<String>, _>(3)?.into(),
        Some((_, ColumnKind::Uuid)) => row.try_get::<Option<Uuid>, _>(3)?.into(),
        Some((_, ColumnKind::Integer)) => {
            row.try_get::<Option<i64>, _>(3)?.map_or(ColumnValue::Null, ColumnValue::Integer)
        }
        Some((_, ColumnKind::Time)) => row.try_get::<Option<DateTime<Utc>>, _>(3)?.into(),
        Some((_, ColumnKind::Boolean)) => row.try_get::<Option<bool>, _>(3)?.into(),
    };
    Ok(cursor_behind(view, query, &row.try_get::<String, _>(1)?, value))
}

/// Writes all rows of a batch in one statement.
async fn upsert(connection: &mut PgConnection, batch: &ViewBatch, columns: &[Column]) -> Result<(), ViewError> {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let listed = names.iter().map(|name| format!(", {name}")).collect::<String>();
    let updated = names.iter().map(|name| format!(", {name} = excluded.{name}")).collect::<String>();
    let arrays = columns.iter().enumerate().map(|(index, column)| format!(", ${}::{}[]", index + 4, sql_type(column)));
    let sql = format!(
        "INSERT INTO {table} (generation, key, document{listed})
         SELECT $1, key, document::jsonb{listed}
         FROM unnest($2::text[], $3::text[]{arrays}) AS row(key, document{listed})
         ON CONFLICT (generation, key) DO UPDATE SET document = excluded.document{updated}",
        table = table(&batch.view)?,
        arrays = arrays.collect::<String>(),
    );
    let rows = &batch.upserts;
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(batch.generation)
        .bind(rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.document.get().to_owned()).collect::<Vec<_>>());
    for (index, column) in columns.iter().enumerate() {
        query = bind_column(query, rows, index, column);
    }
    query.execute(connection).await.map_err(ViewError::database("writing documents")).map(drop)
}

const fn sql_type(column: &Column) -> &'static str {
    match column.kind {
        ColumnKind::Text => "text",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Integer => "bigint",
        ColumnKind::Time => "timestamptz",
        ColumnKind::Boolean => "boolean",
    }
}

fn bind_column<'query>(
    query: Query<'query, Postgres, PgArguments>,
    rows: &[ViewRow],
    index: usize,
    column: &Column,
) -> Query<'query, Postgres, PgArguments> {
    macro_rules! array {
        ($variant:ident: $kind:ty) => {
            query.bind(
                rows.iter()
                    .map(|row| match row.columns.get(index) {
                        Some(ColumnValue::$variant(value)) => Some(value.clone()),
                        _ => None,
                    })
                    .collect::<Vec<Option<$kind>>>(),
            )
        };
    }
    match column.kind {
        ColumnKind::Text => array!(Text: String),
        ColumnKind::Uuid => array!(Uuid: Uuid),
        ColumnKind::Integer => array!(Integer: i64),
        ColumnKind::Time => array!(Time: DateTime<Utc>),
        ColumnKind::Boolean => array!(Boolean: bool),
    }
}
