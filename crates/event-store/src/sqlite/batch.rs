//! Storing a batch of appends in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite};
use uuid::Uuid;

use super::log::{envelopes, from_micros, to_micros};
use super::references;
use super::rows::{ROWS_MAX, chunks, padded, values};
use super::writer::{Turn, Writer};
use crate::clock;
use crate::log::group_commit::{BatchWriter, Written};
use crate::log::known::{Known, commands, conflicts, recall, streams};
use crate::log::plan::{Before, Plan, plan};
use crate::log::row::{
    COLUMNS, COMMAND_COLUMNS, CommandRow, actor_text, event_count, known_commands, natural, refusal_text, signed,
};
use crate::log::{Append, KnownCommand, LogError, event_id};

/// Writes the log's batches.
///
/// As long as no other process writes, it knows the head and the versions of
/// the streams that it wrote, and a batch is planned on that and stored only if
/// the head still stands there. Otherwise everything is read inside the
/// transaction, where nobody else writes.
pub struct SqliteWriter {
    write: Arc<Writer>,
    known: Option<Known>,
}

impl SqliteWriter {
    /// Writes over the process's one writing connection.
    pub const fn new(write: Arc<Writer>) -> Self {
        Self { write, known: None }
    }

    async fn turn(&self) -> Result<Turn<'_>, LogError> {
        self.write.whole_turn().await.map_err(LogError::database("opening the file"))
    }

    /// Stores the batch on what is known; `None` where that was not so, and nothing is stored.
    async fn write_known(&mut self, appends: &[Append]) -> Result<Option<Written>, LogError> {
        let Some(known) = self.known.take() else { return Ok(None) };
        let mut turn = self.turn().await?;
        let (position, missing) = (known.position, known.missing(appends));
        // If the head stands where it is known to when the batch is stored, it did so when these were read.
        let read = load_versions(&mut turn, &missing).await?;
        let plan = plan(known.before(read), appends, clock::now(), event_id::new);
        if plan.commands.is_empty() {
            // Refused on what may be old.
            turn.end();
            return Ok(None);
        }
        match store(&mut turn, BEGIN, &plan, position).await {
            Ok(()) => {}
            Err(sqlx::Error::Database(error)) if stands_already(&*error) || error.is_check_violation() => {
                roll_back(turn).await?;
                return Ok(None);
            }
            Err(error) => return Err(LogError::database("storing a batch")(error)),
        }
        let (known, mut written) = Known::after(plan);
        let refused = conflicts(appends, &written.outcomes);
        if !refused.is_empty() {
            recall(appends, &mut written.outcomes, &load_commands(&mut turn, &refused).await?);
        }
        turn.end();
        self.known = Some(known);
        Ok(Some(written))
    }

    /// Reads what the batch depends on where nobody else can write, stores it.
    async fn write_locked(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        let mut turn = self.turn().await?;
        sqlx::raw_sql(BEGIN).execute(&mut *turn).await.map_err(LogError::database("beginning a batch"))?;
        let (position, recorded_at) = head(&mut turn).await?;
        let streams: Vec<StreamId> = streams(appends).into_iter().collect();
        let versions = load_versions(&mut turn, &streams).await?;
        let commands = load_commands(&mut turn, &commands(appends)).await?;
        let before = Before { position, recorded_at, versions, commands };
        let plan = plan(before, appends, clock::now(), event_id::new);
        if plan.commands.is_empty() {
            roll_back(turn).await?;
        } else {
            store(&mut turn, "", &plan, position).await.map_err(LogError::database("storing a batch"))?;
            turn.end();
        }
        let (known, written) = Known::after(plan);
        self.known = Some(known);
        Ok(written)
    }
}

#[async_trait]
impl BatchWriter for SqliteWriter {
    async fn write(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        match self.write_known(appends).await? {
            Some(written) => Ok(written),
            None => self.write_locked(appends).await,
        }
    }

    async fn probe(&mut self) -> Result<(), LogError> {
        let mut turn = self.turn().await?;
        let probed = sqlx::raw_sql(PROBE).fetch_one(&mut *turn).await.map_err(unproved);
        probed.map_err(LogError::database("trying to write"))?;
        turn.end();
        self.write.room().map_err(|full| LogError::database("looking for room on the disk")(full.into()))
    }

    fn is_transient(&self, error: &LogError) -> bool {
        let LogError::Database { source, .. } = error else { return false };
        match source {
            // 5: busy; 6: locked; the low byte is the primary code.
            sqlx::Error::Database(error) => error
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| [5, 6].contains(&(code & 0xff))),
            sqlx::Error::WorkerCrashed => true,
            _ => false,
        }
    }

    async fn close(&mut self) {
        // What became of the last batch may be unknown.
        self.known = None;
        self.write.close().await;
    }
}

/// Begins a batch: nobody else writes until it ends.
const BEGIN: &str = "BEGIN IMMEDIATE;";

/// Ends the turn with nothing stored.
async fn roll_back(mut turn: Turn<'_>) -> Result<(), LogError> {
    sqlx::raw_sql("ROLLBACK").execute(&mut *turn).await.map_err(LogError::database("giving a batch up"))?;
    turn.end();
    Ok(())
}

/// The head's position and time.
async fn head(connection: &mut SqliteConnection) -> Result<(u64, DateTime<Utc>), LogError> {
    let head: (i64, i64) = sqlx::query_as("SELECT position, recorded_at FROM log_head WHERE partition = 0")
        .fetch_one(connection)
        .await
        .map_err(LogError::database("reading the head"))?;
    Ok((natural(head.0)?, from_micros(head.1)?))
}

/// The streams' versions; 0 where one does not exist.
async fn load_versions(
    connection: &mut SqliteConnection,
    streams: &[StreamId],
) -> Result<HashMap<StreamId, u64>, LogError> {
    let mut versions = HashMap::with_capacity(streams.len());
    for chunk in chunks(streams) {
        let wanted = values(chunk.len(), 2);
        let sql = format!(
            "WITH wanted(type, id) AS (VALUES {wanted})
             SELECT wanted.type, wanted.id, (
                 SELECT version FROM events WHERE stream_id = wanted.id AND stream_type = wanted.type
                 ORDER BY version DESC LIMIT 1)
             FROM wanted"
        );
        let mut query = sqlx::query_as::<_, (String, Uuid, Option<i64>)>(AssertSqlSafe(sql));
        for stream in chunk {
            query = query.bind(stream.kind.as_str()).bind(stream.id);
        }
        let rows = query.fetch_all(&mut *connection).await.map_err(LogError::database("reading stream versions"))?;
        for (kind, id, version) in rows {
            let kind = kind.parse().map_err(|_| LogError::Corrupt { what: format!("stream type {kind}") })?;
            versions.insert(StreamId::new(kind, id), version.map_or(Ok(0), natural)?);
        }
    }
    Ok(versions)
}

/// The commands of these that were taken before.
pub async fn load_commands(
    connection: &mut SqliteConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
    let mut found = Vec::new();
    for chunk in chunks(ids) {
        let wanted = values(1, chunk.len());
        let sql = format!("SELECT {COMMAND_COLUMNS} FROM commands WHERE command_id IN {wanted}");
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(*id));
        let rows = query.fetch_all(&mut *connection).await.map_err(LogError::database("reading known commands"))?;
        for row in &rows {
            found.push(command_row(row)?);
        }
    }
    let positions: Vec<i64> = found.iter().flat_map(CommandRow::positions).collect();
    let mut events = Vec::with_capacity(positions.len());
    for chunk in chunks(&positions) {
        let wanted = values(1, chunk.len());
        let sql = format!("SELECT {COLUMNS} FROM events WHERE position IN {wanted}");
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, position| query.bind(*position));
        let rows = query.fetch_all(&mut *connection).await;
        events.extend(envelopes(rows, "reading the events of known commands")?);
    }
    known_commands(found, &events)
}

fn command_row(row: &SqliteRow) -> Result<CommandRow, LogError> {
    let read =
        || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?));
    let (command_id, fingerprint, position, recorded_at, event_count, refusal) =
        read().map_err(LogError::database("reading a command's row"))?;
    Ok(CommandRow { command_id, fingerprint, position, recorded_at: from_micros(recorded_at)?, event_count, refusal })
}

/// How many columns a command has.
const COMMAND_WIDTH: usize = 6;

type Query<'query> = sqlx::query::Query<'query, Sqlite, SqliteArguments>;

/// Moves the head, or is refused by its CHECK where it does not stand as expected.
const MOVE_HEAD: &str = "
    UPDATE log_head SET position = iif(position = ?, ?, -1), recorded_at = ? WHERE partition = 0;";

/// Ends a batch. The row is the proof that it was committed: where SQLite's thread dies, sqlx takes the
/// end of the results for success.
const COMMIT: &str = "COMMIT; SELECT 1;";

/// Stores the plan after what `begin` says, and commits; refused where the head does not stand at `position`.
///
/// From begin to commit it goes in one piece to SQLite's thread as long as rows are few: handing
/// over costs more than a row.
async fn store(connection: &mut SqliteConnection, begin: &str, plan: &Plan, position: u64) -> Result<(), sqlx::Error> {
    let (mut events, mut commands) = (plan.events.chunks(ROWS_MAX), plan.commands.chunks(ROWS_MAX));
    let pieces = plan.events.len().max(plan.commands.len()).div_ceil(ROWS_MAX);
    let merge = references::are_due(position, plan.position);
    for piece in 1..=pieces {
        let (events, commands) = (events.next().unwrap_or_default(), commands.next().unwrap_or_default());
        let (event_rows, command_rows) = (padded(events.len()), padded(commands.len()));
        let mut sql = String::new();
        if piece == 1 {
            sql.push_str(begin);
            sql.push_str(MOVE_HEAD);
        }
        if !events.is_empty() {
            sql.push_str(&insert("events", COLUMNS, event_rows, 18));
        }
        if !commands.is_empty() {
            sql.push_str(&insert("commands", COMMAND_COLUMNS, command_rows, COMMAND_WIDTH));
        }
        let last = piece == pieces && !merge;
        if last {
            sql.push_str(COMMIT);
        }
        let mut query = sqlx::query(AssertSqlSafe(sql));
        if piece == 1 {
            query = query.bind(signed(position)).bind(signed(plan.position)).bind(to_micros(plan.recorded_at));
        }
        query = bind_nothing(events.iter().fold(query, bind_event), (event_rows - events.len()) * 18);
        for (id, command) in commands {
            query = query.bind(*id).bind(&command.fingerprint[..]).bind(signed(command.receipt.position));
            query = query.bind(to_micros(command.receipt.recorded_at)).bind(event_count(&command.receipt));
            query = query.bind(refusal_text(&command.receipt));
        }
        query = bind_nothing(query, (command_rows - commands.len()) * COMMAND_WIDTH);
        if last {
            query.fetch_one(&mut *connection).await.map_err(unproved)?;
        } else {
            query.execute(&mut *connection).await?;
        }
    }
    if merge {
        // Apart, so that no second set of statements is kept for the sake of one batch in thousands.
        let sql = format!("{}{COMMIT}", references::MERGE);
        sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await.map_err(unproved)?;
    }
    Ok(())
}

/// Writes a page although nothing changes: SQLite leaves out an UPDATE to what is there already.
const PROBE: &str = "BEGIN IMMEDIATE; PRAGMA user_version = 1; COMMIT; SELECT 1;";

fn unproved(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::RowNotFound => sqlx::Error::WorkerCrashed,
        error => error,
    }
}

/// Inserts rows; those without a first column only fill the statement up. `OR FAIL`: the whole
/// transaction is given up where a row is refused, so SQLite need not keep a journal for the statement.
fn insert(table: &str, columns: &str, rows: usize, width: usize) -> String {
    let values = values(rows, width);
    format!("INSERT OR FAIL INTO {table} ({columns}) SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL;")
}

fn bind_nothing(query: Query<'_>, count: usize) -> Query<'_> {
    (0..count).fold(query, |query, _| query.bind(None::<i64>))
}

fn bind_event<'query>(query: Query<'query>, event: &'query Envelope) -> Query<'query> {
    query
        .bind(signed(event.position))
        .bind(event.stream.kind.as_str())
        .bind(event.stream.id)
        .bind(signed(event.version))
        .bind(event.event_id)
        .bind(&event.event_type)
        .bind(i64::from(event.schema_version))
        .bind(&event.payload[..])
        .bind(to_micros(event.occurred_at))
        .bind(to_micros(event.recorded_at))
        .bind(actor_text(&event.actor))
        .bind(event.command_id)
        .bind(event.correlation_id)
        .bind(event.causation_id)
        .bind(event.trace_context.as_deref())
        .bind(event.references.trial_id.map(Uuid::from))
        .bind(event.references.site_id.map(Uuid::from))
        .bind(event.references.patient_id.map(Uuid::from))
}

/// Whether a row was refused because another one stands in its place: by a key, or by the trigger that keeps rows from
/// being replaced (`SQLITE_CONSTRAINT_TRIGGER`).
fn stands_already(error: &dyn DatabaseError) -> bool {
    error.is_unique_violation() || error.code().as_deref() == Some("1811")
}
