//! A page of a list of a million: first, in the middle and last, in every order.

use std::time::{Duration, Instant};

use event_store::Store;
use event_store::checkpoints::Checkpoint;
use event_store::views::{
    Column, ColumnKind, ColumnValue, Cursor, Direction, LIST_LIMIT_MAX, ListQuery, Page, ViewBatch, ViewRow, ViewSchema,
};
use hdrhistogram::Histogram;
use serde_json::value::RawValue;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;
use views::DynView;

use crate::load::histogram;
use crate::measure::{Goal, Row};
use crate::{Bench, BenchError};

/// What a p99 of milliseconds is worth where others work on the machine: no more than that tells of a fault.
const BUSY: f64 = 4.0;
/// The list that people look at all day.
const VIEW: &str = "alerts";
/// Rows of a page where the caller does not say.
const PAGE: u32 = 50;
/// What 99 of 100 pages keep to.
const P99_MAX: Duration = Duration::from_millis(10);
/// Rows of one commit.
const CHUNK: u32 = 5_000;
/// Bytes of a document.
const DOCUMENT_BYTES: usize = 700;
/// Where pages lie.
const PLACES: [&str; 3] = ["first", "middle", "last"];
/// Different pages around the middle that are read in turn.
const MIDDLES: usize = 20;

/// Figure 16.
pub async fn both(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let rows = if bench.is_short() { 50_000 } else { 1_000_000 };
    let file = bench.file().await?;
    fill(&file.store, rows).await?;
    let mut lines = measured(bench, &file.store, "embedded", rows).await?;
    file.close().await;
    let database = bench.database().await?;
    fill(&database.store, rows).await?;
    // As after a while.
    PgConnection::connect(&database.url).await?.execute("VACUUM ANALYZE").await?;
    lines.extend(measured(bench, &database.store, "PostgreSQL", rows).await?);
    database.close().await?;
    Ok(lines)
}

fn view() -> Result<&'static dyn DynView, BenchError> {
    let found = views::ALL.iter().find(|view| view.schema().name == VIEW);
    found.copied().ok_or_else(|| BenchError::Said(format!("there is no view `{VIEW}`")))
}

fn said(error: impl std::fmt::Display) -> BenchError {
    BenchError::Said(error.to_string())
}

/// Fills the view without an event.
async fn fill(store: &Store, rows: u32) -> Result<(), BenchError> {
    let schema = view()?.schema();
    let state = store.views.register(schema).await.map_err(said)?;
    let document = format!("\"{}\"", "x".repeat(DOCUMENT_BYTES));
    let document = RawValue::from_string(document).map_err(said)?;
    let mut from = state.checkpoint;
    for begin in (0..rows).step_by(CHUNK as usize) {
        let numbers = begin..rows.min(begin + CHUNK);
        let to = Checkpoint { position: numbers.end.into(), event_id: Uuid::from_u128(numbers.end.into()) };
        let batch = ViewBatch {
            view: schema.name.to_owned(),
            generation: state.generation,
            from,
            to,
            upserts: numbers.map(|number| row(schema, number, document.clone())).collect(),
            deletes: Vec::new(),
        };
        store.views.commit(&[batch]).await.map_err(said)?;
        from = to;
    }
    Ok(())
}

/// A row whose key says nothing about its place; every tenth has no values.
fn row(schema: &ViewSchema, number: u32, document: Box<RawValue>) -> ViewRow {
    let is_empty = number.is_multiple_of(10);
    let value = |(place, column)| if is_empty { ColumnValue::Null } else { value(column, place, number) };
    ViewRow {
        key: scattered(number).to_string(),
        document,
        columns: schema.columns.iter().enumerate().map(value).collect(),
        is_new: true,
    }
}

fn scattered(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

/// Columns do not follow from each other; times are all different, numbers are few.
fn value(column: &Column, place: usize, number: u32) -> ColumnValue {
    let place = u32::try_from(place).unwrap_or(0);
    match column.kind {
        ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words => {
            format!("v{}", number / (20 + 13 * place) % 50).into()
        }
        ColumnKind::Uuid => Uuid::from_u128((number / (1 + 19 * place) % 20).into()).into(),
        ColumnKind::Integer => (number % 4).into(),
        ColumnKind::Time => (chrono::DateTime::UNIX_EPOCH + Duration::from_secs(number.into())).into(),
        ColumnKind::Boolean => number.is_multiple_of(2).into(),
    }
}

/// A list in one order, and where its pages begin at each of [`PLACES`].
struct Order {
    name: String,
    query: ListQuery,
    places: [Vec<Option<Cursor>>; 3],
    micros: [Histogram<u64>; 3],
}

async fn page(store: &Store, query: &ListQuery, after: Option<Cursor>, limit: u32) -> Result<Page, BenchError> {
    let query = ListQuery { after, limit, ..query.clone() };
    store.views.list(VIEW, &query).await.map_err(said)
}

/// Goes through the whole list once.
async fn order(store: &Store, sort: &str, direction: Direction, rows: u32) -> Result<Order, BenchError> {
    let query = ListQuery { sort: Some((sort.to_owned(), direction)), ..ListQuery::default() };
    let (mut cursors, mut after, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = page(store, &query, after, LIST_LIMIT_MAX).await?;
        seen += page.rows.len();
        after = page.next;
        let Some(cursor) = &after else { break };
        cursors.push(cursor.clone());
    }
    if seen != rows as usize {
        return Err(BenchError::Said(format!("{seen} rows by {sort} in place of {rows}")));
    }
    let mut last = cursors.last().cloned();
    while let Some(next) = page(store, &query, last.clone(), PAGE).await?.next {
        last = Some(next);
    }
    let from = (cursors.len() / 2).saturating_sub(MIDDLES / 2);
    let middles = cursors.into_iter().skip(from).take(MIDDLES).map(Some).collect();
    Ok(Order {
        name: format!("{sort} {direction:?}").to_lowercase(),
        query,
        places: [vec![None], middles, vec![last]],
        micros: [histogram(), histogram(), histogram()],
    })
}

impl Order {
    /// Reads the pages of each place so often, place by place in turn.
    async fn read(&mut self, store: &Store, times: usize) -> Result<(), BenchError> {
        for turn in 0..times {
            for (cursors, micros) in self.places.iter().zip(&mut self.micros) {
                let after = cursors[turn % cursors.len()].clone();
                let begun = Instant::now();
                let page = page(store, &self.query, after, PAGE).await?;
                micros.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                if page.rows.is_empty() {
                    return Err(BenchError::Said(format!("{}: an empty page", self.name)));
                }
            }
        }
        Ok(())
    }

    fn millis(&self, place: usize, quantile: f64) -> f64 {
        self.micros[place].value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// The orders of the list; for each quantile the slowest of them counts.
async fn measured(bench: &Bench, store: &Store, engine: &str, rows: u32) -> Result<Vec<Row>, BenchError> {
    let mut orders = Vec::new();
    for sort in view()?.collection().sorts.iter().map(|sort| sort.column) {
        for direction in [Direction::Ascending, Direction::Descending] {
            orders.push(order(store, sort, direction, rows).await?);
        }
    }
    let times = if bench.is_short() { 100 } else { 1_000 };
    let mut rounds: [Vec<[f64; 2]>; 3] = Default::default();
    for _ in 0..bench.rounds().min(3) {
        for order in &mut orders {
            order.micros.iter_mut().for_each(Histogram::reset);
            order.read(store, times).await?;
        }
        for (place, rounds) in rounds.iter_mut().enumerate() {
            let slowest = |quantile| orders.iter().map(|order| order.millis(place, quantile)).fold(0.0, f64::max);
            rounds.push([slowest(0.5), slowest(0.99)]);
        }
    }
    let figure = |place: usize, what: &str| {
        let place = PLACES[place];
        format!("{place} page of {PAGE} of {rows} {VIEW}, {what} of the slowest of {} orders, {engine}", orders.len())
    };
    let limit = P99_MAX.as_secs_f64() * 1_000.0;
    let mut lines = Vec::new();
    for (place, measured) in rounds.iter().enumerate() {
        let p99 = measured.iter().map(|[_, p99]| (*p99, limit)).collect();
        lines.push(Row::new(16, figure(place, "p99"), "ms", Goal::AtMost(1.0), "10 ms", p99).so_far(BUSY));
    }
    for place in 1..PLACES.len() {
        let p50 = rounds[place].iter().zip(&rounds[0]).map(|([p50, _], [first, _])| (*p50, *first)).collect();
        lines.push(Row::new(16, figure(place, "p50"), "ms", Goal::AtMost(2.0), "the first page", p50));
    }
    Ok(lines)
}
