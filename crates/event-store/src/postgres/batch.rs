//! Storing a batch of appends in one transaction.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use crate::clock;
use crate::log::group_commit::{BatchWriter, Outcomes};
use crate::log::plan::{Before, Plan, plan};
use crate::log::row::{actor_text, known_command, natural, receipt_text, signed};
use crate::log::{Append, KnownCommand, LogError};

/// The channel on which other processes hear that the head moved.
pub const HEAD_CHANNEL: &str = "anamnesis_head";

/// Events, commands and head in one statement: all or none, one round trip.
const STORE: &str = "WITH stored AS (
    INSERT INTO events (position, stream_type, stream_id, version, event_id, event_type, schema_version, payload,
        occurred_at, recorded_at, actor, command_id, correlation_id, causation_id, trace_context,
        trial_id, site_id, patient_id)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::smallint[],
        $8::bytea[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::uuid[], $13::uuid[], $14::uuid[],
        $15::text[], $16::uuid[], $17::uuid[], $18::uuid[])
), taken AS (
    INSERT INTO commands (command_id, fingerprint, receipt)
    SELECT * FROM unnest($19::uuid[], $20::bytea[], $21::text[])
)
UPDATE log_head SET position = $22, recorded_at = $23 WHERE partition = 0
RETURNING pg_notify($24, $22::text)";

/// The one connection that writes to the log.
pub struct PostgresWriter {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl PostgresWriter {
    /// Writes over a connection of its own, made when it is needed.
    pub const fn new(options: PgConnectOptions) -> Self {
        Self { options, connection: None }
    }
}

#[async_trait]
impl BatchWriter for PostgresWriter {
    async fn write(&mut self, appends: &[Append]) -> Result<(Outcomes, u64), LogError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connection = self.options.connect().await.map_err(LogError::database("connecting"))?;
                empty.insert(connection)
            }
        };
        let mut transaction = connection.begin().await.map_err(LogError::database("beginning a batch"))?;
        let before = load(&mut transaction, appends).await?;
        let plan = plan(before, appends, clock::now(), Uuid::now_v7);
        if plan.commands.is_empty() {
            transaction.rollback().await.map_err(LogError::database("ending an empty batch"))?;
        } else {
            store(&mut transaction, &plan).await.map_err(LogError::database("storing a batch"))?;
            transaction.commit().await.map_err(LogError::database("committing a batch"))?;
        }
        Ok((plan.outcomes, plan.position))
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
        versions: load_versions(connection, appends).await?,
        commands: load_commands(connection, appends).await?,
    })
}

async fn load_versions(connection: &mut PgConnection, appends: &[Append]) -> Result<HashMap<StreamId, u64>, LogError> {
    let written = appends.iter().flat_map(|append| append.writes.iter().map(|write| write.stream));
    let guarded = appends.iter().flat_map(|append| append.guards.iter().map(|guard| guard.stream));
    let streams: Vec<StreamId> = written.chain(guarded).collect::<HashSet<_>>().into_iter().collect();
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
        if let Some(version) = version {
            versions.insert(StreamId::new(kind, id), natural(version)?);
        }
    }
    Ok(versions)
}

async fn load_commands(
    connection: &mut PgConnection,
    appends: &[Append],
) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
    let ids: Vec<Uuid> = appends.iter().map(|append| append.command_id).collect();
    let rows: Vec<(Uuid, Vec<u8>, String)> =
        sqlx::query_as("SELECT command_id, fingerprint, receipt FROM commands WHERE command_id = ANY($1)")
            .bind(ids)
            .fetch_all(connection)
            .await
            .map_err(LogError::database("reading known commands"))?;
    rows.into_iter().map(|(id, fingerprint, receipt)| Ok((id, known_command(&fingerprint, &receipt)?))).collect()
}

async fn store(connection: &mut PgConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    fn column<T>(plan: &Plan, value: impl Fn(&Envelope) -> T) -> Vec<T> {
        plan.events.iter().map(value).collect()
    }
    sqlx::query(STORE)
        .bind(column(plan, |event| signed(event.position)))
        .bind(column(plan, |event| event.stream.kind.as_str().to_owned()))
        .bind(column(plan, |event| event.stream.id))
        .bind(column(plan, |event| signed(event.version)))
        .bind(column(plan, |event| event.event_id))
        .bind(column(plan, |event| event.event_type.clone()))
        .bind(column(plan, |event| event.schema_version.cast_signed()))
        .bind(column(plan, |event| event.payload.to_vec()))
        .bind(column(plan, |event| event.occurred_at))
        .bind(column(plan, |event| event.recorded_at))
        .bind(column(plan, |event| actor_text(&event.actor)))
        .bind(column(plan, |event| event.command_id))
        .bind(column(plan, |event| event.correlation_id))
        .bind(column(plan, |event| event.causation_id))
        .bind(column(plan, |event| event.trace_context.clone()))
        .bind(column(plan, |event| event.references.trial_id.map(Uuid::from)))
        .bind(column(plan, |event| event.references.site_id.map(Uuid::from)))
        .bind(column(plan, |event| event.references.patient_id.map(Uuid::from)))
        .bind(plan.commands.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(plan.commands.iter().map(|(_, command)| command.fingerprint.to_vec()).collect::<Vec<_>>())
        .bind(plan.commands.iter().map(|(_, command)| receipt_text(&command.receipt)).collect::<Vec<_>>())
        .bind(signed(plan.position))
        .bind(plan.recorded_at)
        .bind(HEAD_CHANNEL)
        .execute(connection)
        .await
        .map(drop)
}
