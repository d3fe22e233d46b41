//! The log in a SQLite file.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use futures::stream::BoxStream;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::SqliteFile;
use super::batch::{SqliteWriter, load_commands};
use super::references;
use crate::log::comparing::{Comparing, Grown, GrownRow, Seen, grown};
use crate::log::group_commit::GroupCommit;
use crate::log::row::{BEGIN_EPOCH, COLUMNS, EVENT_BY_ID, IDENTITY, PAYLOAD_COLUMN, Row, identity, natural, signed};
use crate::log::{
    Append, AppendError, Appended, Comparison, EventLog, KnownCommand, LogError, LogIdentity, Reference, Snapshot,
    event_id,
};
use crate::portion::Portion;

/// How often the head is looked at for what other processes appended.
const HEAD_POLL: Duration = Duration::from_millis(200);

/// Streams that are compared by one statement.
const COMPARED_MAX: usize = 64;

/// The log in a SQLite file.
pub struct SqliteLog {
    file: SqliteFile,
    writer: GroupCommit,
    comparing: Comparing,
    head: watch::Receiver<u64>,
    _watcher: AbortOnDropHandle<()>,
}

impl SqliteLog {
    /// Opens the log of a migrated file. An append that finds the file locked
    /// fails after `give_up_after`.
    pub fn open(file: SqliteFile, give_up_after: Duration) -> Self {
        let (head, receiver) = watch::channel(0);
        // A file is replaced while nobody has it open: under a process its log never goes back.
        let incarnation = watch::channel(0).1;
        let writer = SqliteWriter::new(file.write.clone());
        let writer = GroupCommit::start(writer, head.clone(), incarnation, give_up_after);
        let watcher = AbortOnDropHandle::new(tokio::spawn(watch_head(file.read.clone(), head)));
        Self { file, writer, comparing: Comparing::default(), head: receiver, _watcher: watcher }
    }

    async fn grown(&self, seen: Vec<Seen>) -> Result<Grown, LogError> {
        let (first, others) = seen.split_at(seen.len().min(COMPARED_MAX));
        // As of the first question's snapshot: streams that have grown since are told in vain, none is left out.
        let mut found = self.some_grown(first).await?;
        for some in others.chunks(COMPARED_MAX) {
            found.grown.extend(self.some_grown(some).await?.grown);
        }
        Ok(found)
    }

    /// One after the other by the key, in one snapshot.
    async fn some_grown(&self, seen: &[Seen]) -> Result<Grown, LogError> {
        let one = "
            UNION ALL SELECT 0, stream_id, stream_type, version - 1 FROM events
            WHERE stream_id = ? AND stream_type = ? AND version = ?";
        let head = "SELECT position, NULL AS stream_id, NULL AS stream_type, NULL AS seen
                    FROM log_head WHERE partition = 0";
        // A few statements that are prepared once, whatever the number: what is asked twice is found twice.
        let filled = seen.len().next_power_of_two() * usize::from(!seen.is_empty());
        let sql = format!("{head}{}", one.repeat(filled));
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for (stream, version) in seen.iter().cycle().take(filled) {
            query = query.bind(stream.id).bind(stream.kind.as_str()).bind(signed(version + 1));
        }
        let rows: Result<Vec<GrownRow>, _> = query.fetch_all(&self.file.read).await;
        grown(rows.map_err(LogError::database("comparing streams"))?)
    }

    async fn portion(
        coming: BoxStream<'_, Result<SqliteRow, sqlx::Error>>,
        doing: &'static str,
    ) -> Result<Vec<Envelope>, LogError> {
        envelopes(Portion::read(coming, |row| length(row, PAYLOAD_COLUMN)).await.map(|portion| portion.rows), doing)
    }
}

/// The bytes of a column that holds a text or a blob.
pub(super) fn length(row: &SqliteRow, column: usize) -> usize {
    row.try_get_unchecked::<&[u8], _>(column).map_or(0, <[u8]>::len)
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.writer.append(append).await
    }

    async fn read_stream(&self, stream: StreamId, after_version: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE stream_id = $1 AND stream_type = $2 AND version > $3
             ORDER BY version LIMIT $4"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(stream.id).bind(stream.kind.as_str());
        let query = query.bind(signed(after_version)).bind(signed(limit as u64));
        Self::portion(query.fetch(&self.file.read), "reading a stream").await
    }

    async fn compare(&self, seen: &[(StreamId, u64)]) -> Result<Comparison, LogError> {
        self.comparing.compare(seen, |seen| self.grown(seen)).await
    }

    async fn read_all(&self, after_position: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(signed(after_position)).bind(signed(limit as u64));
        Self::portion(query.fetch(&self.file.read), "reading the log").await
    }

    async fn follow(&self, after_position: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        match self.writer.newest(after_position, limit) {
            Some(events) => Ok(events),
            None => self.read_all(after_position, limit).await,
        }
    }

    fn batches_apart(&self) -> Duration {
        // Longer: what is made of them takes turns with appends at the one writing connection.
        Duration::from_millis(25)
    }

    async fn read_reference(
        &self,
        reference: Reference,
        after_position: u64,
        to_position: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        let query = sqlx::query(AssertSqlSafe(references::select(reference))).bind(reference.column().1);
        let query = query.bind(signed(after_position)).bind(signed(to_position));
        Self::portion(query.bind(signed(limit as u64)).fetch(&self.file.read), "reading by reference").await
    }

    async fn read_reference_back(
        &self,
        reference: Reference,
        before_position: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        let query = sqlx::query(AssertSqlSafe(references::select_back(reference))).bind(reference.column().1);
        let query = query.bind(signed(before_position)).bind(signed(limit as u64));
        Self::portion(query.fetch(&self.file.read), "reading back by reference").await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        let row = sqlx::query_as(IDENTITY).fetch_one(&self.file.read).await;
        identity(row.map_err(LogError::database("reading the log's identity"))?)
    }

    async fn begin_epoch(&self, epoch: u64) -> Result<LogIdentity, LogError> {
        let beginning = LogError::database("beginning an epoch");
        let mut turn = self.file.write.whole_turn().await.map_err(&beginning)?;
        let began = sqlx::query(BEGIN_EPOCH).bind(signed(epoch)).execute(&mut *turn).await;
        began.map_err(beginning)?;
        turn.end();
        self.identity().await
    }

    async fn find_event(&self, id: Uuid) -> Result<Option<Envelope>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE {EVENT_BY_ID}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(signed(event_id::position(id)));
        let row = query.fetch_optional(&self.file.read).await;
        row.map_err(LogError::database("finding an event"))?.map(envelope).transpose()
    }

    async fn head(&self) -> Result<u64, LogError> {
        read_head(&self.file.read).await
    }

    async fn find_commands(&self, command_ids: &[Uuid]) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
        let mut connection = self.file.read.acquire().await.map_err(LogError::database("finding commands"))?;
        load_commands(&mut connection, command_ids).await
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.writer.ready().await
    }

    async fn stopped(&self) {
        self.writer.stopped().await;
    }

    fn watch_head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    async fn load_snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>, LogError> {
        let row: Option<(i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT version, state_version, state FROM snapshots WHERE stream_id = $1 AND stream_type = $2",
        )
        .bind(stream.id)
        .bind(stream.kind.as_str())
        .fetch_optional(&self.file.read)
        .await
        .map_err(LogError::database("loading a snapshot"))?;
        row.map(|(version, state_version, state)| {
            let state_version = u16::try_from(state_version);
            let state_version =
                state_version.map_err(|_| LogError::Corrupt { what: "a snapshot's version".to_owned() })?;
            Ok(Snapshot { stream, version: natural(version)?, state_version, state: state.into() })
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
        .bind(i64::from(snapshot.state_version))
        .bind(snapshot.state.to_vec())
        .execute(&mut *self.file.write.turn().await.map_err(LogError::database("opening the file"))?)
        .await
        .map_err(LogError::database("saving a snapshot"))
        .map(drop)
    }

    async fn delete_snapshots(&self) -> Result<(), LogError> {
        let mut connection = self.file.write.turn().await.map_err(LogError::database("opening the file"))?;
        let deleted = sqlx::query("DELETE FROM snapshots").execute(&mut *connection).await;
        deleted.map_err(LogError::database("deleting snapshots")).map(drop)
    }
}

async fn read_head(pool: &SqlitePool) -> Result<u64, LogError> {
    let head: (i64,) = sqlx::query_as("SELECT position FROM log_head WHERE partition = 0")
        .fetch_one(pool)
        .await
        .map_err(LogError::database("reading the head"))?;
    natural(head.0)
}

/// Follows what other processes append; this one's own appends are told at once.
async fn watch_head(pool: SqlitePool, head: watch::Sender<u64>) {
    loop {
        let position = read_head(&pool).await.unwrap_or(0);
        head.send_if_modified(|seen| std::mem::replace(seen, position.max(*seen)) < position);
        tokio::time::sleep(HEAD_POLL).await;
    }
}

/// A time as SQLite keeps it.
pub fn to_micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A time that SQLite kept.
///
/// # Errors
/// [`LogError::Corrupt`] where it is out of range.
pub fn from_micros(micros: i64) -> Result<DateTime<Utc>, LogError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| LogError::Corrupt { what: format!("the time {micros}") })
}

pub fn envelopes(rows: Result<Vec<SqliteRow>, sqlx::Error>, doing: &'static str) -> Result<Vec<Envelope>, LogError> {
    rows.map_err(LogError::database(doing))?.into_iter().map(envelope).collect()
}

fn envelope(row: SqliteRow) -> Result<Envelope, LogError> {
    let times = || -> Result<(i64, i64), sqlx::Error> { Ok((row.try_get(8)?, row.try_get(9)?)) };
    let (occurred_at, recorded_at) = times().map_err(LogError::database("reading an event's times"))?;
    let (occurred_at, recorded_at) = (from_micros(occurred_at)?, from_micros(recorded_at)?);
    let read = || -> Result<Row, sqlx::Error> {
        Ok(Row {
            position: row.try_get(0)?,
            stream_type: row.try_get(1)?,
            stream_id: row.try_get(2)?,
            version: row.try_get(3)?,
            event_id: row.try_get(4)?,
            event_type: row.try_get(5)?,
            schema_version: row.try_get(6)?,
            payload: row.try_get(PAYLOAD_COLUMN)?,
            occurred_at,
            recorded_at,
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
