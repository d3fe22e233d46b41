//! Bytes that the log and what is derived from it take for an event, beside its payload.

use std::path::Path;

use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::process::Command;

use crate::measure::{Goal, Row};
use crate::system::System;
use crate::works::http::until_caught_up;
use crate::{Bench, BenchError};

/// So many are seen at one site.
const SUBJECTS_OF_A_SITE: u32 = 15;

/// What is kept, in bytes.
struct Kept {
    log: u64,
    derived: u64,
}

/// What a log holds.
struct Payloads {
    events: u64,
    bytes: u64,
}

/// What log and derived data may take for a byte of payload.
struct Bounds {
    log: f64,
    derived: f64,
}

const EMBEDDED: Bounds = Bounds { log: 3.0, derived: 5.0 };
const POSTGRES: Bounds = Bounds { log: 4.0, derived: 8.0 };

/// Figure 14: a simulated trial, its process managers' events too, with every view folded.
pub async fn both(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let subjects = if bench.is_short() { 60 } else { 5_000 };
    let mut rows = embedded(bench, subjects).await?;
    rows.extend(postgres(bench, subjects).await?);
    Ok(rows)
}

async fn embedded(bench: &Bench, subjects: u32) -> Result<Vec<Row>, BenchError> {
    let mut system = System::serve(bench, None).await?;
    system.end().await?;
    // Tables without rows take room, too: what counts is what events add.
    let before = Kept::in_files(&system.data()).await?;
    system.start_again().await?;
    simulate(bench, &system, subjects).await?;
    system.end().await?;
    let after = Kept::in_files(&system.data()).await?;
    let mut file = open(&system.data().join("log.db")).await?;
    let (events, bytes): (i64, i64) =
        sqlx::query_as("SELECT count(*), sum(length(payload)) FROM events").fetch_one(&mut file).await?;
    file.close().await?;
    Ok(rows("embedded", &before, &after, &Payloads::of(events, bytes), &EMBEDDED))
}

async fn postgres(bench: &Bench, subjects: u32) -> Result<Vec<Row>, BenchError> {
    let database = bench.database().await?;
    let mut system = System::serve(bench, Some(&database.url)).await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    let before = Kept::in_schemas(&mut connection).await?;
    simulate(bench, &system, subjects).await?;
    system.end().await?;
    let after = Kept::in_schemas(&mut connection).await?;
    let (events, bytes): (i64, i64) = sqlx::query_as("SELECT count(*), sum(length(payload))::bigint FROM log.events")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    database.close().await?;
    Ok(rows("PostgreSQL", &before, &after, &Payloads::of(events, bytes), &POSTGRES))
}

/// Plays a trial and waits until everything is folded.
async fn simulate(bench: &Bench, system: &System, subjects: u32) -> Result<(), BenchError> {
    let mut command = Command::new(bench.anamnesis()?);
    let sites = (subjects / SUBJECTS_OF_A_SITE).max(1);
    command.args(["simulate", "--subjects", &subjects.to_string(), "--sites", &sites.to_string()]);
    command.args(["--concurrency", "64"]);
    command.args(["--url", &format!("http://{}", system.address)]).env("ANAMNESIS_TOKEN", &system.token);
    let output = command.output().await?;
    if !output.status.success() {
        return Err(BenchError::Said(format!("simulate: {}", String::from_utf8_lossy(&output.stderr))));
    }
    until_caught_up(system).await
}

impl Kept {
    /// In the embedded engine's files, once what is in their write-ahead logs is in them.
    async fn in_files(folder: &Path) -> Result<Self, BenchError> {
        let size = async |name: &str| {
            let path = folder.join(name);
            let mut file = open(&path).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut file).await?;
            file.close().await?;
            Ok::<u64, BenchError>(std::fs::metadata(&path)?.len())
        };
        Ok(Self { log: size("log.db").await?, derived: size("derived.db").await? })
    }

    /// In the database, as it stands: with indexes, and with what updates have left behind.
    async fn in_schemas(connection: &mut PgConnection) -> Result<Self, BenchError> {
        const SQL: &str = "SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint FROM pg_class
            WHERE relkind = 'r' AND relnamespace = $1::regnamespace";
        let mut size = async |schema: &str| {
            let size: i64 = sqlx::query_scalar(SQL).bind(schema).fetch_one(&mut *connection).await?;
            Ok::<u64, BenchError>(size.cast_unsigned())
        };
        Ok(Self { log: size("log").await?, derived: size("derived").await? })
    }
}

impl Payloads {
    const fn of(events: i64, bytes: i64) -> Self {
        Self { events: events.cast_unsigned(), bytes: bytes.cast_unsigned() }
    }
}

async fn open(path: &Path) -> Result<SqliteConnection, BenchError> {
    Ok(SqliteConnection::connect(&format!("sqlite://{}", path.display())).await?)
}

fn rows(engine: &str, before: &Kept, after: &Kept, payloads: &Payloads, bounds: &Bounds) -> Vec<Row> {
    let each = |bytes: u64| bytes as f64 / payloads.events as f64;
    let row = |what: &str, bytes: u64, bound: f64| {
        let figure = format!("{what} for an event, {} simulated, {engine}", payloads.events);
        let rounds = vec![(each(bytes), each(payloads.bytes))];
        Row::new(14, figure, "bytes", Goal::AtMost(bound), "its payload", rounds)
    };
    vec![
        row("stored in the log", after.log.saturating_sub(before.log), bounds.log),
        row("derived", after.derived.saturating_sub(before.derived), bounds.derived),
    ]
}
