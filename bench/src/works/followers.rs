//! Many clients of the event stream: how long until the last of them has what was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::load::{Caller, Load, closed_loop, histogram};
use crate::measure::{Goal, Row};
use crate::system::{Client, System, open_trial};
use crate::works::http::{Reporter, reporters, until_caught_up};
use crate::{Bench, BenchError};

/// What a p99 of milliseconds is worth where others work on the machine: no more than that tells of a fault.
const BUSY: f64 = 4.0;
/// Who sends commands, and how long each rests after one: some hundred a second.
const REPORTERS: usize = 16;
const REST: Duration = Duration::from_millis(150);
/// How long a follower may take to have everything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events of one round at most.
const EVENTS_MAX: usize = 1 << 16;
/// What a frame's data begins with.
const DATA: &[u8] = b"data: {\"position\":";
/// What somebody who looks at a screen takes for at once.
const P99_MAX: Duration = Duration::from_millis(100);
/// What nobody may be behind.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// Which events how many followers have, and when the last of them got it.
struct Heard {
    begun: Instant,
    /// The position before the first.
    base: u64,
    followers: AtomicU32,
    events: Vec<(AtomicU32, AtomicU64)>,
}

impl Heard {
    fn from(base: u64) -> Self {
        let events = (0..EVENTS_MAX).map(|_| Default::default()).collect();
        Self { begun: Instant::now(), base, followers: AtomicU32::new(0), events }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn event(&self, position: u64) -> Option<&(AtomicU32, AtomicU64)> {
        let place = position.checked_sub(self.base + 1)?;
        self.events.get(usize::try_from(place).ok()?)
    }

    fn note(&self, position: u64, micros: u64) {
        if let Some((count, last)) = self.event(position) {
            last.fetch_max(micros, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// When the last of all followers got the event.
    fn by_all(&self, position: u64) -> Option<u64> {
        let (count, last) = self.event(position)?;
        let all = count.load(Ordering::Acquire) == self.followers.load(Ordering::Relaxed);
        all.then(|| last.load(Ordering::Relaxed))
    }
}

/// A reporter that remembers when its commands were answered.
struct Committer {
    reporter: Reporter,
    heard: Arc<Heard>,
    answered: Vec<(u64, u64)>,
}

impl Caller for Committer {
    async fn call(&mut self) -> Result<(), BenchError> {
        let (_, position) = self.reporter.submit().await?;
        self.answered.push((position, self.heard.micros()));
        Ok(())
    }
}

/// Ours and what it stands beside, round by round.
type Rounds = Vec<(f64, f64)>;

/// What one round came to.
struct Round {
    load: Load,
    /// Microseconds from a command's answer until the last follower has what it led to.
    behind: Histogram<u64>,
}

/// Figure 17.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let followers = if bench.is_short() { 100 } else { 500 };
    let database = bench.database().await?;
    let system = System::serve(bench, Some(&database.url)).await?;
    let subjects = open_trial(&system).await?;
    let (mut rates, mut latencies) = (Rounds::new(), [Rounds::new(), Rounds::new(), Rounds::new()]);
    for _ in 0..if bench.is_short() { 2 } else { 5 } {
        let with = round(bench, &system, &subjects, followers).await?;
        let without = round(bench, &system, &subjects, 0).await?;
        rates.push((with.load.rate(), without.load.rate()));
        let behind = |quantile| with.behind.value_at_quantile(quantile) as f64 / 1_000.0;
        latencies[0].push((behind(0.5), with.load.millis(0.5)));
        latencies[1].push((behind(0.99), P99_MAX.as_secs_f64() * 1_000.0));
        latencies[2].push((behind(1.0), BEHIND_MAX.as_secs_f64() * 1_000.0));
    }
    system.stop().await?;
    database.close().await?;
    let [p50, p99, max] = latencies;
    let last = |what: &str| format!("from answer to the last of {followers} followers, {what}");
    let figure = format!("commands at a steady rate with {followers} followers");
    Ok(vec![
        Row::new(17, last("p50"), "ms", Goal::AtMost(2.0), "the command's own answer", p50),
        Row::new(17, last("p99"), "ms", Goal::AtMost(1.0), "100 ms", p99).so_far(BUSY),
        Row::new(17, last("at most"), "ms", Goal::AtMost(1.0), "2 s", max),
        Row::new(17, figure, "/s", Goal::AtLeast(0.9), "without", rates),
    ])
}

async fn round(bench: &Bench, system: &System, subjects: &[Value], followers: u32) -> Result<Round, BenchError> {
    until_caught_up(system).await?;
    let mut client = Client::connect(system).await?;
    let heard = Arc::new(Heard::from(head(&mut client).await?));
    let mut following = JoinSet::new();
    for _ in 0..followers {
        let mut client = Client::connect(system).await?;
        let body = client.follow(&format!("/v1/events?after={}", heard.base)).await?;
        following.spawn(follow(client, body, heard.clone()));
    }
    heard.followers.store(followers, Ordering::Relaxed);
    let reporters = reporters(system, subjects).await?.into_iter().take(REPORTERS);
    let committer = |reporter| Committer { reporter, heard: heard.clone(), answered: Vec::new() };
    let committers = reporters.map(committer).collect();
    let (load, committers) = closed_loop(committers, bench.warm_up(), bench.duration(), Some(REST)).await?;
    let mut behind = histogram();
    let until = Instant::now() + PATIENCE;
    for (position, answered) in committers.into_iter().flat_map(|committer| committer.answered) {
        let last = loop {
            if let Some(last) = heard.by_all(position) {
                break last;
            }
            if let Some(ended) = following.try_join_next() {
                ended.map_err(|_| BenchError::Said("a follower panicked".to_owned()))??;
            }
            if Instant::now() > until {
                return Err(BenchError::Said(format!("not every follower has position {position}")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        // A follower may have it before its sender has the answer.
        behind.saturating_record(last.saturating_sub(answered));
    }
    following.shutdown().await;
    Ok(Round { load, behind })
}

/// Where the log ends.
async fn head(client: &mut Client) -> Result<u64, BenchError> {
    let (_, body) = client.get("/v1/views").await?;
    let views: Value = serde_json::from_slice(&body).map_err(|error| BenchError::Said(error.to_string()))?;
    views["position"].as_u64().ok_or_else(|| BenchError::Said("the system does not say where its log ends".to_owned()))
}

/// Notes what comes, until it is aborted; the connection lasts as long as its client.
async fn follow(_client: Client, mut body: Incoming, heard: Arc<Heard>) -> Result<(), BenchError> {
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let micros = heard.micros();
        rest.extend_from_slice(&data);
        let mut begin = 0;
        while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            if let Some(position) = position(&rest[begin..begin + length]) {
                heard.note(position, micros);
            }
            begin += length + 1;
        }
        rest.drain(..begin);
    }
    Err(BenchError::Said("the event stream ended".to_owned()))
}

/// The position of the event in a line; none where it holds none.
fn position(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(DATA)?;
    let digits = &digits[..digits.iter().position(|byte| !byte.is_ascii_digit())?];
    std::str::from_utf8(digits).ok()?.parse().ok()
}
