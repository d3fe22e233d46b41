//! Many new rows at once: `COPY` takes half of what an `INSERT` costs.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnection;

use super::advance::advance;
use super::generations::generation_table;
use crate::views::{Column, ColumnValue, CommitError, ViewBatch, ViewError, ViewRow};

/// New rows of a batch from which on they are copied. Below, the ways to the database and back cost more.
const ROWS_MIN: usize = 250;
/// What is done where it fails.
const COPYING: &str = "copying rows into a view";
/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// New rows of one generation of a view.
pub struct Bulk {
    view: String,
    generation: i64,
    columns: &'static [Column],
    rows: Vec<ViewRow>,
}

/// Takes the new rows out of those batches that hold many; `columns` are those of the batches' views.
pub fn split(batches: &mut [ViewBatch], columns: &[&'static [Column]]) -> Vec<Bulk> {
    let is_large = |batch: &ViewBatch| batch.upserts.iter().filter(|row| row.is_new).count() >= ROWS_MIN;
    let large = batches.iter_mut().zip(columns).filter(|(batch, _)| is_large(batch));
    let take = |(batch, columns): (&mut ViewBatch, &&'static [Column])| Bulk {
        view: batch.view.clone(),
        generation: batch.generation,
        columns,
        rows: batch.upserts.extract_if(.., |row| row.is_new).collect(),
    };
    large.map(take).collect()
}

/// Moves the views of the batches, stores what is left in them, and copies the
/// rows, or does nothing at all.
///
/// In a task of its own: a `COPY` that is given up half-way leaves its
/// connection out of step with the server.
pub async fn store(
    pool: PgPool,
    batches: Arc<[ViewBatch]>,
    columns: Vec<&'static [Column]>,
    bulks: Vec<Bulk>,
) -> Result<(), CommitError> {
    let storing = tokio::spawn(async move {
        let mut transaction = pool.begin().await.map_err(ViewError::database("connecting"))?;
        advance(&mut transaction, &batches, &columns).await?;
        for bulk in &bulks {
            copy(&mut transaction, bulk).await?;
        }
        transaction.commit().await.map_err(ViewError::database("committing views"))?;
        Ok(())
    });
    storing.await.unwrap_or_else(|_| Err(ViewError::database(COPYING)(sqlx::Error::WorkerCrashed).into()))
}

async fn copy(connection: &mut PgConnection, bulk: &Bulk) -> Result<(), ViewError> {
    let copying = ViewError::database(COPYING);
    let listed: String = bulk.columns.iter().map(|column| format!(", {}", column.name)).collect();
    let table = generation_table(&bulk.view, bulk.generation)?;
    let sql = format!("COPY {table} (generation, key, document{listed}) FROM STDIN");
    let mut copy = connection.copy_in_raw(&sql).await.map_err(&copying)?;
    let mut piece = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    for row in &bulk.rows {
        write_row(&mut piece, bulk.generation, row, bulk.columns.len());
        if piece.len() >= PIECE_BYTES {
            copy.send(piece.as_bytes()).await.map_err(&copying)?;
            piece.clear();
        }
    }
    copy.send(piece.as_bytes()).await.map_err(&copying)?;
    copy.finish().await.map_err(&copying).map(drop)
}

/// A line of `COPY`'s text format.
fn write_row(line: &mut String, generation: i64, row: &ViewRow, columns: usize) {
    let infallible = "a String takes everything";
    write!(line, "{generation}\t").expect(infallible);
    write_text(line, &row.key);
    line.push('\t');
    write_text(line, row.document.get());
    for column in 0..columns {
        line.push('\t');
        match row.columns.get(column) {
            None | Some(ColumnValue::Null) => line.push_str("\\N"),
            Some(ColumnValue::Text(text)) => write_text(line, text),
            Some(ColumnValue::Uuid(id)) => write!(line, "{id}").expect(infallible),
            Some(ColumnValue::Integer(number)) => write!(line, "{number}").expect(infallible),
            Some(ColumnValue::Time(time)) => write!(line, "{}", time.to_rfc3339()).expect(infallible),
            Some(ColumnValue::Boolean(truth)) => write!(line, "{truth}").expect(infallible),
        }
    }
    line.push('\n');
}

/// Text with what means something in that format escaped.
fn write_text(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(place) = rest.find(['\\', '\t', '\n', '\r']) {
        line.push_str(&rest[..place]);
        line.push_str(match rest.as_bytes()[place] {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            _ => "\\r",
        });
        rest = &rest[place + 1..];
    }
    line.push_str(rest);
}
