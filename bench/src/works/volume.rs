//! Appends and commands in a log of ten million events beside one of a hundred thousand.

use event_store::Store;
use events::ids::StreamKey;
use events::set::EventSet;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::keys::executor;
use crate::load::closed_loop;
use crate::measure::{Goal, Row};
use crate::surroundings::Database;
use crate::workload::{STREAMS, event, patient, references};
use crate::works::appends::{appenders, versions};
use crate::works::commands::{Commander, commanders};
use crate::{Bench, BenchError};

const CALLERS: usize = 64;
/// Events of every stream of the filling: of more events there are more streams.
const STREAM_EVENTS: u64 = 10;
/// Into how many turns a round is cut: what disturbs the machine for seconds then disturbs both alike, and not
/// most of the turns.
const TURNS: u32 = 5;
/// Rows of one statement of the filling.
const CHUNK: u64 = 200_000;

/// Figure 11.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (few, many) = if bench.is_short() { (20_000, 200_000) } else { (100_000, 10_000_000) };
    let (small, great) = (filled(bench, few).await?, filled(bench, many).await?);
    let (mut appends, mut latencies) = (Vec::new(), Vec::new());
    let mut versions = (vec![STREAM_EVENTS; STREAMS], vec![STREAM_EVENTS; STREAMS]);
    for _ in 0..bench.rounds() * TURNS as usize {
        let ours = measured(bench, &great.store, &mut versions.1).await?;
        let other = measured(bench, &small.store, &mut versions.0).await?;
        appends.push((ours.0, other.0));
        latencies.push((ours.1, other.1));
    }
    small.close().await?;
    great.close().await?;
    let beside = format!("with {few} events");
    Ok(vec![
        Row::new(11, format!("appends with {many} events, PostgreSQL"), "/s", Goal::AtLeast(0.9), &*beside, appends),
        Row::new(11, format!("command p99 with {many} events"), "ms", Goal::AtMost(1.2), beside, latencies),
    ])
}

/// Appends a second, and the latency that 99 % of the commands keep to in milliseconds.
async fn measured(bench: &Bench, store: &Store, standing: &mut Vec<u64>) -> Result<(f64, f64), BenchError> {
    let (warm_up, duration) = (bench.warm_up(), bench.duration() / TURNS);
    let (load, callers) = closed_loop(appenders(&store.log, CALLERS, standing), warm_up, duration, None).await?;
    *standing = versions(&callers);
    let executor = executor(store).await?;
    let (commands, callers) = closed_loop(commanders(&executor, CALLERS), warm_up, duration, None).await?;
    for number in callers.iter().flat_map(Commander::sent) {
        standing[*number] += 1;
    }
    Ok((load.rate(), commands.millis(0.99)))
}

/// A database whose log holds so many events, evenly on all streams. The
/// measured ones lie at its beginning and grow while they are measured.
async fn filled(bench: &Bench, events: u64) -> Result<Database, BenchError> {
    const SQL: &str = "WITH numbered AS (
        SELECT p, ((p - 1) / $4) AS stream, (p - 1) % $4 + 1 AS version,
            ('01900000-0000-7000-8000-' || lpad(to_hex(p), 12, '0'))::uuid AS id
        FROM generate_series($1::bigint, $2::bigint) AS p
    ), placed AS (
        SELECT *, stream % cardinality($5::uuid[]) + 1 AS place,
            CASE WHEN stream < cardinality($5::uuid[]) THEN ($5::uuid[])[stream + 1] ELSE md5(stream::text)::uuid END
                AS patient
        FROM numbered
    ), stored AS (
        INSERT INTO events (position, stream_type, stream_id, version, event_id, event_type, schema_version, payload,
            occurred_at, recorded_at, actor, command_id, correlation_id, trial_id, site_id, patient_id)
        SELECT p, 'patient', patient, version, id, 'ObservationRecorded', 1, $3::bytea, 'epoch', 'epoch',
            '{\"id\":\"bench\",\"role\":\"system\"}', id, id, ($6::uuid[])[place], ($7::uuid[])[place], patient
        FROM placed
    ), taken AS (
        INSERT INTO commands (command_id, fingerprint, position, recorded_at, event_count)
        SELECT id, '\\x07', p, 'epoch', 1 FROM numbered
    ) UPDATE log_head SET position = $2, recorded_at = now()";
    let database = bench.database().await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    let payload = event().encode().to_vec();
    let ids = |id: fn(usize) -> Option<Uuid>| -> Vec<Option<Uuid>> { (0..STREAMS).map(id).collect() };
    let streams = ids(|number| Some(patient(number).stream().id));
    let trials = ids(|number| references(number).trial_id.map(Uuid::from));
    let sites = ids(|number| references(number).site_id.map(Uuid::from));
    let mut from = 1;
    while from <= events {
        let to = (from + CHUNK - 1).min(events);
        let statement = sqlx::query(SQL).bind(from.cast_signed()).bind(to.cast_signed()).bind(&payload);
        let statement = statement.bind(STREAM_EVENTS.cast_signed()).bind(&streams).bind(&trials).bind(&sites);
        statement.execute(&mut connection).await?;
        from = to + 1;
    }
    // As after a while: otherwise autovacuum begins with it while it is measured.
    sqlx::query("VACUUM (ANALYZE) events, commands").execute(&mut connection).await?;
    sqlx::query("CHECKPOINT").execute(&mut connection).await?;
    Ok(database)
}
