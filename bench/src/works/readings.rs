//! Readings of wearables: a file of them by tus, broken off again and again, beside a bare write of the same rows.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor as _, PgConnection, SqliteConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::measure::{Goal, Row};
use crate::system::{Client, Opened, System, open_with_patients};
use crate::{Bench, BenchError};

/// How often the upload is broken off.
const BREAKS: usize = 20;
/// What it must stay under, in MiB.
const RESIDENT_MIB_MAX: f64 = 150.0;
/// What is asked for, in lines a second.
const EMBEDDED_MIN: f64 = 100_000.0;
const POSTGRES_MIN: f64 = 60_000.0;
/// Rows of one statement of the bare write.
const ROWS: usize = 500;
/// Bytes that are sent between two looks at memory.
const PIECE: usize = 4 * 1024 * 1024;

/// Figure 20.
pub async fn both(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let count = if bench.is_short() { 300_000 } else { 10_000_000 };
    let mut rows = Vec::new();
    let system = System::serve(bench, None).await?;
    let taken = taken(&system, count).await?;
    let bare = bare_sqlite(&system, count).await?;
    system.stop().await?;
    rows.extend(of_engine("embedded", count, &taken, EMBEDDED_MIN, "bare INSERT", bare));
    let database = bench.database().await?;
    let system = System::serve(bench, Some(&database.url)).await?;
    let taken = self::taken(&system, count).await?;
    let bare = bare_postgres(&database.url, count).await?;
    system.stop().await?;
    database.close().await?;
    rows.extend(of_engine("PostgreSQL", count, &taken, POSTGRES_MIN, "bare COPY", bare));
    Ok(rows)
}

/// What became of an upload.
struct Taken {
    /// Lines a second.
    rate: f64,
    /// Lines a second of the same again.
    again: f64,
    /// The most memory that was seen, in MiB.
    resident: f64,
}

fn of_engine(engine: &str, count: u32, taken: &Taken, asked: f64, beside: &str, bare: f64) -> Vec<Row> {
    let figure = format!("readings of {count} by tus with {BREAKS} breaks, {engine}");
    let (goal, resident) = (format!("{asked} /s"), vec![(taken.resident, RESIDENT_MIB_MAX)]);
    vec![
        Row::new(20, figure.clone(), "/s", Goal::AtLeast(1.0), goal, vec![(taken.rate, asked)]),
        Row::new(20, figure.clone(), "/s", Goal::AtLeast(0.05), beside, vec![(taken.rate, bare)]),
        Row::new(
            20,
            format!("{figure}, the same again"),
            "/s",
            Goal::AtLeast(0.5),
            "at first",
            vec![(taken.again, taken.rate)],
        ),
        Row::new(20, format!("{figure}, memory"), "MiB", Goal::AtMost(1.0), "150 MiB", resident),
    ]
}

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_312_000, 0).unwrap_or_default()
}

/// The readings of one second each.
fn lines(first: u32, count: u32) -> String {
    let mut text = String::new();
    for second in first..first + count {
        let at = (begin() + TimeDelta::seconds(second.into())).to_rfc3339_opts(SecondsFormat::Secs, true);
        let value = 60 + second % 40;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{{\"device\":\"W-0042\",\"kind\":\"heart-rate\",\"at\":\"{at}\",\"value\":{value},\"unit\":\"/min\"}}"
        );
    }
    text
}

/// Somebody who takes part, and has a device, for longer than there are readings.
async fn wearer(system: &System) -> Result<(Uuid, Uuid), BenchError> {
    let Opened { trial, site, .. } = open_with_patients(system).await?;
    let mut client = Client::connect(system).await?;
    let patient = Uuid::now_v7();
    let form = json!({"trial_id": trial, "form_version": "1", "language": "en"});
    let (mut present, mut sign) = (form.clone(), form);
    (present["site_id"], present["occurred_at"]) = (json!(site), json!("2026-01-01T08:00:00Z"));
    sign["signed_at"] = json!("2026-01-01T09:00:00Z");
    let subject = events::ids::SubjectId::of(patient.into(), trial.into());
    for (path, body) in [
        (format!("patients/{patient}/register-patient"), json!({})),
        (format!("patients/{patient}/present-consent-form"), present),
        (format!("patients/{patient}/sign-consent"), sign),
        (format!("patients/{patient}/screen-patient"), json!({"trial_id": trial})),
        (format!("subjects/{subject}/assign-device"), json!({"device": "W-0042", "from": "2026-01-02T00:00:00Z"})),
    ] {
        client.post(&format!("/v1/{path}"), Bytes::from(body.to_string())).await?;
    }
    Ok((trial, patient))
}

/// Sends them twice.
async fn taken(system: &System, count: u32) -> Result<Taken, BenchError> {
    let (trial, patient) = wearer(system).await?;
    let text = lines(0, count).into_bytes();
    let (elapsed, resident) = sent(system, trial, patient, &text, BREAKS).await?;
    let (again, later) = sent(system, trial, patient, &text, 0).await?;
    let rate = |elapsed: Duration| f64::from(count) / elapsed.as_secs_f64();
    Ok(Taken { rate: rate(elapsed), again: rate(again), resident: resident.max(later) })
}

async fn sent(
    system: &System,
    trial: Uuid,
    patient: Uuid,
    text: &[u8],
    breaks: usize,
) -> Result<(Duration, f64), BenchError> {
    let begun = Instant::now();
    let create = format!(
        "POST /v1/patients/{patient}/readings?trial_id={trial}&format=ndjson HTTP/1.1\r\nUpload-Length: {}\r\nContent-Length: 0\r\n",
        text.len()
    );
    let answer = spoken(system, &create, &[]).await?.answer().await?;
    let path = header(&answer, "location").ok_or_else(|| BenchError::Said(answer.clone()))?.to_owned();
    let (mut at, mut resident) = (0, 0_f64);
    for part in 1..=breaks + 1 {
        let to = if part <= breaks { text.len() * part / (breaks + 1) } else { text.len() };
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nUpload-Offset: {at}\r\nContent-Type: application/offset+octet-stream\r\n\
             Content-Length: {}\r\n",
            text.len() - at
        );
        let mut speaking = spoken(system, &head, &[]).await?;
        for piece in text[at..to].chunks(PIECE) {
            speaking.stream.write_all(piece).await?;
            resident = resident.max(system.resident_mib()?);
        }
        if part <= breaks {
            speaking.stream.shutdown().await?;
        }
        drop(speaking.answer().await);
        let told = spoken(system, &format!("HEAD {path} HTTP/1.1\r\n"), &[]).await?.answer().await?;
        let offset = header(&told, "upload-offset").and_then(|offset| offset.parse().ok());
        at = offset.ok_or_else(|| BenchError::Said(told.clone()))?;
    }
    let elapsed = begun.elapsed();
    let (_, body) = Client::connect(system).await?.get(&path).await?;
    let told: Value = serde_json::from_slice(&body).map_err(|error| BenchError::Said(error.to_string()))?;
    let counted = ["stored", "known"].iter().filter_map(|name| told[name].as_u64()).sum::<u64>();
    if told["status"] != "complete" || told["refused"] != 0 || counted != told["lines"].as_u64().unwrap_or(0) {
        return Err(BenchError::Said(told.to_string()));
    }
    Ok((elapsed, resident))
}

/// A request that is being sent.
struct Speaking {
    stream: TcpStream,
}

async fn spoken(system: &System, head: &str, body: &[u8]) -> Result<Speaking, BenchError> {
    let mut stream = TcpStream::connect(&system.address).await?;
    let head = format!(
        "{head}Host: {}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n\r\n",
        system.address, system.token
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    Ok(Speaking { stream })
}

impl Speaking {
    async fn answer(mut self) -> Result<String, BenchError> {
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn header<'answer>(answer: &'answer str, name: &str) -> Option<&'answer str> {
    let fields = answer.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The same rows by many to a statement, and 5,000 to a transaction, into a file of its own that waits for the disk.
async fn bare_sqlite(system: &System, count: u32) -> Result<f64, BenchError> {
    let path = system.data().join("bare.db");
    let mut file = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await?;
    for sql in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE readings (series INTEGER, at INTEGER, lasts INTEGER, value REAL, chunk INTEGER,
             PRIMARY KEY (series, at, lasts)) STRICT, WITHOUT ROWID",
    ] {
        file.execute(sql).await?;
    }
    let sql = format!("INSERT INTO readings VALUES {}", vec!["(1, ?, 0, ?, 1)"; ROWS].join(", "));
    let begun = Instant::now();
    for first in (0..count).step_by(10 * ROWS) {
        file.execute("BEGIN").await?;
        for part in 0..10 {
            let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
            for row in 0..ROWS as u32 {
                let second = first + part * ROWS as u32 + row;
                query = query.bind(i64::from(second)).bind(f64::from(60 + second % 40));
            }
            query.execute(&mut file).await?;
        }
        file.execute("COMMIT").await?;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    file.close().await?;
    Ok(rate)
}

/// The same rows by COPY, 5,000 to a transaction, into a table with the same key.
async fn bare_postgres(url: &str, count: u32) -> Result<f64, BenchError> {
    let mut connection = PgConnection::connect(url).await?;
    connection
        .execute(
            "CREATE TABLE public.bare (series bigint, at timestamptz, lasts bigint, value float8, chunk bigint,
             PRIMARY KEY (series, at, lasts))",
        )
        .await?;
    let begun = Instant::now();
    for first in (0..count).step_by(5_000) {
        let mut text = String::new();
        for second in first..first + 5_000 {
            let at = begin() + TimeDelta::seconds(second.into());
            let _ = writeln!(text, "1\t{at}\t0\t{}\t1", 60 + second % 40);
        }
        let mut copy = connection.copy_in_raw("COPY public.bare FROM STDIN").await?;
        copy.send(text.into_bytes()).await?;
        copy.finish().await?;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}
