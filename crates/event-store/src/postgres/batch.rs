//! Storing a batch of appends in one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row as _};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::log::envelopes;
use super::notices::Notices;
use super::primary::{self, Primary};
use crate::clock;
use crate::log::group_commit::{BatchWriter, Outcomes, Written};
use crate::log::known::{Known, commands, conflicts, recall, streams};
use crate::log::plan::{Before, Plan, plan};
use crate::log::row::{
    COLUMNS, COMMAND_COLUMNS, CommandRow, actor_text, event_count, known_commands, natural, refusal_text, signed,
};
use crate::log::{Append, Appended, KnownCommand, LogError, event_id};

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
///
/// A recalled answer is as durable as a first one: it may have been stored by a
/// connection that ended while it waited for the synchronous standby, so it is
/// given only after something younger has been committed here (docs/adr/0021).
pub struct PostgresWriter {
    primary: Arc<Primary>,
    connection: Option<PgConnection>,
    notices: Notices,
    // How long an answer is waited for before the connection is given up.
    answer_within: Duration,
    known: Option<Known>,
    // Batches for which the head is locked first.
    wary: u32,
    // Where the last batch that was acknowledged on this connection left the head.
    acknowledged: u64,
    incarnation: u64,
    // Where this process left the head.
    written: watch::Sender<u64>,
}

/// A write that changes nothing: when it is acknowledged, so is everything before it.
const TOUCH: &str = "UPDATE log_head SET position = position WHERE partition = 0";

impl PostgresWriter {
    /// Writes over a connection of its own, made when it is needed, and tells in `written` how far it has come.
    pub fn new(primary: Arc<Primary>, answer_within: Duration, written: watch::Sender<u64>) -> Self {
        let incarnation = *primary.incarnation().borrow();
        let notices = Notices::listen();
        Self {
            primary,
            connection: None,
            notices,
            answer_within,
            known: None,
            wary: 0,
            acknowledged: 0,
            incarnation,
            written,
        }
    }

    /// The connection; a new one where there is none, or where the log went back since it was made.
    async fn connect(&mut self) -> Result<&mut PgConnection, LogError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.acknowledged = 0;
                self.primary.connect().await.map_err(LogError::database("connecting"))?
            }
        };
        let connection = self.connection.insert(connection);
        let incarnation = *self.primary.incarnation().borrow();
        if std::mem::replace(&mut self.incarnation, incarnation) != incarnation {
            self.known = None;
            return Err(LogError::WentBack);
        }
        Ok(connection)
    }

    async fn write_either_way(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        self.connect().await?;
        match self.write_known(appends).await? {
            Some(written) => Ok(written),
            None => self.write_locked(appends).await,
        }
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
            if rests_on_others(&written.outcomes, written.head) {
                let touched = sqlx::query(TOUCH).execute(connection).await;
                touched.map_err(LogError::database("making recalled answers durable"))?;
            }
        }
        self.acknowledged = written.head;
        self.known = Some(known);
        Ok(Some(written))
    }

    /// Locks the head, reads what the batch depends on, stores it.
    async fn write_locked(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        let acknowledged = self.acknowledged;
        let connection = self.connect().await?;
        let mut transaction = connection.begin().await.map_err(LogError::database("beginning a batch"))?;
        let before = load(&mut transaction, appends).await?;
        let position = before.position;
        let plan = plan(before, appends, clock::now(), event_id::new);
        if plan.commands.is_empty() && rests_on_others(&plan.outcomes, acknowledged) {
            let touched = sqlx::query(TOUCH).execute(&mut *transaction).await;
            touched.map_err(LogError::database("making recalled answers durable"))?;
            transaction.commit().await.map_err(LogError::database("committing recalled answers"))?;
        } else if plan.commands.is_empty() {
            transaction.rollback().await.map_err(LogError::database("ending an empty batch"))?;
        } else {
            store(&mut transaction, &plan, position).await.map_err(LogError::database("storing a batch"))?;
            transaction.commit().await.map_err(LogError::database("committing a batch"))?;
        }
        self.wary = self.wary.saturating_sub(1);
        let stored = !plan.commands.is_empty();
        let (known, written) = Known::after(plan);
        if stored {
            self.acknowledged = written.head;
        }
        self.known = Some(known);
        Ok(written)
    }
}

#[async_trait]
impl BatchWriter for PostgresWriter {
    async fn write(&mut self, appends: &[Append]) -> Result<Written, LogError> {
        let (notices, max) = (self.notices.clone(), self.answer_within);
        let written = heard(&notices, max, "storing a batch", self.write_either_way(appends)).await?;
        if let Some(last) = written.events.last() {
            self.primary.saw(self.incarnation, last.position, last.event_id);
        }
        self.written.send_if_modified(|head| std::mem::replace(head, written.head) != written.head);
        Ok(written)
    }

    async fn probe(&mut self) -> Result<(), LogError> {
        let (notices, max) = (self.notices.clone(), self.answer_within);
        let touching = async {
            let touched = sqlx::query(TOUCH).execute(self.connect().await?).await;
            touched.map_err(LogError::database("trying to write")).map(drop)
        };
        heard(&notices, max, "trying to write", touching).await
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
            primary::close(connection).await;
        }
    }
}

/// Waits for what is written, within the time limit; an error where the server warned meanwhile.
async fn heard<T>(
    notices: &Notices,
    max: Duration,
    doing: &'static str,
    writing: impl Future<Output = Result<T, LogError>> + Send,
) -> Result<T, LogError> {
    let (result, warned) = notices.during(timeout(max, writing)).await;
    let done = result.unwrap_or_else(|_| Err(LogError::database(doing)(primary::silent(max))))?;
    if warned {
        // Perhaps the wait for a standby was cancelled: committed here, and perhaps nowhere else.
        return Err(LogError::database(doing)(sqlx::Error::Io(std::io::Error::other("the server warned"))));
    }
    Ok(done)
}

/// Whether an answer is recalled that may be younger than this connection's last acknowledged
/// batch, which left the head at `acknowledged`: whether a standby has it is not known then.
/// A command without events stands at the head like the one before it, so `>` would not do.
fn rests_on_others(outcomes: &Outcomes, acknowledged: u64) -> bool {
    let repeated = |outcome: &Result<Appended, _>| match outcome {
        Ok(Appended::Repeated(receipt)) => receipt.position >= acknowledged,
        _ => false,
    };
    outcomes.iter().any(repeated)
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
