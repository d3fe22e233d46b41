//! How long the program takes to start with a million events, beside an empty log.

use event_store::{Store, StoreOptions};

use crate::measure::{Goal, Row};
use crate::system::System;
use crate::works::http::until_caught_up;
use crate::works::rebuild::fill;
use crate::{Bench, BenchError};

/// Milliseconds of starts, with many events and with an empty log.
type Rounds = Vec<(f64, f64)>;

/// Figure 15.
pub async fn both(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let events = if bench.is_short() { 50_000 } else { 1_000_000 };
    let mut rows = embedded(bench, events).await?;
    rows.extend(postgres(bench, events).await?);
    Ok(rows)
}

async fn embedded(bench: &Bench, events: usize) -> Result<Vec<Row>, BenchError> {
    let mut small = System::serve(bench, None).await?;
    small.end().await?;
    let mut great = System::serve(bench, None).await?;
    great.end().await?;
    let url = format!("sqlite:{}", great.data().display());
    filled(&mut great, &Store::open(&url, &StoreOptions::default()).await?, events).await?;
    let [closed, killed] = starts(bench, &mut great, &mut small).await?;
    Ok(vec![
        row(format!("start with {events} events, embedded"), 2.0, closed),
        row(format!("start after kill -9 with {events} events, embedded"), looked_through(events), killed),
    ])
}

async fn postgres(bench: &Bench, events: usize) -> Result<Vec<Row>, BenchError> {
    let (none, many) = (bench.database().await?, bench.database().await?);
    let mut small = System::serve(bench, Some(&none.url)).await?;
    small.end().await?;
    let mut great = System::serve(bench, Some(&many.url)).await?;
    great.end().await?;
    filled(&mut great, &many.store, events).await?;
    let [closed, killed] = starts(bench, &mut great, &mut small).await?;
    none.close().await?;
    many.close().await?;
    Ok(vec![
        row(format!("start with {events} events, PostgreSQL + JetStream"), 2.0, closed),
        row(format!("start after kill -9 with {events} events, PostgreSQL + JetStream"), 2.0, killed),
    ])
}

/// Puts events into the log and lets the program fold them.
async fn filled(system: &mut System, store: &Store, events: usize) -> Result<(), BenchError> {
    fill(store, events).await?;
    store.close().await;
    system.start_again().await?;
    until_caught_up(system).await?;
    system.end().await
}

/// Starts of both in turn: after they were closed, and after they were killed.
async fn starts(bench: &Bench, great: &mut System, small: &mut System) -> Result<[Rounds; 2], BenchError> {
    let mut rounds = [Rounds::new(), Rounds::new()];
    for _ in 0..bench.rounds() {
        let (great, small) = (after_both_ends(great).await?, after_both_ends(small).await?);
        for (place, rounds) in rounds.iter_mut().enumerate() {
            rounds.push((great[place], small[place]));
        }
    }
    Ok(rounds)
}

/// Milliseconds that the program takes to start after it was closed, and after it was killed.
async fn after_both_ends(system: &mut System) -> Result<[f64; 2], BenchError> {
    let closed = system.start_again().await?;
    system.kill().await?;
    let killed = system.start_again().await?;
    system.end().await?;
    Ok([closed, killed].map(|elapsed| elapsed.as_secs_f64() * 1_000.0))
}

/// What the embedded engine may take, in starts with an empty log, where files were not closed: it looks through all
/// of them.
fn looked_through(events: usize) -> f64 {
    const EVENTS_IN_A_START: f64 = 5_000.0;
    1.0 + events as f64 / EVENTS_IN_A_START
}

fn row(figure: String, goal: f64, rounds: Rounds) -> Row {
    Row::new(15, figure, "ms", Goal::AtMost(goal), "with none", rounds)
}
