//! Storing portions of uploads, and what becomes of chunks.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::log::row::signed;
use crate::readings::{
    Parcel, Portion, REFUSED_KEPT_MAX, Reading, ReadingsError, RefusedLine, Settled, Stored, another_value,
};

/// Whose readings an upload holds: trial and patient.
type Of = (Uuid, Uuid);

/// The months, by their first days, in which readings of a portion lie.
pub fn months(portion: &Portion) -> BTreeSet<NaiveDate> {
    let readings = portion.parcels.iter().flat_map(|parcel| &parcel.readings);
    readings.filter_map(|reading| reading.at.date_naive().with_day(1)).collect()
}

/// Makes the partitions of these months where they are missing.
pub async fn make_partitions(connection: &mut PgConnection, months: &[NaiveDate]) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT readings.make_month(month) FROM unnest($1::date[]) AS month ORDER BY month")
        .bind(months)
        .execute(connection)
        .await?;
    Ok(())
}

/// The numbers of the series of what a parcel holds, made where they are missing.
async fn series(
    connection: &mut PgConnection,
    (trial_id, patient_id): Of,
    parcel: &Parcel,
) -> Result<HashMap<&'static str, i64>, sqlx::Error> {
    let kinds: BTreeSet<&'static str> = parcel.readings.iter().map(|reading| reading.kind).collect();
    let mut numbers = HashMap::new();
    for kind in kinds {
        let known: Option<i64> = sqlx::query_scalar(
            "SELECT series FROM readings.series
             WHERE patient_id = $1 AND trial_id = $2 AND kind = $3 AND device_id = $4",
        )
        .bind(patient_id)
        .bind(trial_id)
        .bind(kind)
        .bind(parcel.device_id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
        // Only one that is new locks its row: two uploads that name devices in different orders would wait for each other.
        let number = match known {
            Some(number) => number,
            None => new_series(connection, (trial_id, patient_id), parcel, kind).await?,
        };
        numbers.insert(kind, number);
    }
    Ok(numbers)
}

async fn new_series(
    connection: &mut PgConnection,
    (trial_id, patient_id): Of,
    parcel: &Parcel,
    kind: &str,
) -> Result<i64, sqlx::Error> {
    // Where another was quicker: the same value again, so that the row is returned.
    sqlx::query_scalar(
        "INSERT INTO readings.series (patient_id, trial_id, kind, device_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (patient_id, trial_id, kind, device_id) DO UPDATE SET kind = excluded.kind RETURNING series",
    )
    .bind(patient_id)
    .bind(trial_id)
    .bind(kind)
    .bind(parcel.device_id.uuid())
    .fetch_one(connection)
    .await
}

/// Moves an upload on, where it stands where the portion begins; gives whose it is, and how much of it was refused before.
async fn advance(connection: &mut PgConnection, portion: &Portion) -> Result<(Of, u64), ReadingsError> {
    let moved: Option<(Uuid, Uuid, i64)> = sqlx::query_as(
        "UPDATE readings.uploads SET received = $3, rest = $4, skipping = $5, lines = lines + $6, ended_at = $7,
             header = coalesce(header, $8)
         WHERE upload_id = $1 AND received = $2 AND ended_at IS NULL RETURNING trial_id, patient_id, refused",
    )
    .bind(portion.upload_id)
    .bind(signed(portion.from))
    .bind(signed(portion.to))
    .bind(&portion.rest)
    .bind(portion.skipping)
    .bind(signed(portion.lines))
    .bind(portion.ended_at)
    .bind(&portion.header)
    .fetch_optional(connection)
    .await
    .map_err(ReadingsError::database("moving an upload on"))?;
    let (trial_id, patient_id, refused) = moved.ok_or(ReadingsError::Moved)?;
    Ok(((trial_id, patient_id), refused.unsigned_abs()))
}

/// Readings as columns.
struct Columns {
    series: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    lasts: Vec<i64>,
    values: Vec<f64>,
}

impl Columns {
    fn of(readings: &[Reading], numbers: &HashMap<&'static str, i64>) -> Self {
        Self {
            series: readings.iter().map(|reading| numbers.get(reading.kind).copied().unwrap_or_default()).collect(),
            at: readings.iter().map(|reading| reading.at).collect(),
            lasts: readings.iter().map(|reading| reading.lasts).collect(),
            values: readings.iter().map(|reading| reading.value).collect(),
        }
    }
}

/// Stores a parcel as a chunk; gives the readings that are new, by their place, and those of which another value is on record.
async fn store_parcel(
    connection: &mut PgConnection,
    of: Of,
    portion: &Portion,
    parcel: &Parcel,
) -> Result<(Vec<usize>, Vec<RefusedLine>), sqlx::Error> {
    let times = || parcel.readings.iter().map(|reading| reading.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok((Vec::new(), Vec::new())) };
    let numbers = series(connection, of, parcel).await?;
    let chunk: i64 = sqlx::query_scalar(
        "INSERT INTO readings.chunks (chunk_id, upload_id, trial_id, patient_id, device_id, device, clock_ahead, first_at,
             last_at, stored_at, apart)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING chunk",
    )
    .bind(parcel.chunk_id)
    .bind(portion.upload_id)
    .bind(of.0)
    .bind(of.1)
    .bind(parcel.device_id.uuid())
    .bind(&parcel.device)
    .bind(parcel.clock_ahead_seconds)
    .bind(first)
    .bind(last)
    .bind(portion.now)
    .bind(parcel.apart)
    .fetch_one(&mut *connection)
    .await?;
    let columns = Columns::of(&parcel.readings, &numbers);
    let inserted = sqlx::query(
        "INSERT INTO readings.readings (series, at, lasts, value, chunk)
         SELECT series, at, lasts, value, $5
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::float8[]) AS given (series, at, lasts, value)
         ON CONFLICT DO NOTHING",
    )
    .bind(&columns.series)
    .bind(&columns.at)
    .bind(&columns.lasts)
    .bind(&columns.values)
    .bind(chunk)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if inserted == parcel.readings.len() as u64 {
        return Ok(((0..parcel.readings.len()).collect(), Vec::new()));
    }
    if inserted == 0 {
        sqlx::query("DELETE FROM readings.chunks WHERE chunk = $1").bind(chunk).execute(&mut *connection).await?;
    }
    compare(connection, parcel, chunk, &columns).await
}

/// What stands on record under the keys of a parcel of which some were known: which are of this chunk, and which have another
/// value.
async fn compare(
    connection: &mut PgConnection,
    parcel: &Parcel,
    chunk: i64,
    columns: &Columns,
) -> Result<(Vec<usize>, Vec<RefusedLine>), sqlx::Error> {
    let on_record: Vec<(i64, f64, i64)> = sqlx::query_as(
        "SELECT given.place, readings.value, readings.chunk
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[])
             WITH ORDINALITY AS given (series, at, lasts, place)
         JOIN readings.readings USING (series, at, lasts) ORDER BY given.place",
    )
    .bind(&columns.series)
    .bind(&columns.at)
    .bind(&columns.lasts)
    .fetch_all(connection)
    .await?;
    let (mut new, mut refused, mut mine) = (Vec::new(), Vec::new(), HashSet::new());
    for (place, value, of) in on_record {
        let place = usize::try_from(place - 1).unwrap_or_default();
        let Some(reading) = parcel.readings.get(place) else { continue };
        // Of two within the parcel the first was stored.
        if of == chunk && mine.insert(reading.key()) {
            new.push(place);
            continue;
        }
        #[expect(clippy::float_cmp, reason = "the same number came back, or another one")]
        if value != reading.value {
            refused.push(another_value(reading, value));
        }
    }
    Ok((new, refused))
}

async fn refuse(connection: &mut PgConnection, upload_id: Uuid, lines: &[RefusedLine]) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&RefusedLine) -> &str| lines.iter().map(|line| of(line).to_owned()).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO readings.refused_lines (upload_id, line, field, rule, message)
         SELECT $1, line, field, rule, message
         FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS given (line, field, rule, message)
         ON CONFLICT DO NOTHING",
    )
    .bind(upload_id)
    .bind(lines.iter().map(|line| signed(line.line)).collect::<Vec<_>>())
    .bind(texts(|line| &line.field))
    .bind(texts(|line| &line.rule))
    .bind(texts(|line| &line.message))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a portion within a transaction.
pub async fn store_all(connection: &mut PgConnection, portion: &Portion) -> Result<Stored, ReadingsError> {
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
        "UPDATE readings.uploads SET stored = stored + $2, apart = apart + $3, known = known + $4, refused = refused + $5
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
pub async fn delete_chunk(connection: &mut PgConnection, chunk_id: Uuid) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM readings.readings USING readings.chunks, readings.series
         WHERE chunks.chunk_id = $1 AND series.patient_id = chunks.patient_id AND series.trial_id = chunks.trial_id
             AND series.device_id = chunks.device_id AND readings.series = series.series
             AND readings.at BETWEEN chunks.first_at AND chunks.last_at AND readings.chunk = chunks.chunk",
    )
    .bind(chunk_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM readings.chunks WHERE chunk_id = $1").bind(chunk_id).execute(connection).await?;
    Ok(deleted.rows_affected())
}

/// Notes how the log took a chunk of which it was not known yet.
pub async fn settle(connection: &mut PgConnection, chunk_id: Uuid, settled: &Settled) -> Result<(), sqlx::Error> {
    let sql = "SELECT upload_id, apart FROM readings.chunks WHERE chunk_id = $1 AND state = 0 FOR UPDATE";
    let found: Option<(Uuid, bool)> = sqlx::query_as(sql).bind(chunk_id).fetch_optional(&mut *connection).await?;
    let Some((upload_id, was_apart)) = found else { return Ok(()) };
    let (state, is_apart): (i16, bool) = match settled {
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
    sqlx::query("UPDATE readings.chunks SET state = $2, apart = $3 WHERE chunk_id = $1")
        .bind(chunk_id)
        .bind(state)
        .bind(is_apart)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a chunk that was stored apart is the subject's.
pub async fn release(connection: &mut PgConnection, chunk_id: Uuid) -> Result<(), sqlx::Error> {
    let sql = "UPDATE readings.chunks SET state = 1 WHERE chunk_id = $1";
    sqlx::query(sql).bind(chunk_id).execute(connection).await.map(drop)
}

/// How many readings a chunk has.
async fn readings_of(connection: &mut PgConnection, chunk_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT count(*) FROM readings.chunks
         JOIN readings.series ON series.patient_id = chunks.patient_id AND series.trial_id = chunks.trial_id
             AND series.device_id = chunks.device_id
         JOIN readings.readings ON readings.series = series.series
             AND readings.at BETWEEN chunks.first_at AND chunks.last_at AND readings.chunk = chunks.chunk
         WHERE chunks.chunk_id = $1",
    )
    .bind(chunk_id)
    .fetch_one(connection)
    .await
}

/// Counts otherwise what was stored of an upload: so many more, or fewer, are stored and stored apart, so many more refused.
async fn count(
    connection: &mut PgConnection,
    upload_id: Uuid,
    [stored, apart]: [i64; 2],
    refused: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE readings.uploads SET stored = stored + $2, apart = apart + $3, refused = refused + $4 WHERE upload_id = $1",
    )
    .bind(upload_id)
    .bind(stored)
    .bind(apart)
    .bind(refused)
    .execute(connection)
    .await
    .map(drop)
}
