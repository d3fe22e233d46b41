//! One client, one command at a time, beside one INSERT by pgbench.

use std::time::Duration;

use tokio::process::Command;

use crate::keys::executor;
use crate::load::closed_loop;
use crate::measure::{Goal, Row};
use crate::works::commands::{commanders, prepare};
use crate::{Bench, BenchError};

/// Figure 13.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        let database = bench.database().await?;
        prepare(&*database.store.log).await?;
        let executor = executor(&database.store).await?;
        let (load, _) = closed_loop(commanders(&executor, 1), bench.warm_up(), bench.duration(), None).await?;
        let theirs = pgbench(&database.url, bench.duration()).await?;
        database.close().await?;
        rounds.push((load.millis(0.5), theirs));
    }
    Ok(vec![Row::new(
        13,
        "one client's command, PostgreSQL, p50",
        "ms",
        Goal::AtMost(3.0),
        "one INSERT by pgbench",
        rounds,
    )])
}

/// The median latency of one INSERT in a transaction, in milliseconds.
async fn pgbench(url: &str, duration: Duration) -> Result<f64, BenchError> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("insert.sql");
    let payload = "x".repeat(250);
    tokio::fs::write(&script, format!("INSERT INTO bare (payload) VALUES ('{payload}');\n")).await?;
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, payload text)")
        .execute(&mut connection)
        .await?;
    let bin = xtask::install::postgres_bin()?;
    let output = Command::new(bin.join("pgbench"))
        .args(["--no-vacuum", "--client=1", "--log", "--time", &duration.as_secs().max(1).to_string()])
        .arg("--file")
        .arg(&script)
        .arg(url)
        .current_dir(folder.path())
        .output()
        .await?;
    if !output.status.success() {
        return Err(BenchError::Said(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut micros: Vec<u64> = Vec::new();
    for entry in std::fs::read_dir(folder.path())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("pgbench_log") {
            let text = std::fs::read_to_string(entry.path())?;
            micros.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()));
        }
    }
    micros.sort_unstable();
    let middle = micros.get(micros.len() / 2).ok_or_else(|| BenchError::Said("pgbench logged nothing".to_owned()))?;
    Ok(*middle as f64 / 1_000.0)
}
