//! The log on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::envelope::Envelope;
use events::ids::StreamId;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::batch::{PostgresWriter, load_commands};
use super::primary::Primary;
use super::{Pool, head};
use crate::log::comparing::{Comparing, Grown, GrownRow, Seen, grown};
use crate::log::group_commit::GroupCommit;
use crate::log::row::{BEGIN_EPOCH, COLUMNS, EVENT_BY_ID, IDENTITY, PAYLOAD_COLUMN, Row, identity, natural, signed};
use crate::log::{
    Append, AppendError, Appended, Comparison, EventLog, KnownCommand, LogError, LogIdentity, Reference, Snapshot,
    event_id,
};
use crate::portion::Portion;

/// The log in a PostgreSQL database.
pub struct PostgresLog {
    pool: Pool,
    writer: GroupCommit,
    comparing: Comparing,
    head: watch::Receiver<u64>,
    incarnation: watch::Receiver<u64>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl PostgresLog {
    /// Opens the log of a migrated database. An append that finds the database
    /// away fails after `give_up_after`.
    /// A connection that does not answer within `answer_within` is replaced.
    pub fn open(primary: &Arc<Primary>, pool: Pool, give_up_after: Duration, answer_within: Duration) -> Self {
        let ((head, receiver), (written, announced)) = (watch::channel(0), watch::channel(0));
        let writer = PostgresWriter::new(primary.clone(), answer_within, written);
        let incarnation = primary.incarnation();
        let writer = GroupCommit::start(writer, head.clone(), incarnation.clone(), give_up_after);
        let watching = AbortOnDropHandle::new(tokio::spawn(head::watch(primary.clone(), pool.clone(), head)));
        let announcing = AbortOnDropHandle::new(tokio::spawn(head::announce(pool.clone(), announced)));
        Self {
            pool,
            writer,
            comparing: Comparing::default(),
            head: receiver,
            incarnation,
            _tasks: [watching, announcing],
        }
    }

    async fn grown(&self, seen: Vec<Seen>) -> Result<Grown, LogError> {
        let rows: Result<Vec<GrownRow>, _> = sqlx::query_as(
            "SELECT head.position, seen.id, seen.kind, seen.version FROM log_head AS head
             LEFT JOIN unnest($1::uuid[], $2::text[], $3::bigint[]) AS seen(id, kind, version) ON EXISTS (
                 SELECT FROM events
                 WHERE stream_id = seen.id AND stream_type = seen.kind AND events.version = seen.version + 1)
             WHERE head.partition = 0",
        )
        .bind(seen.iter().map(|(stream, _)| stream.id).collect::<Vec<_>>())
        .bind(seen.iter().map(|(stream, _)| stream.kind.as_str()).collect::<Vec<_>>())
        .bind(seen.iter().map(|(_, version)| signed(*version)).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await;
        grown(rows.map_err(LogError::database("comparing streams"))?)
    }

    async fn portion(
        &self,
        query: Query<'_, Postgres, PgArguments>,
        doing: &'static str,
    ) -> Result<Vec<Envelope>, LogError> {
        envelopes(self.pool.fetch_portion(query, PAYLOAD_COLUMN).await.map(|portion| portion.rows), doing)
    }
}

#[async_trait]
impl EventLog for PostgresLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.writer.append(append).await
    }

    async fn read_stream(&self, stream: StreamId, after_version: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE stream_id = $1 AND stream_type = $2 AND version > $3
             ORDER BY version LIMIT $4"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(stream.id).bind(stream.kind.as_str());
        self.portion(query.bind(signed(after_version)).bind(signed(limit as u64)), "reading a stream").await
    }

    async fn read_streams(
        &self,
        streams: &[StreamId],
        limit: usize,
    ) -> Result<HashMap<StreamId, Vec<Envelope>>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM unnest($1::uuid[], $2::text[]) AS wanted(id, kind)
             CROSS JOIN LATERAL (
                 SELECT {COLUMNS} FROM events WHERE stream_id = wanted.id AND stream_type = wanted.kind
                 ORDER BY version LIMIT $3) AS event"
        );
        // Each once, however often it is asked for.
        let mut read: HashMap<StreamId, Vec<Envelope>> = streams.iter().map(|stream| (*stream, Vec::new())).collect();
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(read.keys().map(|stream| stream.id).collect::<Vec<_>>())
            .bind(read.keys().map(|stream| stream.kind.as_str()).collect::<Vec<_>>());
        let portion = self.pool.fetch_portion(query.bind(signed(limit as u64)), PAYLOAD_COLUMN).await;
        let Portion { rows, is_whole } = portion.map_err(LogError::database("reading several streams"))?;
        if !is_whole {
            // Of which of them something is missing nobody can tell.
            for (stream, events) in &mut read {
                *events = self.read_stream(*stream, 0, limit).await?;
            }
            return Ok(read);
        }
        for event in envelopes(Ok(rows), "reading several streams")? {
            read.entry(event.stream).or_default().push(event);
        }
        // A join promises no order.
        read.values_mut().for_each(|events| events.sort_by_key(|event| event.version));
        Ok(read)
    }

    async fn compare(&self, seen: &[(StreamId, u64)]) -> Result<Comparison, LogError> {
        self.comparing.compare(seen, |seen| self.grown(seen)).await
    }

    async fn read_all(&self, after_position: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(signed(after_position)).bind(signed(limit as u64));
        self.portion(query, "reading the log").await
    }

    async fn follow(&self, after_position: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        match self.writer.newest(after_position, limit) {
            Some(events) => Ok(events),
            None => self.read_all(after_position, limit).await,
        }
    }

    fn batches_apart(&self) -> Duration {
        Duration::from_millis(5)
    }

    async fn read_reference(
        &self,
        reference: Reference,
        after_position: u64,
        to_position: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        let (column, id) = reference.column();
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE {column} = $1 AND position > $2 AND position <= $3
             ORDER BY position LIMIT $4"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(signed(after_position)).bind(signed(to_position));
        self.portion(query.bind(signed(limit as u64)), "reading by reference").await
    }

    async fn read_reference_back(
        &self,
        reference: Reference,
        before_position: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        let (column, id) = reference.column();
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE {column} = $1 AND position < $2 ORDER BY position DESC LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(signed(before_position)).bind(signed(limit as u64));
        self.portion(query, "reading back by reference").await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        let row = sqlx::query_as(IDENTITY).fetch_one(&self.pool).await;
        identity(row.map_err(LogError::database("reading the log's identity"))?)
    }

    async fn begin_epoch(&self, epoch: u64) -> Result<LogIdentity, LogError> {
        let began = sqlx::query(BEGIN_EPOCH).bind(signed(epoch)).execute(&self.pool).await;
        began.map_err(LogError::database("beginning an epoch"))?;
        self.identity().await
    }

    async fn find_event(&self, id: Uuid) -> Result<Option<Envelope>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE {EVENT_BY_ID}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(signed(event_id::position(id)));
        let row = query.fetch_optional(&self.pool).await;
        row.map_err(LogError::database("finding an event"))?.map(envelope).transpose()
    }

    async fn head(&self) -> Result<u64, LogError> {
        head::read(&self.pool).await
    }

    async fn find_commands(&self, command_ids: &[Uuid]) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
        let mut held = self.pool.hold().await.map_err(LogError::database("finding commands"))?;
        let found = load_commands(&mut held, command_ids.to_vec()).await;
        held.give_back();
        found
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.writer.ready().await
    }

    async fn stopped(&self) {
        self.writer.stopped().await;
    }

    fn incarnation(&self) -> watch::Receiver<u64> {
        let mut incarnation = self.incarnation.clone();
        // What changed before it was asked for is no news.
        incarnation.mark_unchanged();
        incarnation
    }

    fn watch_head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    async fn load_snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>, LogError> {
        let row: Option<(i64, i16, Vec<u8>)> = sqlx::query_as(
            "SELECT version, state_version, state FROM snapshots WHERE stream_id = $1 AND stream_type = $2",
        )
        .bind(stream.id)
        .bind(stream.kind.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(LogError::database("loading a snapshot"))?;
        row.map(|(version, state_version, state)| {
            Ok(Snapshot {
                stream,
                version: natural(version)?,
                state_version: state_version.cast_unsigned(),
                state: state.into(),
            })
        })
        .transpose()
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), LogError> {
        sqlx::query(
            "INSERT INTO snapshots (stream_type, stream_id, version, state_version, state) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (stream_id, stream_type) DO UPDATE
             SET version = excluded.version, state_version = excluded.state_version, state = excluded.state
             WHERE (excluded.state_version, excluded.version) > (snapshots.state_version, snapshots.version)",
        )
        .bind(snapshot.stream.kind.as_str())
        .bind(snapshot.stream.id)
        .bind(signed(snapshot.version))
        .bind(snapshot.state_version.cast_signed())
        .bind(snapshot.state.to_vec())
        .execute(&self.pool)
        .await
        .map_err(LogError::database("saving a snapshot"))
        .map(drop)
    }

    async fn delete_snapshots(&self) -> Result<(), LogError> {
        let deleted = sqlx::query("DELETE FROM snapshots").execute(&self.pool).await;
        deleted.map_err(LogError::database("deleting snapshots")).map(drop)
    }
}

pub fn envelopes(rows: Result<Vec<PgRow>, sqlx::Error>, doing: &'static str) -> Result<Vec<Envelope>, LogError> {
    rows.map_err(LogError::database(doing))?.into_iter().map(envelope).collect()
}

fn envelope(row: PgRow) -> Result<Envelope, LogError> {
    let read = || -> Result<Row, sqlx::Error> {
        Ok(Row {
            position: row.try_get(0)?,
            stream_type: row.try_get(1)?,
            stream_id: row.try_get(2)?,
            version: row.try_get(3)?,
            event_id: row.try_get(4)?,
            event_type: row.try_get(5)?,
            schema_version: row.try_get::<i16, _>(6)?.into(),
            payload: row.try_get(PAYLOAD_COLUMN)?,
            occurred_at: row.try_get(8)?,
            recorded_at: row.try_get(9)?,
            actor: row.try_get(10)?,
            command_id: row.try_get(11)?,
            correlation_id: row.try_get(12)?,
            causation_id: row.try_get(13)?,
            trace_context: row.try_get(14)?,
            trial_id: row.try_get(15)?,
            site_id: row.try_get(16)?,
            patient_id: row.try_get(17)?,
        })
    };
    read().map_err(LogError::database("reading an event's row"))?.into_envelope()
}
