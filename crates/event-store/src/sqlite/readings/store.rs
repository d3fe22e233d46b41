//! Storing portions of uploads, and what becomes of chunks.

use std::collections::{HashMap, HashSet};

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::log::row::signed;
use crate::readings::{
    Parcel, Portion, REFUSED_KEPT_MAX, Reading, ReadingsError, RefusedLine, Settled, Stored, another_value,
};
use crate::sqlite::log::to_micros;
use crate::sqlite::rows;

/// Rows of one statement: few statements for many readings, and all of them stay prepared.
const ROWS_MAX: usize = 512;

/// The numbers of the series of what a parcel holds, made where they are missing.
async fn series(
    connection: &mut SqliteConnection,
    (trial_id, patient_id): Of,
    parcel: &Parcel,
) -> Result<HashMap<&'static str, i64>, sqlx::Error> {
    let mut numbers = HashMap::new();
    for reading in &parcel.readings {
        if numbers.contains_key(reading.kind) {
            continue;
        }
        // The same value again, so that the row is returned.
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO series (patient_id, trial_id, kind, device_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT (patient_id, trial_id, kind, device_id) DO UPDATE SET kind = excluded.kind RETURNING series",
        )
        .bind(patient_id)
        .bind(trial_id)
        .bind(reading.kind)
        .bind(parcel.device_id.uuid())
        .fetch_one(&mut *connection)
        .await?;
        numbers.insert(reading.kind, number);
    }
    Ok(numbers)
}

/// Whose readings an upload holds: trial and patient.
type Of = (Uuid, Uuid);

/// Moves an upload on, where it stands where the portion begins; gives whose it is, and how much of it was refused before.
async fn advance(connection: &mut SqliteConnection, portion: &Portion) -> Result<(Of, u64), ReadingsError> {
    let moved: Option<(Uuid, Uuid, i64)> = sqlx::query_as(
        "UPDATE uploads SET received = $3, rest = $4, skipping = $5, lines = lines + $6, ended_at = $7,
             header = coalesce(header, $8)
         WHERE upload_id = $1 AND received = $2 AND ended_at IS NULL RETURNING trial_id, patient_id, refused",
    )
    .bind(portion.upload_id)
    .bind(signed(portion.from))
    .bind(signed(portion.to))
    .bind(&portion.rest)
    .bind(portion.skipping)
    .bind(signed(portion.lines))
    .bind(portion.ended_at.map(to_micros))
    .bind(&portion.header)
    .fetch_optional(connection)
    .await
    .map_err(ReadingsError::database("moving an upload on"))?;
    let (trial_id, patient_id, refused) = moved.ok_or(ReadingsError::Moved)?;
    Ok(((trial_id, patient_id), refused.unsigned_abs()))
}

/// Stores a parcel as a chunk; gives the readings that are new, by their place, and those of which another value is on record.
async fn store_parcel(
    connection: &mut SqliteConnection,
    of: Of,
    portion: &Portion,
    parcel: &Parcel,
) -> Result<(Vec<usize>, Vec<RefusedLine>), sqlx::Error> {
    let times = || parcel.readings.iter().map(|reading| reading.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok((Vec::new(), Vec::new())) };
    let numbers = series(connection, of, parcel).await?;
    let chunk: i64 = sqlx::query_scalar(
        "INSERT INTO chunks (chunk_id, upload_id, trial_id, patient_id, device_id, device, clock_ahead, first_at, last_at,
             stored_at, apart)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING chunk",
    )
    .bind(parcel.chunk_id)
    .bind(portion.upload_id)
    .bind(of.0)
    .bind(of.1)
    .bind(parcel.device_id.uuid())
    .bind(&parcel.device)
    .bind(parcel.clock_ahead_seconds)
    .bind(to_micros(first))
    .bind(to_micros(last))
    .bind(to_micros(portion.now))
    .bind(parcel.apart)
    .fetch_one(&mut *connection)
    .await?;
    let number = |reading: &Reading| numbers.get(reading.kind).copied().unwrap_or_default();
    let mut inserted = 0;
    for piece in pieces(&parcel.readings) {
        let sql = format!(
            "INSERT INTO readings (series, at, lasts, value, chunk) VALUES {} ON CONFLICT DO NOTHING",
            rows::values(piece.len(), 5)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for reading in piece {
            let (at, lasts) = (to_micros(reading.at), reading.lasts);
            query = query.bind(number(reading)).bind(at).bind(lasts).bind(reading.value).bind(chunk);
        }
        inserted += query.execute(&mut *connection).await?.rows_affected();
    }
    if inserted == parcel.readings.len() as u64 {
        return Ok(((0..parcel.readings.len()).collect(), Vec::new()));
    }
    if inserted == 0 {
        sqlx::query("DELETE FROM chunks WHERE chunk = $1").bind(chunk).execute(&mut *connection).await?;
    }
    compare(connection, parcel, chunk, number).await
}

/// Cut into pieces of sizes for which statements are prepared.
fn pieces(mut readings: &[Reading]) -> impl Iterator<Item = &[Reading]> {
    let whole = readings.len() / ROWS_MAX * ROWS_MAX;
    let (many, few) = readings.split_at(whole);
    readings = few;
    many.chunks(ROWS_MAX).chain(rows::chunks(readings))
}

/// What stands on record under the keys of a parcel of which some were known: which are of this chunk, and which have another
/// value.
async fn compare(
    connection: &mut SqliteConnection,
    parcel: &Parcel,
    chunk: i64,
    number: impl Fn(&Reading) -> i64,
) -> Result<(Vec<usize>, Vec<RefusedLine>), sqlx::Error> {
    let keys: Vec<(i64, i64, i64)> =
        parcel.readings.iter().map(|reading| (number(reading), to_micros(reading.at), reading.lasts)).collect();
    let on_record: Vec<(i64, i64, i64, f64, i64)> = sqlx::query_as(
        "SELECT readings.series, readings.at, readings.lasts, readings.value, readings.chunk FROM json_each($1) AS given
         JOIN readings ON readings.series = given.value ->> 0 AND readings.at = given.value ->> 1
             AND readings.lasts = given.value ->> 2",
    )
    .bind(Json(&keys))
    .fetch_all(connection)
    .await?;
    let on_record: HashMap<(i64, i64, i64), (f64, i64)> =
        on_record.into_iter().map(|(series, at, lasts, value, of)| ((series, at, lasts), (value, of))).collect();
    let (mut new, mut refused, mut mine) = (Vec::new(), Vec::new(), HashSet::new());
    for (place, (reading, key)) in parcel.readings.iter().zip(&keys).enumerate() {
        match on_record.get(key) {
            // Of two within the parcel the first was stored.
            Some((_, of)) if *of == chunk && mine.insert(key) => new.push(place),
            #[expect(clippy::float_cmp, reason = "the same number came back, or another one")]
            Some((value, _)) if *value != reading.value => refused.push(another_value(reading, *value)),
            Some(_) | None => {}
        }
    }
    Ok((new, refused))
}

async fn refuse(connection: &mut SqliteConnection, upload_id: Uuid, lines: &[RefusedLine]) -> Result<(), sqlx::Error> {
    for piece in rows::chunks(lines) {
        let sql = format!(
            "INSERT INTO refused_lines (upload_id, line, field, rule, message) VALUES {} ON CONFLICT DO NOTHING",
            rows::values(piece.len(), 5)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for RefusedLine { line, field, rule, message } in piece {
            query = query.bind(upload_id).bind(signed(*line)).bind(field).bind(rule).bind(message);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

pub async fn store_all(connection: &mut SqliteConnection, portion: &Portion) -> Result<Stored, ReadingsError> {
    let (of, refused_before) = advance(connection, portion).await?;
    let failed = ReadingsError::database("storing readings");
    let (mut stored, mut refused) = (Stored::default(), portion.refused.clone());
    let (mut received, mut apart) = (0_u64, 0_u64);
    for parcel in &portion.parcels {
        let (new, others) = store_parcel(connection, of, portion, parcel).await.map_err(&failed)?;
        *(if parcel.apart { &mut apart } else { &mut received }) += new.len() as u64;
        stored.known += (parcel.readings.len() - new.len() - others.len()) as u64;
        stored.refused += others.len() as u64;
        refused.extend(others);
        stored.new.push(new);
    }
    let kept =
        usize::try_from(REFUSED_KEPT_MAX.saturating_sub(refused_before)).unwrap_or(usize::MAX).min(refused.len());
    refuse(connection, portion.upload_id, &refused[..kept]).await.map_err(&failed)?;
    sqlx::query(
        "UPDATE uploads SET stored = stored + $2, apart = apart + $3, known = known + $4, refused = refused + $5
         WHERE upload_id = $1",
    )
    .bind(portion.upload_id)
    .bind(signed(received))
    .bind(signed(apart))
    .bind(signed(stored.known))
    .bind(signed(refused.len() as u64))
    .execute(connection)
    .await
    .map_err(&failed)?;
    Ok(stored)
}

/// Deletes the readings of a chunk, and the chunk; tells how many there were.
pub async fn delete_chunk(connection: &mut SqliteConnection, chunk_id: Uuid) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM readings WHERE (series, at, lasts) IN (
             SELECT readings.series, readings.at, readings.lasts FROM chunks
             JOIN series ON series.patient_id = chunks.patient_id AND series.trial_id = chunks.trial_id
                 AND series.device_id = chunks.device_id
             JOIN readings ON readings.series = series.series AND readings.at BETWEEN chunks.first_at AND chunks.last_at
                 AND readings.chunk = chunks.chunk
             WHERE chunks.chunk_id = $1)",
    )
    .bind(chunk_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM chunks WHERE chunk_id = $1").bind(chunk_id).execute(connection).await?;
    Ok(deleted.rows_affected())
}

/// Notes how the log took a chunk of which it was not known yet.
pub async fn settle(connection: &mut SqliteConnection, chunk_id: Uuid, settled: &Settled) -> Result<(), sqlx::Error> {
    let sql = "SELECT upload_id, apart FROM chunks WHERE chunk_id = $1 AND state = 0";
    let found: Option<(Uuid, bool)> = sqlx::query_as(sql).bind(chunk_id).fetch_optional(&mut *connection).await?;
    let Some((upload_id, was_apart)) = found else { return Ok(()) };
    let (state, is_apart): (i64, bool) = match settled {
        Settled::Received => (1, false),
        Settled::Apart => (2, true),
        Settled::Refused(lines) => {
            let deleted = delete_chunk(connection, chunk_id).await?;
            refuse(connection, upload_id, lines).await?;
            let counts = if was_apart { [0, -signed(deleted)] } else { [-signed(deleted), 0] };
            return count(connection, upload_id, counts, signed(deleted)).await;
        }
    };
    if is_apart != was_apart {
        // The device was given out, or taken back, between judging and telling.
        let readings = readings_of(connection, chunk_id).await?;
        let counts = if is_apart { [-readings, readings] } else { [readings, -readings] };
        count(connection, upload_id, counts, 0).await?;
    }
    sqlx::query("UPDATE chunks SET state = $2, apart = $3 WHERE chunk_id = $1")
        .bind(chunk_id)
        .bind(state)
        .bind(is_apart)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a chunk that was stored apart is the subject's.
pub async fn release(connection: &mut SqliteConnection, chunk_id: Uuid) -> Result<(), sqlx::Error> {
    let sql = "UPDATE chunks SET state = 1 WHERE chunk_id = $1";
    sqlx::query(sql).bind(chunk_id).execute(connection).await.map(drop)
}

/// How many readings a chunk has.
async fn readings_of(connection: &mut SqliteConnection, chunk_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT count(*) FROM chunks
         JOIN series ON series.patient_id = chunks.patient_id AND series.trial_id = chunks.trial_id
             AND series.device_id = chunks.device_id
         JOIN readings ON readings.series = series.series
             AND readings.at BETWEEN chunks.first_at AND chunks.last_at AND readings.chunk = chunks.chunk
         WHERE chunks.chunk_id = $1",
    )
    .bind(chunk_id)
    .fetch_one(connection)
    .await
}

/// Counts otherwise what was stored of an upload: so many more, or fewer, are stored and stored apart, so many more refused.
async fn count(
    connection: &mut SqliteConnection,
    upload_id: Uuid,
    [stored, apart]: [i64; 2],
    refused: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE uploads SET stored = stored + $2, apart = apart + $3, refused = refused + $4 WHERE upload_id = $1",
    )
    .bind(upload_id)
    .bind(stored)
    .bind(apart)
    .bind(refused)
    .execute(connection)
    .await
    .map(drop)
}
