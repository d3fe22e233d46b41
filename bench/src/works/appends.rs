//! Bare appends: on PostgreSQL beside a bare insert of the same rows, embedded beside UmaDB.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::log::EventLog;
use events::ids::StreamKey;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::load::{Caller, closed_loop};
use crate::measure::{Goal, Row};
use crate::workload::{STREAMS, append, event, patient, references};
use crate::{Bench, BenchError};
use events::set::EventSet;

/// Callers on PostgreSQL.
const CALLERS: usize = 256;
/// Callers on the embedded engine.
const CALLERS_EMBEDDED: usize = 64;
/// Rows of one statement of the bare insert.
const ROWS: usize = 256;

/// Appends to streams of its own, whose versions it knows.
pub struct Appender {
    log: Arc<dyn EventLog>,
    streams: Vec<(usize, u64)>,
    turn: usize,
}

impl Caller for Appender {
    async fn call(&mut self) -> Result<(), BenchError> {
        self.turn = (self.turn + 1) % self.streams.len();
        let (number, version) = &mut self.streams[self.turn];
        self.log.append(append(*number, *version, 1)).await?;
        *version += 1;
        Ok(())
    }
}

/// Callers that share all streams among them, each of which stands at its version.
pub fn appenders(log: &Arc<dyn EventLog>, callers: usize, versions: &[u64]) -> Vec<Appender> {
    let streams = |caller: usize| (caller..STREAMS).step_by(callers).map(|number| (number, versions[number])).collect();
    (0..callers).map(|caller| Appender { log: log.clone(), streams: streams(caller), turn: 0 }).collect()
}

/// Where the callers left the streams.
pub fn versions(appenders: &[Appender]) -> Vec<u64> {
    let mut versions = vec![0; STREAMS];
    for (number, version) in appenders.iter().flat_map(|appender| &appender.streams) {
        versions[*number] = *version;
    }
    versions
}

/// Appends a second of `callers` on a fresh store.
async fn rate(bench: &Bench, log: &Arc<dyn EventLog>, callers: usize) -> Result<f64, BenchError> {
    let (load, _) =
        closed_loop(appenders(log, callers, &[0; STREAMS]), bench.warm_up(), bench.duration(), None).await?;
    Ok(load.rate())
}

/// Figure 2.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        let ours = {
            let database = bench.database().await?;
            let rate = rate(bench, &database.store.log, CALLERS).await?;
            database.close().await?;
            rate
        };
        let database = bench.database().await?;
        let bare = bare_insert(&database.url, bench.warm_up(), bench.duration()).await?;
        database.close().await?;
        rounds.push((ours, bare));
    }
    let figure = format!("appends, PostgreSQL, {CALLERS} callers");
    let beside = format!("bare insert of {ROWS} rows a statement");
    Ok(vec![Row::new(2, figure, "/s", Goal::AtLeast(0.6), beside, rounds)])
}

/// Rows a second of one connection that inserts the same rows and checks nothing.
async fn bare_insert(url: &str, warm_up: Duration, duration: Duration) -> Result<f64, BenchError> {
    const SQL: &str = "WITH stored AS (
        INSERT INTO events (position, stream_type, stream_id, version, event_id, event_type, schema_version, payload,
            occurred_at, recorded_at, actor, command_id, correlation_id, trial_id, site_id, patient_id)
        SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::uuid[]),
            unnest($6::text[]), unnest($7::smallint[]), unnest($8::bytea[]), unnest($9::timestamptz[]),
            unnest($10::timestamptz[]), unnest($11::text[]), unnest($12::uuid[]), unnest($13::uuid[]),
            unnest($14::uuid[]), unnest($15::uuid[]), unnest($16::uuid[])
    ) INSERT INTO commands (command_id, fingerprint, position, recorded_at, event_count)
      SELECT unnest($12::uuid[]), unnest($17::bytea[]), unnest($1::bigint[]), unnest($9::timestamptz[]),
          unnest($18::smallint[])";
    let mut connection = PgConnection::connect(url).await?;
    let payload = event().encode().to_vec();
    let (begin, end) = (Instant::now() + warm_up, Instant::now() + warm_up + duration);
    let (mut position, mut counted) = (0_u64, 0_u64);
    while Instant::now() < end {
        let rows: Vec<u64> = (position + 1..=position + ROWS as u64).collect();
        let number = |position: &u64| (*position as usize) % STREAMS;
        let uuids: Vec<Uuid> = rows.iter().map(|_| Uuid::now_v7()).collect();
        let now = chrono::DateTime::from_timestamp_micros(i64::try_from(position).unwrap_or(0)).unwrap_or_default();
        let reference = |of: fn(&events::envelope::References) -> Option<Uuid>| -> Vec<Option<Uuid>> {
            rows.iter().map(|position| of(&references(number(position)))).collect()
        };
        sqlx::query(SQL)
            .bind(rows.iter().map(|position| position.cast_signed()).collect::<Vec<_>>())
            .bind(vec!["patient"; ROWS])
            .bind(rows.iter().map(|position| patient(number(position)).stream().id).collect::<Vec<_>>())
            .bind(rows.iter().map(|position| (position / STREAMS as u64 + 1).cast_signed()).collect::<Vec<_>>())
            .bind(uuids.clone())
            .bind(vec!["ObservationRecorded"; ROWS])
            .bind(vec![1_i16; ROWS])
            .bind(vec![payload.clone(); ROWS])
            .bind(vec![now; ROWS])
            .bind(vec![now; ROWS])
            .bind(vec![r#"{"id":"bench","role":"system"}"#; ROWS])
            .bind(uuids.clone())
            .bind(uuids)
            .bind(reference(|references| references.trial_id.map(Uuid::from)))
            .bind(reference(|references| references.site_id.map(Uuid::from)))
            .bind(reference(|references| references.patient_id.map(Uuid::from)))
            .bind(vec![vec![7_u8; 32]; ROWS])
            .bind(vec![1_i16; ROWS])
            .execute(&mut connection)
            .await?;
        position += ROWS as u64;
        if Instant::now() >= begin {
            counted += ROWS as u64;
        }
    }
    connection.close().await?;
    Ok(counted as f64 / duration.as_secs_f64())
}

/// Figure 3.
pub async fn embedded(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        let file = bench.file().await?;
        let ours = rate(bench, &file.store.log, CALLERS_EMBEDDED).await?;
        file.close().await;
        rounds.push((ours, bench.peer("umadb", CALLERS_EMBEDDED, None).await?));
    }
    let figure = format!("appends, embedded, {CALLERS_EMBEDDED} callers");
    Ok(vec![Row::new(3, figure, "/s", Goal::AtLeast(2.0), "UmaDB 0.7, bare appends over gRPC", rounds)])
}
