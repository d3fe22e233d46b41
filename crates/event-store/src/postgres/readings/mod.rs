//! Readings on PostgreSQL, in a schema of their own.

mod store;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use events::ids::DeviceId;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use self::store::{delete_chunk, make_partitions, months, release, settle, store_all};
use super::Pool;
use crate::log::row::signed;
use crate::readings::{
    After, Bucket, ChunkRecord, Counts, NewUpload, Portion, Read, ReadingQuery, ReadingStore, ReadingsError,
    RefusedLine, Settled, Stored, Upload, Verdicts, merged,
};

/// Readings in a PostgreSQL database.
pub struct PostgresReadings {
    pool: Pool,
    // Months that have their partition.
    months: Mutex<BTreeSet<NaiveDate>>,
}

impl PostgresReadings {
    /// Opens those of a migrated database.
    pub const fn open(pool: Pool) -> Self {
        Self { pool, months: Mutex::new(BTreeSet::new()) }
    }

    /// Has every month of a portion have its partition, in a transaction of its own: it is there for others, too.
    async fn prepare(&self, portion: &Portion) -> Result<(), sqlx::Error> {
        let missing: Vec<NaiveDate> = {
            let known = self.months.lock().unwrap_or_else(PoisonError::into_inner);
            months(portion).into_iter().filter(|month| !known.contains(month)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let mut transaction = self.pool.begin().await?;
        make_partitions(&mut transaction, &missing).await?;
        transaction.commit().await?;
        self.months.lock().unwrap_or_else(PoisonError::into_inner).extend(missing);
        Ok(())
    }
}

type ChunkRow = (i64, Uuid, Uuid, Uuid, Uuid, Uuid, String, Option<i64>, String);

const CHUNK: &str =
    "SELECT chunk, chunk_id, chunks.upload_id, chunks.trial_id, chunks.patient_id, device_id, device, clock_ahead,
    sent_by FROM readings.chunks JOIN readings.uploads ON uploads.upload_id = chunks.upload_id";

async fn with_readings(connection: &mut PgConnection, row: ChunkRow) -> Result<ChunkRecord, sqlx::Error> {
    let (chunk, chunk_id, upload_id, trial_id, patient_id, device_id, device, clock_ahead_seconds, sent_by) = row;
    let readings = sqlx::query_as(
        "SELECT series.kind, readings.at, readings.lasts, readings.value FROM readings.chunks
         JOIN readings.series ON series.patient_id = chunks.patient_id AND series.trial_id = chunks.trial_id
             AND series.device_id = chunks.device_id
         JOIN readings.readings ON readings.series = series.series
             AND readings.at BETWEEN chunks.first_at AND chunks.last_at AND readings.chunk = chunks.chunk
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
        readings,
    })
}

impl PostgresReadings {
    /// The series that a query is about.
    async fn asked(&self, query: &ReadingQuery) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT series, device_id FROM readings.series WHERE patient_id = $1 AND trial_id = $2 AND kind = $3
             AND ($4::uuid IS NULL OR device_id = $4) ORDER BY series",
        )
        .bind(query.patient_id.uuid())
        .bind(query.trial_id.uuid())
        .bind(query.kind)
        .bind(query.device_id.map(DeviceId::uuid))
        .fetch_all(&self.pool)
        .await
    }
}

/// What is not read yet: within the statement that reads, so that nothing comes in between.
const TOLD: &str =
    "chunk NOT IN (SELECT chunk FROM readings.chunks WHERE patient_id = $1 AND trial_id = $2 AND state <> 1)";

#[async_trait]
impl ReadingStore for PostgresReadings {
    async fn begin(&self, upload: &NewUpload) -> Result<(), ReadingsError> {
        let begun = sqlx::query(
            "INSERT INTO readings.uploads (upload_id, trial_id, site_id, patient_id, parameters, length, begun_at,
                 sent_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(upload.upload_id)
        .bind(upload.trial_id.uuid())
        .bind(upload.site_id.uuid())
        .bind(upload.patient_id.uuid())
        .bind(&upload.parameters)
        .bind(upload.length.map(signed))
        .bind(upload.begun_at)
        .bind(&upload.sent_by)
        .execute(&self.pool)
        .await;
        begun.map(drop).map_err(ReadingsError::database("beginning an upload"))
    }

    async fn upload(&self, upload_id: Uuid) -> Result<Option<Upload>, ReadingsError> {
        let row = sqlx::query("SELECT * FROM readings.uploads WHERE upload_id = $1")
            .bind(upload_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(ReadingsError::database("reading an upload"))?;
        row.map(|row| upload_of(&row)).transpose().map_err(ReadingsError::database("reading an upload"))
    }

    async fn store(&self, portion: &Portion) -> Result<Stored, ReadingsError> {
        let failed = ReadingsError::database("storing readings");
        self.prepare(portion).await.map_err(&failed)?;
        let mut transaction = self.pool.begin().await.map_err(&failed)?;
        let stored = store_all(&mut transaction, portion).await?;
        transaction.commit().await.map_err(&failed)?;
        Ok(stored)
    }

    async fn settle(&self, chunk_id: Uuid, settled: &Settled) -> Result<(), ReadingsError> {
        let failed = ReadingsError::database("settling a chunk");
        let mut transaction = self.pool.begin().await.map_err(&failed)?;
        settle(&mut transaction, chunk_id, settled).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)
    }

    async fn unsettled(
        &self,
        before: DateTime<Utc>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ChunkRecord>, ReadingsError> {
        let failed = ReadingsError::database("looking for chunks");
        let found: Vec<ChunkRow> = sqlx::query_as(AssertSqlSafe(format!(
            "{CHUNK} WHERE state = 0 AND stored_at < $1 AND chunk > $2 ORDER BY chunk LIMIT $3"
        )))
        .bind(before)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut records = Vec::new();
        for row in found {
            records.push(with_readings(&mut connection, row).await.map_err(&failed)?);
        }
        Ok(records)
    }

    async fn chunk(&self, chunk_id: Uuid) -> Result<Option<ChunkRecord>, ReadingsError> {
        let failed = ReadingsError::database("reading a chunk");
        let found: Option<ChunkRow> = sqlx::query_as(AssertSqlSafe(format!("{CHUNK} WHERE chunk_id = $1")))
            .bind(chunk_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(&failed)?;
        let Some(row) = found else { return Ok(None) };
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        with_readings(&mut connection, row).await.map(Some).map_err(&failed)
    }

    async fn refused(&self, upload_id: Uuid, after: u64, limit: u32) -> Result<Vec<RefusedLine>, ReadingsError> {
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(
            "SELECT line, field, rule, message FROM readings.refused_lines WHERE upload_id = $1 AND line > $2
             ORDER BY line, field, rule LIMIT $3",
        )
        .bind(upload_id)
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
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
        let all = self.asked(query).await.map_err(&failed)?;
        let (at, of, lasts) = after.unwrap_or((DateTime::<Utc>::UNIX_EPOCH - chrono::TimeDelta::days(365_000), 0, 0));
        let mut pages = Vec::new();
        for (series, device_id) in all {
            let sql = format!(
                "SELECT at, lasts, value FROM readings.readings WHERE series = $3 AND at >= $4 AND at < $5
                 AND (at, series, lasts) > ($6, $7, $8) AND {TOLD} ORDER BY at, lasts LIMIT $9"
            );
            let page: Vec<(DateTime<Utc>, i64, f64)> = sqlx::query_as(AssertSqlSafe(sql))
                .bind(query.patient_id.uuid())
                .bind(query.trial_id.uuid())
                .bind(series)
                .bind(query.from.max(at))
                .bind(query.until)
                .bind(at)
                .bind(of)
                .bind(lasts)
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
                .map_err(&failed)?;
            let read = |(at, lasts, value): (DateTime<Utc>, i64, f64)| Read {
                device_id: device_id.into(),
                at,
                lasts,
                value,
                place: (at, series, lasts),
            };
            pages.push(page.into_iter().map(read).collect());
        }
        Ok(merged(pages, limit))
    }

    async fn buckets(&self, query: &ReadingQuery, seconds: u32) -> Result<Vec<Bucket>, ReadingsError> {
        let failed = ReadingsError::database("summing readings up");
        let all = self.asked(query).await.map_err(&failed)?;
        let series: Vec<i64> = all.into_iter().map(|(series, _)| series).collect();
        let sql = format!(
            "SELECT date_bin($3 * interval '1 second', at, 'epoch'::timestamptz) AS bucket, count(*), min(value),
                 max(value), avg(value)
             FROM readings.readings WHERE series = ANY ($4) AND at >= $5 AND at < $6 AND {TOLD}
             GROUP BY bucket ORDER BY bucket"
        );
        let rows: Vec<(DateTime<Utc>, i64, f64, f64, f64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(query.patient_id.uuid())
            .bind(query.trial_id.uuid())
            .bind(f64::from(seconds.max(1)))
            .bind(series)
            .bind(query.from)
            .bind(query.until)
            .fetch_all(&self.pool)
            .await
            .map_err(&failed)?;
        let bucket = |(from, count, min, max, mean): (DateTime<Utc>, i64, f64, f64, f64)| Bucket {
            from,
            count: count.unsigned_abs(),
            min,
            max,
            mean,
        };
        Ok(rows.into_iter().map(bucket).collect())
    }

    async fn followed(&self) -> Result<u64, ReadingsError> {
        let position: i64 = sqlx::query_scalar("SELECT position FROM readings.followed")
            .fetch_one(&self.pool)
            .await
            .map_err(ReadingsError::database("reading how far the log was followed"))?;
        Ok(position.unsigned_abs())
    }

    async fn apply(&self, verdicts: &Verdicts, position: u64) -> Result<(), ReadingsError> {
        let failed = ReadingsError::database("following the log");
        let mut transaction = self.pool.begin().await.map_err(&failed)?;
        for chunk_id in &verdicts.released {
            release(&mut transaction, *chunk_id).await.map_err(&failed)?;
        }
        for chunk_id in &verdicts.discarded {
            delete_chunk(&mut transaction, *chunk_id).await.map_err(&failed)?;
        }
        sqlx::query("UPDATE readings.followed SET position = $1 WHERE position < $1")
            .bind(signed(position))
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)
    }
}

fn upload_of(row: &PgRow) -> Result<Upload, sqlx::Error> {
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
            begun_at: row.try_get("begun_at")?,
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
        ended_at: row.try_get("ended_at")?,
    })
}
