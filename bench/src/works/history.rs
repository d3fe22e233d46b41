//! A patient's history over HTTP beside `psql` reading the same rows.

use std::time::Instant;

use event_store::log::{Expected, Write};
use events::envelope::NewEvent;
use events::ids::StreamKey;
use sqlx::{Connection, Executor, PgConnection};
use tokio::process::Command;

use crate::measure::{Goal, Row};
use crate::system::{Client, System};
use crate::workload::{event, of_writes, patient, references};
use crate::works::relay::fill;
use crate::{Bench, BenchError};

/// The patient whose history is read, and how many events it has.
const NUMBER: usize = 1_000_000_007;
const EVENTS: usize = 1_000;
/// What stands once with each event.
const EACH: &[u8] = b"\"event_id\":";
/// Readings of one round.
const READINGS: usize = 20;

/// Figure 10.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let others = if bench.is_short() { 20_000 } else { 1_000_000 };
    let database = bench.database().await?;
    // The patient's events lie among the others.
    let mut version = 0;
    for _ in 0..10 {
        version = fill(&database.store, version, others / 10).await?;
        let new = NewEvent::of(&event(), chrono::DateTime::UNIX_EPOCH, references(NUMBER));
        let stream = patient(NUMBER).stream();
        let write = Write { stream, expected: Expected::Any, events: vec![new; EVENTS / 10] };
        database.store.log.append(of_writes(vec![write])).await?;
    }
    PgConnection::connect(&database.url).await?.execute("VACUUM ANALYZE events").await?;
    let system = System::query_api(bench, &database.url).await?;
    let mut client = Client::connect(&system).await?;
    // A page: of a copy it would be recorded first that it was made.
    let path = format!("/v1/patients/{}/history?limit={EVENTS}", patient(NUMBER));
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        let begun = Instant::now();
        for _ in 0..READINGS {
            let (status, body) = client.get(&path).await?;
            let events = body.windows(EACH.len()).filter(|part| *part == EACH).count();
            if events != EVENTS {
                return Err(BenchError::Said(format!("{status}: {events} events in place of {EVENTS}")));
            }
        }
        let ours = begun.elapsed().as_secs_f64() * 1_000.0 / READINGS as f64;
        rounds.push((ours, psql(&database.url).await?));
    }
    system.stop().await?;
    database.close().await?;
    let figure = format!("history of {EVENTS} events among {others}, over HTTP");
    Ok(vec![Row::new(10, figure, "ms", Goal::AtMost(2.0), "psql reading the same rows", rounds)])
}

/// Milliseconds of one reading by `psql`, without its start.
async fn psql(url: &str) -> Result<f64, BenchError> {
    let query =
        format!("SELECT * FROM events WHERE patient_id = '{}' ORDER BY position;\n", patient(NUMBER).stream().id);
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("history.sql");
    std::fs::write(&script, format!("\\timing on\n\\o /dev/null\n{}", query.repeat(READINGS)))?;
    let output = Command::new("psql").args(["--no-psqlrc", "--quiet", "--file"]).arg(&script).arg(url).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let times: Vec<f64> =
        text.lines().filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse().ok()).collect();
    if times.len() != READINGS {
        return Err(BenchError::Said(format!("psql: {text} {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(times.iter().sum::<f64>() / times.len() as f64)
}
