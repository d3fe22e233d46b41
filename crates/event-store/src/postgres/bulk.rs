//! Many new rows at once: `COPY` takes half of what an `INSERT` costs.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnection;

use super::advance::advance;
use super::generations::generation_table;
use crate::views::{Column, ColumnValue, CommitError, ViewBatch, ViewError, ViewRow, time_text};

/// New rows of a batch from which on they are copied. Below, the ways to the database and back cost more.
const ROWS_MIN: usize = 250;
/// What is done where it fails.
const COPYING: &str = "copying rows into a view";
/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Takes the new rows out of a batch that holds many.
pub fn take_new(batch: &mut ViewBatch) -> Vec<ViewRow> {
    match batch.upserts.iter().filter(|row| row.is_new).count() {
        0..ROWS_MIN => Vec::new(),
        _ => batch.upserts.extract_if(.., |row| row.is_new).collect(),
    }
}

/// Copies the rows, stores what is left in the batch and moves the generation,
/// or does nothing at all.
///
/// The generation is one that nobody reads: rows come first and the catalogue's
/// row last, for a process that stands still in a `COPY` is not cut off by any
/// timeout, and must not hold up what others need.
///
/// In a task of its own: a `COPY` that is given up half-way leaves its
/// connection out of step with the server.
pub async fn store(
    pool: PgPool,
    batch: Arc<ViewBatch>,
    columns: &'static [Column],
    rows: Vec<ViewRow>,
) -> Result<(), CommitError> {
    let storing = tokio::spawn(async move {
        let mut transaction = pool.begin().await.map_err(ViewError::database("connecting"))?;
        copy(&mut transaction, &batch, columns, &rows).await?;
        advance(&mut transaction, std::slice::from_ref(&*batch), &[columns]).await?;
        transaction.commit().await.map_err(ViewError::database("committing a view"))?;
        Ok(())
    });
    storing.await.unwrap_or_else(|_| Err(ViewError::database(COPYING)(sqlx::Error::WorkerCrashed).into()))
}

async fn copy(
    connection: &mut PgConnection,
    batch: &ViewBatch,
    columns: &[Column],
    rows: &[ViewRow],
) -> Result<(), ViewError> {
    let copying = ViewError::database(COPYING);
    let listed: String = columns.iter().map(|column| format!(", {}", column.name)).collect();
    let table = generation_table(&batch.view, batch.generation)?;
    let sql = format!("COPY {table} (generation, key, document{listed}) FROM STDIN");
    let mut copy = connection.copy_in_raw(&sql).await.map_err(&copying)?;
    let mut piece = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    for row in rows {
        write_row(&mut piece, batch.generation, row, columns.len());
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
            Some(ColumnValue::Time(time)) => line.push_str(&time_text(*time)),
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
