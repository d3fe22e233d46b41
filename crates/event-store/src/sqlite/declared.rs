//! The tables of views, made from their declarations (docs/adr/0019), and forgotten.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::SqliteFile;
use crate::views::catalogue::table;
use crate::views::{Dialect, ViewError, ViewSchema, ddl};

/// Makes the view's table with its indexes, or adds what it lacks of what is declared now.
pub async fn declare(connection: &mut SqliteConnection, schema: &ViewSchema) -> Result<(), ViewError> {
    let declaring = ViewError::database("making a view's table");
    let (table, indexes) = (table(schema.name)?, ddl::indexes(schema, Dialect::Sqlite)?);
    let sql = ddl::create_table(schema, Dialect::Sqlite)?;
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(&declaring)?;
    let present: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
        .bind(&table)
        .fetch_all(&mut *connection)
        .await
        .map_err(&declaring)?;
    for column in schema.columns.iter().filter(|column| !present.iter().any(|name| name == column.name)) {
        let sql = format!("ALTER TABLE {table} ADD COLUMN {}", ddl::definition(column, Dialect::Sqlite));
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(&declaring)?;
    }
    for index in indexes {
        let sql = format!("CREATE INDEX IF NOT EXISTS {} ON {table} {}", index.name, index.of);
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(&declaring)?;
    }
    for sql in ddl::words_of(schema)? {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(&declaring)?;
    }
    Ok(())
}

/// Removes the indexes that are declared no longer, now that no generation is read by them.
pub async fn forget_indexes(connection: &mut SqliteConnection, schema: &ViewSchema) -> Result<(), ViewError> {
    let sweeping = ViewError::database("removing old indexes of a view");
    let declared: Vec<String> = ddl::indexes(schema, Dialect::Sqlite)?.into_iter().map(|index| index.name).collect();
    let present: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = $1 AND sql IS NOT NULL")
            .bind(table(schema.name)?)
            .fetch_all(&mut *connection)
            .await
            .map_err(&sweeping)?;
    for index in present.iter().filter(|index| !declared.contains(index)) {
        let sql = format!("DROP INDEX IF EXISTS {index}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(&sweeping)?;
    }
    Ok(())
}

/// Forgets all that is made from the log, as [`Store::forget_derived`](crate::Store::forget_derived) says.
pub async fn forget_derived(file: &SqliteFile) -> Result<(), ViewError> {
    let forgetting = ViewError::database("forgetting what is derived");
    let mut turn = file.write.whole_turn().await.map_err(&forgetting)?;
    let mut transaction = turn.begin().await.map_err(&forgetting)?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN
             (SELECT 'view_' || name FROM views UNION ALL SELECT 'view_' || name || '_fts' FROM views)",
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(&forgetting)?;
    let drops = tables.iter().map(|table| format!("DROP TABLE {table}"));
    let deletions = ["views", "saga_cursors", "saga_steps"].map(|table| format!("DELETE FROM {table}"));
    for sql in drops.chain(deletions) {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(&forgetting)?;
    }
    transaction.commit().await.map_err(&forgetting)?;
    turn.end();
    Ok(())
}
