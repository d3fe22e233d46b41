//! Readings in a SQLite file of their own.

mod store;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::ids::DeviceId;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use self::store::{delete_chunk, release, settle, store_all};
use super::SqliteFile;
use super::log::to_micros;
use crate::log::row::signed;
use crate::readings::{
    After, Bucket, ChunkRecord, Counts, NewUpload, Portion, Read, ReadingQuery, ReadingStore, ReadingsError,
    RefusedLine, Settled, Stored, Upload, Verdicts, merged,
};

/// Readings in a SQLite file.
pub struct SqliteReadings {
    file: SqliteFile,
}

impl SqliteReadings {
    /// Opens those of a migrated file.
    pub const fn open(file: SqliteFile) -> Self {
        Self { file }
    }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

type ChunkRow = (i64, Uuid, Uuid, Uuid, Uuid, Uuid, String, Option<i64>, String);

const CHUNK: &str =
    "SELECT chunk, chunk_id, chunks.upload_id, chunks.trial_id, chunks.patient_id, device_id, device, clock_ahead,
    sent_by FROM chunks JOIN uploads ON uploads.upload_id = chunks.upload_id";

async fn with_readings(connection: &mut SqliteConnection, row: ChunkRow) -> Result<ChunkRecord, sqlx::Error> {
    let (chunk, chunk_id, upload_id, trial_id, patient_id, device_id, device, clock_ahead_seconds, sent_by) = row;
    let readings: Vec<(String, i64, i64, f64)> = sqlx::query_as(
        "SELECT series.kind, readings.at, readings.lasts, readings.value FROM chunks
         JOIN series ON series.patient_id = chunks.patient_id AND series.trial_id = chunks.trial_id
             AND series.device_id = chunks.device_id
         JOIN readings ON readings.series = series.series AND readings.at BETWEEN chunks.first_at AND chunks.last_at
             AND readings.chunk = chunks.chunk
         WHERE chunks.chunk = $1 ORDER BY series.kind, readings.at, readings.lasts",
    )
    .bind(chunk)
    .fetch_all(connection)
    .await?;
    Ok(ChunkRecord {
        chunk,
        chunk_id,
        upload_id,
        trial_id: trial_id.into(),
        patient_id: patient_id.into(),
        device_id: device_id.into(),
        device,
        clock_ahead_seconds,
        sent_by,
        readings: readings.into_iter().map(|(kind, at, lasts, value)| (kind, time(at), lasts, value)).collect(),
    })
}

/// What is not read yet: within the statement that reads, so that nothing comes in between.
const TOLD: &str = "chunk NOT IN (SELECT chunk FROM chunks WHERE patient_id = $1 AND trial_id = $2 AND state <> 1)";

/// The series that a query is about.
async fn asked(connection: &mut SqliteConnection, query: &ReadingQuery) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT series, device_id FROM series WHERE patient_id = $1 AND trial_id = $2 AND kind = $3
         AND ($4 IS NULL OR device_id = $4) ORDER BY series",
    )
    .bind(query.patient_id.uuid())
    .bind(query.trial_id.uuid())
    .bind(query.kind)
    .bind(query.device_id.map(DeviceId::uuid))
    .fetch_all(connection)
    .await
}

#[async_trait]
impl ReadingStore for SqliteReadings {
    async fn begin(&self, upload: &NewUpload) -> Result<(), ReadingsError> {
        let failed = ReadingsError::database("beginning an upload");
        let mut turn = self.file.write.turn().await.map_err(&failed)?;
        let begun = sqlx::query(
            "INSERT INTO uploads (upload_id, trial_id, site_id, patient_id, parameters, length, begun_at,
                 sent_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(upload.upload_id)
        .bind(upload.trial_id.uuid())
        .bind(upload.site_id.uuid())
        .bind(upload.patient_id.uuid())
        .bind(&upload.parameters)
        .bind(upload.length.map(signed))
        .bind(to_micros(upload.begun_at))
        .bind(&upload.sent_by)
        .execute(&mut *turn)
        .await;
        begun.map(drop).map_err(&failed)
    }

    async fn upload(&self, upload_id: Uuid) -> Result<Option<Upload>, ReadingsError> {
        let row = sqlx::query("SELECT * FROM uploads WHERE upload_id = $1")
            .bind(upload_id)
            .fetch_optional(&self.file.read)
            .await
            .map_err(ReadingsError::database("reading an upload"))?;
        row.map(|row| upload_of(&row)).transpose().map_err(ReadingsError::database("reading an upload"))
    }

    async fn store(&self, portion: &Portion) -> Result<Stored, ReadingsError> {
        let failed = ReadingsError::database("storing readings");
        let mut turn = self.file.write.whole_turn().await.map_err(&failed)?;
        let mut transaction = turn.begin().await.map_err(&failed)?;
        let stored = store_all(&mut transaction, portion).await?;
        transaction.commit().await.map_err(&failed)?;
        turn.end();
        Ok(stored)
    }

    async fn settle(&self, chunk_id: Uuid, settled: &Settled) -> Result<(), ReadingsError> {
        let failed = ReadingsError::database("settling a chunk");
        let mut turn = self.file.write.whole_turn().await.map_err(&failed)?;
        let mut transaction = turn.begin().await.map_err(&failed)?;
        settle(&mut transaction, chunk_id, settled).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        turn.end();
        Ok(())
    }

    async fn unsettled(
        &self,
        before: DateTime<Utc>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ChunkRecord>, ReadingsError> {
        let failed = ReadingsError::database("looking for chunks");
        let mut connection = self.file.read.acquire().await.map_err(&failed)?;
        let found: Vec<ChunkRow> = sqlx::query_as(AssertSqlSafe(format!(
            "{CHUNK} WHERE state = 0 AND stored_at < $1 AND chunk > $2 ORDER BY chunk LIMIT $3"
        )))
        .bind(to_micros(before))
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *connection)
        .await
        .map_err(&failed)?;
        let mut records = Vec::new();
        for row in found {
            records.push(with_readings(&mut connection, row).await.map_err(&failed)?);
        }
        Ok(records)
    }

    async fn chunk(&self, chunk_id: Uuid) -> Result<Option<ChunkRecord>, ReadingsError> {
        let failed = ReadingsError::database("reading a chunk");
        let mut connection = self.file.read.acquire().await.map_err(&failed)?;
        let found: Option<ChunkRow> = sqlx::query_as(AssertSqlSafe(format!("{CHUNK} WHERE chunk_id = $1")))
            .bind(chunk_id)
            .fetch_optional(&mut *connection)
            .await
            .map_err(&failed)?;
        match found {
            Some(row) => with_readings(&mut connection, row).await.map(Some).map_err(&failed),
            None => Ok(None),
        }
    }

    async fn refused(&self, upload_id: Uuid, after: u64, limit: u32) -> Result<Vec<RefusedLine>, ReadingsError> {
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(
            "SELECT line, field, rule, message FROM refused_lines WHERE upload_id = $1 AND line > $2
             ORDER BY line, field, rule LIMIT $3",
        )
        .bind(upload_id)
        .bind(signed(after))
        .bind(limit)
        .fetch_all(&self.file.read)
        .await
        .map_err(ReadingsError::database("reading what was refused"))?;
        let line = |(line, field, rule, message): (i64, String, String, String)| RefusedLine {
            line: line.unsigned_abs(),
            field,
            rule,
            message,
        };
        Ok(rows.into_iter().map(line).collect())
    }

    async fn read(&self, query: &ReadingQuery, after: Option<After>, limit: u32) -> Result<Vec<Read>, ReadingsError> {
        let failed = ReadingsError::database("reading readings");
        let mut connection = self.file.read.acquire().await.map_err(&failed)?;
        let all = asked(&mut connection, query).await.map_err(&failed)?;
        let (at, of, lasts) = after.map_or((i64::MIN, 0, 0), |(at, series, lasts)| (to_micros(at), series, lasts));
        let mut pages = Vec::new();
        for (series, device_id) in all {
            let sql = format!(
                "SELECT at, lasts, value FROM readings WHERE series = $3 AND at >= $4 AND at < $5
                 AND (at, series, lasts) > ($6, $7, $8) AND {TOLD} ORDER BY at, lasts LIMIT $9"
            );
            let page: Vec<(i64, i64, f64)> = sqlx::query_as(AssertSqlSafe(sql))
                .bind(query.patient_id.uuid())
                .bind(query.trial_id.uuid())
                .bind(series)
                .bind(to_micros(query.from).max(at))
                .bind(to_micros(query.until))
                .bind(at)
                .bind(of)
                .bind(lasts)
                .bind(limit)
                .fetch_all(&mut *connection)
                .await
                .map_err(&failed)?;
            let read = |(at, lasts, value): (i64, i64, f64)| Read {
                device_id: device_id.into(),
                at: time(at),
                lasts,
                value,
                place: (time(at), series, lasts),
            };
            pages.push(page.into_iter().map(read).collect());
        }
        Ok(merged(pages, limit))
    }

    async fn buckets(&self, query: &ReadingQuery, seconds: u32) -> Result<Vec<Bucket>, ReadingsError> {
        let failed = ReadingsError::database("summing readings up");
        let mut connection = self.file.read.acquire().await.map_err(&failed)?;
        let all = asked(&mut connection, query).await.map_err(&failed)?;
        let series: Vec<i64> = all.into_iter().map(|(series, _)| series).collect();
        let width = i64::from(seconds.max(1)) * 1_000_000;
        // Times before 1970 are rounded down, too.
        let sql = format!(
            "SELECT (at - ((at % $3) + $3) % $3) AS bucket, count(*), min(value), max(value), avg(value) FROM readings
             WHERE series IN (SELECT value FROM json_each($4)) AND at >= $5 AND at < $6 AND {TOLD}
             GROUP BY bucket ORDER BY bucket"
        );
        let rows: Vec<(i64, i64, f64, f64, f64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(query.patient_id.uuid())
            .bind(query.trial_id.uuid())
            .bind(width)
            .bind(Json(&series))
            .bind(to_micros(query.from))
            .bind(to_micros(query.until))
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let bucket = |(from, count, min, max, mean): (i64, i64, f64, f64, f64)| Bucket {
            from: time(from),
            count: count.unsigned_abs(),
            min,
            max,
            mean,
        };
        Ok(rows.into_iter().map(bucket).collect())
    }

    async fn followed(&self) -> Result<u64, ReadingsError> {
        let position: i64 = sqlx::query_scalar("SELECT position FROM followed")
            .fetch_one(&self.file.read)
            .await
            .map_err(ReadingsError::database("reading how far the log was followed"))?;
        Ok(position.unsigned_abs())
    }

    async fn apply(&self, verdicts: &Verdicts, position: u64) -> Result<(), ReadingsError> {
        let failed = ReadingsError::database("following the log");
        let mut turn = self.file.write.whole_turn().await.map_err(&failed)?;
        let mut transaction = turn.begin().await.map_err(&failed)?;
        for chunk_id in &verdicts.released {
            release(&mut transaction, *chunk_id).await.map_err(&failed)?;
        }
        for chunk_id in &verdicts.discarded {
            delete_chunk(&mut transaction, *chunk_id).await.map_err(&failed)?;
        }
        sqlx::query("UPDATE followed SET position = $1 WHERE position < $1")
            .bind(signed(position))
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        turn.end();
        Ok(())
    }
}

fn upload_of(row: &SqliteRow) -> Result<Upload, sqlx::Error> {
    let count = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let id = |name: &str| row.try_get::<Uuid, _>(name);
    Ok(Upload {
        upload: NewUpload {
            upload_id: id("upload_id")?,
            trial_id: id("trial_id")?.into(),
            site_id: id("site_id")?.into(),
            patient_id: id("patient_id")?.into(),
            parameters: row.try_get("parameters")?,
            sent_by: row.try_get("sent_by")?,
            length: row.try_get::<Option<i64>, _>("length")?.map(i64::unsigned_abs),
            begun_at: time(row.try_get("begun_at")?),
        },
        header: row.try_get("header")?,
        received: count("received")?,
        rest: row.try_get("rest")?,
        skipping: row.try_get("skipping")?,
        counts: Counts {
            lines: count("lines")?,
            stored: count("stored")?,
            apart: count("apart")?,
            known: count("known")?,
            refused: count("refused")?,
        },
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(time),
    })
}
