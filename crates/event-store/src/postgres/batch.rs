//! Storing a batch of appends in one transaction.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio::sync::watch;
use uuid::Uuid;

use super::log::envelopes;
use crate::clock;
use crate::log::group_commit::{BatchWriter, Written};
use crate::log::known::{Known, commands, conflicts, recall, streams};
use crate::log::plan::{Before, Plan, plan};
use crate::log::row::{
    COLUMNS, COMMAND_COLUMNS, CommandRow, actor_text, event_count, known_commands, natural, refusal_text, signed,
};
use crate::log::{Append, KnownCommand, LogError, event_id};

/// Head, events and commands in one statement: all or none, one round trip.
/// Nothing is stored unless the head still stands at `$24`; a row comes back if it did.
/// One `unnest` of all arrays would keep each of them in a store of its own first.
const STORE: &str = "WITH head AS (
    UPDATE log_head SET position = $22, recorded_at = $23 WHERE partition = 0 AND position = $24 RETURNING position
), stored AS (
    INSERT INTO events (position, stream_type, stream_id, version, event_id, event_type, schema_version, payload,
        occurred_at, recorded_at, actor, command_id, correlation_id, causation_id, trace_context,
        trial_id, site_id, patient_id)
    SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::uuid[]),
        unnest($6::text[]), unnest($7::smallint[]), unnest($8::bytea[]), unnest($9::timestamptz[]), $23,
        unnest($10::text[]), unnest($11::uuid[]), unnest($12::uuid[]), unnest($13::uuid[]), unnest($14::text[]),
        unnest($15::uuid[]), unnest($16::uuid[]), unnest($17::uuid[])
    WHERE EXISTS (SELECT FROM head)
), taken AS (
    INSERT INTO commands (command_id, fingerprint, position, recorded_at, event_count, refusal)
    SELECT unnest($18::uuid[]), unnest($19::bytea[]), unnest($20::bigint[]), $23, unnest($21::smallint[]),
        unnest($25::text[])
    WHERE EXISTS (SELECT FROM head)
)
SELECT position FROM head";

/// Batches that lock the head first after another process was met there.
const WARY_BATCHES: u32 = 16;

/// Batches that lock the head first after something was met that is there already: what is sent again comes in rows.
const REPEATED_BATCHES: u32 = 4;

/// The one connection of this process that writes to the log.
///
/// As long as no other process writes, this one knows the head and the
/// versions of the streams that it wrote, and a batch is one statement: it is
/// planned on what is known and stored only if the head still stands there.
/// Otherwise the head is locked first and everything is read under the lock.
pub struct PostgresWriter {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    known: Option<Known>,
    // Batches for which the head is locked first.
    wary: u32,
    // Where this process left the head.
    written: watch::Sender<u64>,
}

impl PostgresWriter {
    /// Writes over a connection of its own, made when it is needed, and tells in `written` how far it has come.
    pub const fn new(options: PgConnectOptions, written: watch::Sender<u64>) -> Self {
        Self { options, connection: None, known: None, wary: 0, written }
    }

    /// Stores the batch on what is known; `None` where that was not so, and nothing is stored.
    async fn write_known(&mut self, appends: &[Append]) -> Result<Option<Written>, LogError> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        let Some(known) = self.known.take().filter(|_| self.wary == 0) else { return Ok(None) };
        let (position, missing) = (known.position, known.missing(appends));
        // If the head stands where it is known to when the batch is stored, it did so when these were read.
        let read = if missing.is_empty() { HashMap::new() } else { load_versions(connection, missing).await? };
        let plan = plan(known.before(read), appends, clock::now(), event_id::new);
        if plan.commands.is_empty() {
            // Refused on what may be old.
            return Ok(None);
        }
        match store(connection, &plan, position).await {
            Ok(true) => {}
            Ok(false) => {
                self.wary = WARY_BATCHES;
                return Ok(None);
            }
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                self.wary = REPEATED_BATCHES;
                return Ok(None);
            }
            Err(error) => return Err(LogError::database("storing a batch")(error)),
        }
        let (known, mut written) = Known::after(plan);
        let refused = conflicts(appends, &written.outcomes);
        if !refused.is_empty() {
            recall(appends, &mut written.outcomes, &load_commands(connection, refused).await?);
        }
        self.known = Some(known);
        Ok(Some(written))
    }

    /// Locks the head, reads what the batch depends on, stores it.
    async fn write_locked(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connection = self.options.connect().await.map_err(LogError::database("connecting"))?;
                empty.insert(connection)
            }
        };
        let mut transaction = connection.begin().await.map_err(LogError::database("beginning a batch"))?;
        let before = load(&mut transaction, appends).await?;
        let position = before.position;
        let plan = plan(before, appends, clock::now(), event_id::new);
        if plan.commands.is_empty() {
            transaction.rollback().await.map_err(LogError::database("ending an empty batch"))?;
        } else {
            store(&mut transaction, &plan, position).await.map_err(LogError::database("storing a batch"))?;
            transaction.commit().await.map_err(LogError::database("committing a batch"))?;
        }
        self.wary = self.wary.saturating_sub(1);
        let (known, written) = Known::after(plan);
        self.known = Some(known);
        Ok(written)
    }
}

#[async_trait]
impl BatchWriter for PostgresWriter {
    async fn write(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        let written = match self.write_known(appends).await? {
            Some(written) => written,
            None => self.write_locked(appends).await?,
        };
        self.written.send_if_modified(|head| std::mem::replace(head, written.head) != written.head);
        Ok(written)
    }

    fn is_transient(&self, error: &LogError) -> bool {
        let LogError::Database { source, .. } = error else { return false };
        match source {
            // 08: connection; 40: rolled back; 53: resources; 55P03: lock not available;
            // 57: operator intervention; 25P03: stopped for too long inside the transaction;
            // 25006: read-only during a fail-over; 58: system error.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["08", "40", "53", "57", "58"].contains(&&code[..2]) || ["55P03", "25P03", "25006"].contains(&&*code)
            }),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
            _ => false,
        }
    }

    async fn close(&mut self) {
        // What became of the last batch may be unknown.
        self.known = None;
        if let Some(connection) = self.connection.take() {
            // It may be broken already; the server ends its transaction either way.
            drop(connection.close_hard().await);
        }
    }
}

/// Locks the head, then reads what the batch depends on.
///
/// The lock comes first and in a statement of its own: at READ COMMITTED each
/// statement sees what was committed before *it* began, so only statements
/// after the lock are sure to see the batch that held it before.
async fn load(connection: &mut PgConnection, appends: &[Append]) -> Result<Before, LogError> {
    let head: (i64, DateTime<Utc>) =
        sqlx::query_as("SELECT position, recorded_at FROM log_head WHERE partition = 0 FOR UPDATE")
            .fetch_one(&mut *connection)
            .await
            .map_err(LogError::database("locking the head"))?;
    Ok(Before {
        position: natural(head.0)?,
        recorded_at: head.1,
        versions: load_versions(connection, streams(appends).into_iter().collect()).await?,
        commands: load_commands(connection, commands(appends)).await?,
    })
}

/// The streams' versions; 0 where one does not exist.
async fn load_versions(
    connection: &mut PgConnection,
    streams: Vec<StreamId>,
) -> Result<HashMap<StreamId, u64>, LogError> {
    let rows: Vec<(String, Uuid, Option<i64>)> = sqlx::query_as(
        "SELECT wanted.type, wanted.id, (
             SELECT version FROM events WHERE stream_id = wanted.id AND stream_type = wanted.type
             ORDER BY version DESC LIMIT 1)
         FROM unnest($1::text[], $2::uuid[]) AS wanted(type, id)",
    )
    .bind(streams.iter().map(|stream| stream.kind.as_str()).collect::<Vec<_>>())
    .bind(streams.iter().map(|stream| stream.id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(LogError::database("reading stream versions"))?;
    let mut versions = HashMap::with_capacity(rows.len());
    for (kind, id, version) in rows {
        let kind = kind.parse().map_err(|_| LogError::Corrupt { what: format!("stream type {kind}") })?;
        versions.insert(StreamId::new(kind, id), version.map_or(Ok(0), natural)?);
    }
    Ok(versions)
}

/// The commands of these that were taken before.
///
/// Their events are read by position in a statement of their own, not joined: a
/// plan for a join may look through all events. Neither is ever changed.
pub async fn load_commands(
    connection: &mut PgConnection,
    ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
    let sql = format!("SELECT {COMMAND_COLUMNS} FROM commands WHERE command_id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(&mut *connection).await;
    let rows = rows.map_err(LogError::database("reading known commands"))?;
    let rows: Result<Vec<CommandRow>, sqlx::Error> = rows.iter().map(command_row).collect();
    let rows = rows.map_err(LogError::database("reading a command's row"))?;
    let positions: Vec<i64> = rows.iter().flat_map(CommandRow::positions).collect();
    let events = if positions.is_empty() { Vec::new() } else { load_events(connection, positions).await? };
    known_commands(rows, &events)
}

fn command_row(row: &PgRow) -> Result<CommandRow, sqlx::Error> {
    Ok(CommandRow {
        command_id: row.try_get(0)?,
        fingerprint: row.try_get(1)?,
        position: row.try_get(2)?,
        recorded_at: row.try_get(3)?,
        event_count: row.try_get::<i16, _>(4)?.into(),
        refusal: row.try_get(5)?,
    })
}

/// The events at these positions.
async fn load_events(connection: &mut PgConnection, positions: Vec<i64>) -> Result<Vec<Envelope>, LogError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE position = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(positions).fetch_all(connection).await;
    envelopes(rows, "reading the events of known commands")
}

/// Stores the plan if the head stands at `position`; tells whether it did.
async fn store(connection: &mut PgConnection, plan: &Plan, position: u64) -> Result<bool, sqlx::Error> {
    fn column<'plan, T>(plan: &'plan Plan, value: impl Fn(&'plan Envelope) -> T) -> Vec<T> {
        plan.events.iter().map(value).collect()
    }
    sqlx::query(STORE)
        .bind(column(plan, |event| signed(event.position)))
        .bind(column(plan, |event| event.stream.kind.as_str()))
        .bind(column(plan, |event| event.stream.id))
        .bind(column(plan, |event| signed(event.version)))
        .bind(column(plan, |event| event.event_id))
        .bind(column(plan, |event| event.event_type.as_str()))
        .bind(column(plan, |event| event.schema_version.cast_signed()))
        .bind(column(plan, |event| &event.payload[..]))
        .bind(column(plan, |event| event.occurred_at))
        .bind(column(plan, |event| actor_text(&event.actor)))
        .bind(column(plan, |event| event.command_id))
        .bind(column(plan, |event| event.correlation_id))
        .bind(column(plan, |event| event.causation_id))
        .bind(column(plan, |event| event.trace_context.as_deref()))
        .bind(column(plan, |event| event.references.trial_id.map(Uuid::from)))
        .bind(column(plan, |event| event.references.site_id.map(Uuid::from)))
        .bind(column(plan, |event| event.references.patient_id.map(Uuid::from)))
        .bind(plan.commands.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(plan.commands.iter().map(|(_, command)| &command.fingerprint[..]).collect::<Vec<_>>())
        .bind(plan.commands.iter().map(|(_, command)| signed(command.receipt.position)).collect::<Vec<_>>())
        .bind(plan.commands.iter().map(|(_, command)| event_count(&command.receipt)).collect::<Vec<_>>())
        .bind(signed(plan.position))
        .bind(plan.recorded_at)
        .bind(signed(position))
        .bind(plan.commands.iter().map(|(_, command)| refusal_text(&command.receipt)).collect::<Vec<_>>())
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
}
