//! Runs one peer for one round and prints its rate: `peers <peer> --callers 64 --seconds 5`.

mod postgres_es;
mod umadb;

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

/// Event streams that are written to, as in the figures of ours.
const STREAMS: usize = 2_000;
/// Events that each stream holds before commands are measured.
const EVENTS_BEFORE: usize = 5;

#[derive(Clone, Copy, ValueEnum)]
enum Peer {
    /// postgres-es 0.5 with cqrs-es: load, decide, append.
    PostgresEs,
    /// UmaDB 0.7: bare appends over gRPC, without conditions.
    Umadb,
}

#[derive(Parser)]
struct Arguments {
    peer: Peer,
    #[arg(long)]
    callers: usize,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    warm_up_seconds: u64,
    /// An empty database, for peers on PostgreSQL.
    #[arg(long)]
    database_url: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let rate = match arguments.peer {
        Peer::PostgresEs => postgres_es::rate(&arguments).await?,
        Peer::Umadb => umadb::rate(&arguments).await?,
    };
    // The last line is the figure; a peer may have printed before it.
    println!("\n{rate}");
    Ok(())
}

/// About 250 bytes, as in the figures of ours.
fn payload() -> String {
    "x".repeat(160)
}

/// Calls a second of `callers` in a closed loop, after a warm-up.
async fn closed_loop<F, Call>(arguments: &Arguments, caller: impl Fn(usize) -> Call) -> Result<f64, Box<dyn Error>>
where
    Call: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<(), String>> + Send,
{
    let begin = Instant::now() + Duration::from_secs(arguments.warm_up_seconds);
    let end = begin + Duration::from_secs(arguments.seconds);
    let tasks = (0..arguments.callers).map(|number| {
        let mut call = caller(number);
        tokio::spawn(async move {
            let mut done = 0_u64;
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return Ok::<u64, String>(done);
                }
                call().await?;
                if sent >= begin {
                    done += 1;
                }
            }
        })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += task.await??;
    }
    Ok(done as f64 / arguments.seconds as f64)
}
