//! The generations of a view: each a partition of its table (docs/adr/0013).
//!
//! One that is filled beside the one that is read stands alone, with nothing
//! but its key: rows go in several times as fast where no index is kept row by
//! row. Before it is read it becomes a partition, and gets its indexes at once.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::views::catalogue::table;
use crate::views::{Dialect, ViewError, ViewSchema, ddl};

/// What PostgreSQL may sort an index in.
const INDEX_MEMORY: &str = "256MB";
/// How long removing a table waits for whoever reads the view: meanwhile others wait behind it.
const REMOVAL_WAIT_MAX: &str = "200ms";
/// How long others have the view to themselves before it is tried again.
const REMOVAL_PAUSE: Duration = Duration::from_millis(300);
/// How often it is tried. What stays is removed after the next rebuild.
const REMOVAL_TRIES: u32 = 25;
/// The code of "there is no such table".
const UNDEFINED_TABLE: &str = "42P01";
/// The code of "somebody else holds the lock".
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The table of one generation of a view.
pub fn generation_table(view: &str, generation: i64) -> Result<String, ViewError> {
    Ok(format!("{}_g{generation}", table(view)?))
}

/// Makes the view's table with its indexes, or adds what it lacks of what is declared now.
///
/// Indexes are made of the partitioned table alone: a partition gets those that it lacks when it is
/// attached, so that nothing waits for an index of rows that are read today.
pub async fn declare(connection: &mut PgConnection, schema: &ViewSchema) -> Result<(), ViewError> {
    const DOING: &str = "making a view's table";
    let (parent, indexes) = (table(schema.name)?, ddl::indexes(schema, Dialect::Postgres)?);
    run(connection, ddl::create_table(schema, Dialect::Postgres)?, DOING).await?;
    let present: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
         UNION ALL
         SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = $1::regclass",
    )
    .bind(&parent)
    .fetch_all(&mut *connection)
    .await
    .map_err(ViewError::database("looking at a view's table"))?;
    for column in schema.columns.iter().filter(|column| !present.iter().any(|name| name == column.name)) {
        let definition = ddl::definition(column, Dialect::Postgres);
        run(connection, format!("ALTER TABLE {parent} ADD COLUMN {definition}"), DOING).await?;
    }
    for index in indexes.iter().filter(|index| !present.contains(&index.name)) {
        let sql = format!("CREATE INDEX {} ON ONLY {parent} {}", index.name, index.of);
        run(connection, sql, DOING).await?;
    }
    Ok(())
}

/// Removes the indexes that are declared no longer, now that no generation is read by them.
async fn forget_indexes(pool: &PgPool, schema: &ViewSchema) -> Result<(), ViewError> {
    let sweeping = ViewError::database("removing old indexes of a view");
    let declared: Vec<String> = ddl::indexes(schema, Dialect::Postgres)?.into_iter().map(|index| index.name).collect();
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT indexrelid::regclass::text FROM pg_index
         WHERE indrelid = to_regclass($1) AND NOT indisprimary AND indexrelid::regclass::text <> ALL($2)",
    )
    .bind(table(schema.name)?)
    .bind(declared)
    .fetch_all(pool)
    .await
    .map_err(&sweeping)?;
    for index in old {
        let sql = format!("SET LOCAL lock_timeout = '{REMOVAL_WAIT_MAX}'; DROP INDEX IF EXISTS {index}");
        let mut transaction = pool.begin().await.map_err(&sweeping)?;
        match transaction.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await {
            Ok(_) => transaction.commit().await.map_err(&sweeping)?,
            // It is in use: the next rebuild removes it.
            Err(error) if has_code(&error, LOCK_NOT_AVAILABLE) => {}
            Err(error) => return Err(sweeping(error)),
        }
    }
    Ok(())
}

/// Makes the table of a generation that is read from its beginning.
pub async fn create_read(connection: &mut PgConnection, view: &str, generation: i64) -> Result<(), ViewError> {
    let (parent, table) = (table(view)?, generation_table(view, generation)?);
    // Left over where somebody has thrown the catalogue away.
    run(connection, format!("DROP TABLE IF EXISTS {table}"), "removing a forgotten table").await?;
    let sql = format!("CREATE TABLE derived.{table} PARTITION OF {parent} FOR VALUES IN ({generation})");
    run(connection, sql, "making a view's table").await
}

/// Makes the table of a generation that is filled beside the one that is read.
pub async fn create_beside(connection: &mut PgConnection, view: &str, generation: i64) -> Result<(), ViewError> {
    let (parent, table) = (table(view)?, generation_table(view, generation)?);
    // Nothing is to be vacuumed or planned for in what is only added to.
    let sql = format!(
        "CREATE TABLE derived.{table} (LIKE {parent} INCLUDING DEFAULTS, PRIMARY KEY (generation, key))
         WITH (autovacuum_enabled = off)"
    );
    run(connection, sql, "making a rebuilt view's table").await
}

/// Makes a generation one that can be read, with its indexes; nothing where it
/// is one, or where it was swept. Reading and writing go on meanwhile.
pub async fn attach(pool: &PgPool, view: &str, generation: i64) -> Result<(), ViewError> {
    let (parent, table) = (table(view)?, generation_table(view, generation)?);
    let alone: bool = sqlx::query_scalar(
        "SELECT to_regclass($1) IS NOT NULL
             AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1))",
    )
    .bind(&table)
    .fetch_one(pool)
    .await
    .map_err(ViewError::database("looking for a rebuilt view's table"))?;
    if !alone {
        return Ok(());
    }
    let attaching = ViewError::database("making a rebuilt view's indexes");
    let mut transaction = pool.begin().await.map_err(&attaching)?;
    let sql = format!(
        "SET LOCAL maintenance_work_mem = '{INDEX_MEMORY}';
         ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({generation});
         ALTER TABLE {table} RESET (autovacuum_enabled);
         ANALYZE {table}"
    );
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(&attaching)?;
    transaction.commit().await.map_err(&attaching)
}

/// Removes the tables of generations that nobody reads or fills.
pub async fn sweep(pool: &PgPool, view: &str, schema: Option<&ViewSchema>) -> Result<(), ViewError> {
    let sweeping = ViewError::database("removing old tables of a view");
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class, views
         WHERE views.name = $1 AND relkind = 'r' AND relnamespace = 'derived'::regnamespace
             AND relname ~ ('^' || $2 || '_g[0-9]+$')
             AND relname NOT IN ($2 || '_g' || generation, $2 || '_g' || coalesce(rebuild_generation, generation))",
    )
    .bind(view)
    .bind(table(view)?)
    .fetch_all(pool)
    .await
    .map_err(&sweeping)?;
    for table in tables {
        for attempt in 1..=REMOVAL_TRIES {
            let mut transaction = pool.begin().await.map_err(&sweeping)?;
            let sql = format!("SET LOCAL lock_timeout = '{REMOVAL_WAIT_MAX}'; DROP TABLE IF EXISTS {table}");
            match transaction.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await {
                Ok(_) => {
                    transaction.commit().await.map_err(&sweeping)?;
                    break;
                }
                Err(error) if has_code(&error, LOCK_NOT_AVAILABLE) && attempt < REMOVAL_TRIES => {
                    drop(transaction.rollback().await);
                    tokio::time::sleep(REMOVAL_PAUSE).await;
                }
                Err(error) if has_code(&error, LOCK_NOT_AVAILABLE) => {
                    tracing::warn!(table, "an old table of a view is in use; it is removed after the next rebuild");
                }
                Err(error) => return Err(sweeping(error)),
            }
        }
    }
    match schema {
        Some(schema) => forget_indexes(pool, schema).await,
        None => Ok(()),
    }
}

/// Whether a table was missing.
pub fn is_missing(error: &sqlx::Error) -> bool {
    has_code(error, UNDEFINED_TABLE)
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(code))
}

async fn run(connection: &mut PgConnection, sql: String, doing: &'static str) -> Result<(), ViewError> {
    connection.execute(AssertSqlSafe(sql)).await.map_err(ViewError::database(doing)).map(drop)
}
