//! Bringing views forward: however many, one statement.
//!
//! A view is a few rows at a time; what a transaction of several statements
//! costs is the way to the database and back for each of them.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};
use uuid::Uuid;

use super::generations::generation_table;
use crate::log::row::signed;
use crate::views::{Column, ColumnKind, ColumnValue, CommitError, ViewBatch, ViewError, ViewRow, catalogue};

/// Moves every view of the batches and stores what they hold, or nothing at all.
///
/// The views' rows of the catalogue are locked first, in one order for
/// everybody; only if all of them stand where the batches begin is anything
/// changed. What is changed does not wait for the disk (docs/adr/0010).
pub async fn advance(
    connection: &mut PgConnection,
    batches: &[ViewBatch],
    columns: &[&'static [Column]],
) -> Result<(), CommitError> {
    let sql = statement(batches, columns)?;
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(batches.iter().map(|batch| batch.view.as_str()).collect::<Vec<_>>())
        .bind(batches.iter().map(|batch| batch.generation).collect::<Vec<_>>())
        .bind(batches.iter().map(|batch| signed(batch.from.position)).collect::<Vec<_>>())
        .bind(batches.iter().map(|batch| batch.from.event_id).collect::<Vec<_>>())
        .bind(batches.iter().map(|batch| signed(batch.to.position)).collect::<Vec<_>>())
        .bind(batches.iter().map(|batch| batch.to.event_id).collect::<Vec<_>>());
    for (batch, columns) in batches.iter().zip(columns) {
        query = bind_batch(query, batch, columns);
    }
    let moved = query.fetch_all(connection).await.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
    let moved: Vec<String> = moved.map_err(ViewError::database("moving views"))?;
    catalogue::all_moved(batches, &moved)
}

fn statement(batches: &[ViewBatch], columns: &[&'static [Column]]) -> Result<String, ViewError> {
    let mut sql = format!(
        "WITH moves AS (
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::uuid[])
                 AS moved(name, generation, from_position, from_event_id, to_position, to_event_id)
         ), standing AS MATERIALIZED (
             SELECT views.name FROM views JOIN moves AS moved ON {stands} ORDER BY views.name FOR UPDATE OF views
         ), all_standing AS MATERIALIZED (
             SELECT count(DISTINCT name) = cardinality($1) AS holds FROM standing
         ), moving AS ({moving})",
        stands = catalogue::STANDS,
        moving = catalogue::advance("(SELECT * FROM moves WHERE (SELECT holds FROM all_standing)) AS moved"),
    );
    let mut parameter = 7;
    for (index, (batch, columns)) in batches.iter().zip(columns).enumerate() {
        let table = generation_table(&batch.view, batch.generation)?;
        for (is_new, rows) in [(true, "added"), (false, "changed")] {
            if rows_of(batch, is_new).next().is_some() {
                write_rows(&mut sql, &table, &format!("{rows}_{index}"), is_new, &mut parameter, columns);
            }
        }
        if !batch.deletes.is_empty() {
            let (generation, keys) = (parameter, parameter + 1);
            parameter += 2;
            let deletion = format!(
                ", deleted_{index} AS (
                     DELETE FROM {table} WHERE generation = ${generation} AND key = ANY(${keys}::text[])
                         AND (SELECT holds FROM all_standing))"
            );
            sql.push_str(&deletion);
        }
    }
    sql.push_str(
        " SELECT name, set_config('synchronous_commit', 'off', true) FROM (SELECT DISTINCT name FROM standing) AS standing",
    );
    Ok(sql)
}

/// Adds to a statement what writes rows, under the condition of its part `all_standing`; `parameter` is the next one.
pub fn write_rows(sql: &mut String, table: &str, name: &str, is_new: bool, parameter: &mut usize, columns: &[Column]) {
    let (mut listed, mut updated, mut arrays) = (String::new(), String::new(), String::new());
    let first = *parameter;
    for (offset, Column { name, kind }) in columns.iter().enumerate() {
        listed.extend([", ", name]);
        updated.extend([", ", name, " = excluded.", name]);
        write!(arrays, ", ${}::{}[]", first + 3 + offset, sql_type(*kind)).expect("a String takes everything");
    }
    *parameter += 3 + columns.len();
    let (key, document) = (first + 1, first + 2);
    // What is new needs no looking for what it might change: that is a third of an insert's time.
    let conflict = match is_new {
        true => String::new(),
        false => format!("ON CONFLICT (generation, key) DO UPDATE SET document = excluded.document{updated}"),
    };
    let rows = format!(
        ", {name} AS (
             INSERT INTO {table} (generation, key, document{listed})
             SELECT ${first}::bigint, key, document::json{listed}
             FROM unnest(${key}::text[], ${document}::text[]{arrays}) AS row(key, document{listed})
             WHERE (SELECT holds FROM all_standing) {conflict})"
    );
    sql.push_str(&rows);
}

fn rows_of(batch: &ViewBatch, is_new: bool) -> impl Iterator<Item = &ViewRow> + Clone {
    batch.upserts.iter().filter(move |row| row.is_new == is_new)
}

const fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words => "text",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Integer => "bigint",
        ColumnKind::Time => "timestamptz",
        ColumnKind::Boolean => "boolean",
    }
}

type PgQuery<'query> = Query<'query, Postgres, PgArguments>;

fn bind_batch<'query>(mut query: PgQuery<'query>, batch: &'query ViewBatch, columns: &[Column]) -> PgQuery<'query> {
    for is_new in [true, false] {
        let rows = rows_of(batch, is_new);
        if rows.clone().next().is_none() {
            continue;
        }
        query = bind_rows(query, batch.generation, rows, columns);
    }
    if !batch.deletes.is_empty() {
        query = query.bind(batch.generation).bind(&batch.deletes);
    }
    query
}

/// Binds the rows that [`write_rows`] writes.
pub fn bind_rows<'query>(
    mut query: PgQuery<'query>,
    generation: i64,
    rows: impl Iterator<Item = &'query ViewRow> + Clone,
    columns: &[Column],
) -> PgQuery<'query> {
    query = query
        .bind(generation)
        .bind(rows.clone().map(|row| row.key.as_str()).collect::<Vec<_>>())
        .bind(rows.clone().map(|row| row.document.get()).collect::<Vec<_>>());
    for (index, column) in columns.iter().enumerate() {
        query = bind_column(query, rows.clone(), index, column);
    }
    query
}

fn bind_column<'query>(
    query: PgQuery<'query>,
    rows: impl Iterator<Item = &'query ViewRow>,
    index: usize,
    column: &Column,
) -> PgQuery<'query> {
    macro_rules! array {
        ($variant:ident: $kind:ty, $value:expr) => {
            query.bind(
                rows.map(|row| match row.columns.get(index) {
                    Some(ColumnValue::$variant(value)) => Some($value(value)),
                    _ => None,
                })
                .collect::<Vec<Option<$kind>>>(),
            )
        };
    }
    match column.kind {
        ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words => array!(Text: &str, String::as_str),
        ColumnKind::Uuid => array!(Uuid: Uuid, Uuid::clone),
        ColumnKind::Integer => array!(Integer: i64, i64::clone),
        ColumnKind::Time => array!(Time: DateTime<Utc>, DateTime::clone),
        ColumnKind::Boolean => array!(Boolean: bool, bool::clone),
    }
}
