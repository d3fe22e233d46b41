//! Storing a batch of appends in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Sqlite};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::log::{from_micros, to_micros};
use crate::clock;
use crate::log::group_commit::{BatchWriter, Outcomes};
use crate::log::known::{Known, commands, conflicts, recall, streams};
use crate::log::plan::{Before, Plan, plan};
use crate::log::row::{COLUMNS, actor_text, known_command, natural, receipt_text, signed};
use crate::log::{Append, KnownCommand, LogError};

/// Rows of one statement, largest first: few statements, and all of them stay prepared.
const ROWS_PER_STATEMENT: [usize; 4] = [64, 16, 4, 1];

/// The one connection of this process that writes to the log.
///
/// As long as no other process writes, it knows the head and the versions of
/// the streams that it wrote.
pub struct SqliteWriter {
    options: SqliteConnectOptions,
    turn: Arc<Mutex<()>>,
    connection: Option<SqliteConnection>,
    known: Option<Known>,
}

impl SqliteWriter {
    /// Writes over a connection of its own, made when it is needed.
    pub const fn new(options: SqliteConnectOptions, turn: Arc<Mutex<()>>) -> Self {
        Self { options, turn, connection: None, known: None }
    }

    /// Stores the batch; `None` where a command of it turns out to have been
    /// taken before: then nothing is stored.
    async fn try_write(&mut self, appends: &[Append]) -> Result<Option<(Outcomes, u64)>, LogError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connection = self.options.connect().await.map_err(LogError::database("opening the file"))?;
                empty.insert(connection)
            }
        };
        let _turn = self.turn.lock().await;
        let begun = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(LogError::database("beginning a batch"))?;
        let (position, recorded_at) = head(&mut transaction).await?;
        let known = self.known.take().filter(|known| known.position == position);
        let is_known = known.is_some();
        let before = match known {
            Some(known) => {
                let missing = known.missing(appends);
                known.before(load_versions(&mut transaction, &missing).await?)
            }
            None => {
                let streams: Vec<StreamId> = streams(appends).into_iter().collect();
                let versions = load_versions(&mut transaction, &streams).await?;
                let commands = load_commands(&mut transaction, &commands(appends)).await?;
                Before { position, recorded_at, versions, commands }
            }
        };
        let plan = plan(before, appends, clock::now(), Uuid::now_v7);
        if plan.commands.is_empty() {
            transaction.rollback().await.map_err(LogError::database("ending an empty batch"))?;
        } else {
            match store(&mut transaction, &plan).await {
                Ok(()) => transaction.commit().await.map_err(LogError::database("committing a batch"))?,
                Err(sqlx::Error::Database(error)) if is_known && error.is_unique_violation() => {
                    transaction.rollback().await.map_err(LogError::database("giving a batch up"))?;
                    return Ok(None);
                }
                Err(error) => return Err(LogError::database("storing a batch")(error)),
            }
        }
        let (known, mut outcomes) = Known::after(plan);
        let refused = if is_known { conflicts(appends, &outcomes) } else { Vec::new() };
        if !refused.is_empty() {
            recall(appends, &mut outcomes, &load_commands(connection, &refused).await?);
        }
        let position = known.position;
        self.known = Some(known);
        Ok(Some((outcomes, position)))
    }
}

#[async_trait]
impl BatchWriter for SqliteWriter {
    async fn write(&mut self, appends: &[Append]) -> Result<(Outcomes, u64), LogError> {
        if let Some(written) = self.try_write(appends).await? {
            return Ok(written);
        }
        // Nothing is known any more: this time commands are looked up first.
        match self.try_write(appends).await? {
            Some(written) => Ok(written),
            None => Err(LogError::BatchFailed),
        }
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
        if let Some(connection) = self.connection.take() {
            // A transaction that was open is rolled back with it.
            drop(connection.close().await);
        }
    }
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

async fn load_commands(
    connection: &mut SqliteConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
    let mut known = HashMap::new();
    for chunk in chunks(ids) {
        let wanted = values(1, chunk.len());
        let sql = format!("SELECT command_id, fingerprint, receipt FROM commands WHERE command_id IN {wanted}");
        let mut query = sqlx::query_as::<_, (Uuid, Vec<u8>, String)>(AssertSqlSafe(sql));
        for id in chunk {
            query = query.bind(*id);
        }
        let rows = query.fetch_all(&mut *connection).await.map_err(LogError::database("reading known commands"))?;
        for (id, fingerprint, receipt) in rows {
            known.insert(id, known_command(&fingerprint, &receipt)?);
        }
    }
    Ok(known)
}

type Query<'query> = sqlx::query::Query<'query, Sqlite, SqliteArguments>;

async fn store(connection: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    for chunk in chunks(&plan.events) {
        let sql = format!("INSERT INTO events ({COLUMNS}) VALUES {}", values(chunk.len(), 18));
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), bind_event);
        query.execute(&mut *connection).await?;
    }
    for chunk in chunks(&plan.commands) {
        let sql = format!("INSERT INTO commands (command_id, fingerprint, receipt) VALUES {}", values(chunk.len(), 3));
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, (id, command)| {
            query.bind(*id).bind(command.fingerprint.to_vec()).bind(receipt_text(&command.receipt))
        });
        query.execute(&mut *connection).await?;
    }
    sqlx::query("UPDATE log_head SET position = $1, recorded_at = $2 WHERE partition = 0")
        .bind(signed(plan.position))
        .bind(to_micros(plan.recorded_at))
        .execute(connection)
        .await
        .map(drop)
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

/// Cuts rows into pieces of the sizes for which statements are prepared.
fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = ROWS_PER_STATEMENT.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

/// `(?, ?), (?, ?)` for two rows of two columns.
fn values(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}
