//! Commands over HTTP beside a bare handler; how far behind views and
//! subscribers are; how long it takes until they show a command.

use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use event_bus::{Topology, message};
use futures::StreamExt;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::load::{Caller, closed_loop, histogram};
use crate::measure::{Goal, Row};
use crate::system::{Client, System, open_trial};
use crate::{Bench, BenchError};

const CONNECTIONS: usize = 64;
/// How far views and subscribers may be behind at the end.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// Submits reports, one after the other.
pub struct Reporter {
    client: Client,
    subjects: Vec<Value>,
    turn: usize,
}

impl Reporter {
    /// Submits one; gives its id and the position in the answer.
    pub async fn submit(&mut self) -> Result<(Uuid, u64), BenchError> {
        self.turn += 1;
        let subject = &self.subjects[self.turn % self.subjects.len()];
        // One in a hundred raises an alert.
        let pain = if self.turn.is_multiple_of(100) { 8 } else { self.turn % 7 };
        let body = json!({"subject_id": subject, "instrument": "PAIN-NRS", "answers": {"PAIN": pain}});
        let id = Uuid::now_v7();
        let answer =
            self.client.post(&format!("/v1/reports/{id}/submit-report"), Bytes::from(body.to_string())).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| BenchError::Said(error.to_string()))?;
        // The bare handler has no log.
        Ok((id, answer["position"].as_u64().unwrap_or(0)))
    }
}

impl Caller for Reporter {
    async fn call(&mut self) -> Result<(), BenchError> {
        self.submit().await.map(drop)
    }
}

/// One on each of the connections.
pub async fn reporters(system: &System, subjects: &[Value]) -> Result<Vec<Reporter>, BenchError> {
    let mut reporters = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let client = Client::connect(system).await?;
        reporters.push(Reporter { client, subjects: subjects.to_vec(), turn: number * 31 });
    }
    Ok(reporters)
}

/// Submits so many reports over all connections.
pub async fn submit_many(system: &System, subjects: &[Value], count: usize) -> Result<(), BenchError> {
    let tasks = reporters(system, subjects).await?.into_iter().map(|mut reporter| {
        tokio::spawn(async move {
            for _ in 0..count.div_ceil(CONNECTIONS) {
                reporter.submit().await?;
            }
            Ok::<(), BenchError>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.map_err(|_| BenchError::Said("a caller panicked".to_owned()))??;
    }
    Ok(())
}

/// Commands a second; afterwards everything must have caught up in time.
async fn commands(system: &System, bench: &Bench, duration: Duration) -> Result<(f64, Behind), BenchError> {
    let subjects = open_trial(system).await?;
    let reporters = reporters(system, &subjects).await?;
    let (load, _) = closed_loop(reporters, bench.warm_up(), duration, None).await?;
    Ok((load.rate(), caught_up(system).await?))
}

/// How many events views and subscribers are behind.
#[derive(Clone, Copy, Default)]
pub struct Behind {
    views: u64,
    stream: u64,
}

impl Behind {
    /// The greater of two rounds.
    fn max(self, other: Self) -> Self {
        Self { views: self.views.max(other.views), stream: self.stream.max(other.stream) }
    }

    /// Whether anything is behind.
    pub const fn is_late(self) -> bool {
        self.views + self.stream > 0
    }

    /// What the figure says of it.
    fn told(self) -> String {
        match self {
            Self { views: 0, stream: 0 } => "all within 2 s".to_owned(),
            Self { views, stream } => format!("after 2 s views {views}, JetStream {stream} events behind"),
        }
    }
}

/// Waits at most two seconds until views and subscribers have everything.
async fn caught_up(system: &System) -> Result<Behind, BenchError> {
    let ended = Instant::now();
    let mut client = Client::connect(system).await?;
    loop {
        let behind = behind(system, &mut client).await?;
        if !behind.is_late() || ended.elapsed() > BEHIND_MAX {
            return Ok(behind);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many events views, process managers and subscribers are behind now.
pub async fn behind(system: &System, client: &mut Client) -> Result<Behind, BenchError> {
    let (_, body) = client.get("/v1/views").await?;
    let views: Value = serde_json::from_slice(&body).map_err(|error| BenchError::Said(error.to_string()))?;
    let behind = views["items"]
        .as_array()
        .map_or(0, |items| items.iter().filter_map(|view| view["behind"].as_u64()).max().unwrap_or(0));
    let head = views["position"].as_u64().unwrap_or(0);
    let published = match &system.nats {
        Some(nats) => published(&nats.url()).await?,
        None => head,
    };
    Ok(Behind { views: behind, stream: head.saturating_sub(published) })
}

/// Waits until views, process managers and subscribers have everything, however long that takes.
pub async fn until_caught_up(system: &System) -> Result<(), BenchError> {
    let mut client = Client::connect(system).await?;
    while behind(system, &mut client).await?.is_late() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The position of the stream's last message; 0 where there is none yet.
async fn published(url: &str) -> Result<u64, BenchError> {
    let said = |error: String| BenchError::Said(error);
    let client = async_nats::connect(url).await.map_err(|error| said(error.to_string()))?;
    let context = jetstream::new(client);
    let names = Topology::find(&context).await.map_err(|error| said(error.to_string()))?;
    let Some(names) = names else { return Ok(0) };
    let stream = context.get_stream(names.stream_name()).await.map_err(|error| said(error.to_string()))?;
    let last = stream.cached_info().state.last_sequence;
    if last == 0 {
        return Ok(0);
    }
    let message = stream.get_raw_message(last).await.map_err(|error| said(error.to_string()))?;
    message::position(&message.headers).ok_or_else(|| said("a message is not ours".to_owned()))
}

/// Commands a second of the bare handler.
async fn echoes(bench: &Bench) -> Result<f64, BenchError> {
    let system = System::echo().await?;
    let subjects = vec![json!(Uuid::now_v7()); 200];
    let reporters = reporters(&system, &subjects).await?;
    let (load, _) = closed_loop(reporters, bench.warm_up(), bench.duration(), None).await?;
    system.stop().await?;
    Ok(load.rate())
}

/// How long the measured load lasts: a minute, in which whoever cannot follow falls behind.
fn sustained(bench: &Bench) -> Duration {
    if bench.is_short() { bench.duration() } else { Duration::from_secs(60) }
}

/// Figure 4.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut rounds, mut behind) = (Vec::new(), Behind::default());
    for _ in 0..bench.rounds().min(3) {
        let database = bench.database().await?;
        let system = System::serve(bench, Some(&database.url)).await?;
        let (ours, late) = commands(&system, bench, sustained(bench)).await?;
        behind = behind.max(late);
        system.stop().await?;
        database.close().await?;
        rounds.push((ours, echoes(bench).await?));
    }
    let figure =
        format!("submit-report over HTTP, PostgreSQL + JetStream, {CONNECTIONS} connections; {}", behind.told());
    Ok(vec![Row::new(4, figure, "/s", Goal::AtLeast(0.2), "bare axum handler", rounds).so_far(0.06)])
}

/// Figure 5.
pub async fn embedded(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut rounds, mut behind) = (Vec::new(), Behind::default());
    for _ in 0..bench.rounds().min(3) {
        let system = System::serve(bench, None).await?;
        let (ours, late) = commands(&system, bench, sustained(bench)).await?;
        behind = behind.max(late);
        system.stop().await?;
        rounds.push((ours, echoes(bench).await?));
    }
    let figure = format!("submit-report over HTTP, embedded, {CONNECTIONS} connections; {}", behind.told());
    Ok(vec![Row::new(5, figure, "/s", Goal::AtLeast(0.35), "bare axum handler", rounds).so_far(0.05)])
}

/// Latencies at half of the greatest load.
#[derive(Default)]
struct Latencies {
    /// (ours, the command's own answer) for p50 and p99, in milliseconds.
    view: [Vec<(f64, f64)>; 2],
    stream: [Vec<(f64, f64)>; 2],
}

/// Figures 6 and 7.
pub async fn latency(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut latencies = Latencies::default();
    for _ in 0..bench.rounds().min(3) {
        let database = bench.database().await?;
        let system = System::serve(bench, Some(&database.url)).await?;
        half_load(bench, &system, &mut latencies).await?;
        system.stop().await?;
        database.close().await?;
    }
    let row = |number, figure: &str, rounds| {
        Row::new(number, figure, "ms", Goal::AtMost(2.0), "the command's own answer", rounds)
    };
    let Latencies { view: [view_p50, view_p99], stream: [stream_p50, stream_p99] } = latencies;
    Ok(vec![
        row(6, "from answer to view, p50", view_p50),
        row(6, "from answer to view, p99", view_p99),
        row(7, "from answer to JetStream subscriber, p50", stream_p50),
        row(7, "from answer to JetStream subscriber, p99", stream_p99),
    ])
}

async fn half_load(bench: &Bench, system: &System, latencies: &mut Latencies) -> Result<(), BenchError> {
    let subjects = open_trial(system).await?;
    let all = reporters(system, &subjects).await?;
    let (full, reporters) = closed_loop(all, bench.warm_up(), Duration::from_secs(3), None).await?;
    // What full load left behind is not half load's.
    until_caught_up(system).await?;
    // Each rests as long as a command takes at full load: about half of it is left.
    let rest = Duration::from_secs_f64(CONNECTIONS as f64 / full.rate());
    let probe = Reporter { client: Client::connect(system).await?, subjects: subjects.clone(), turn: 0 };
    let probing = probe_views(system, probe, bench.warm_up() + bench.duration());
    let url = system.nats.as_ref().map(xtask::servers::NatsServer::url);
    let hearing = hear(url.as_deref(), system, &subjects, bench.warm_up() + bench.duration());
    let load = closed_loop(reporters, bench.warm_up(), bench.duration(), Some(rest));
    let (load, views, heard) = tokio::join!(load, probing, hearing);
    let (load, _) = load?;
    let (views, heard) = (views?, heard?);
    for (place, quantile) in [0.5, 0.99].into_iter().enumerate() {
        let millis = |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        latencies.view[place].push((millis(&views), load.millis(quantile)));
        latencies.stream[place].push((millis(&heard), load.millis(quantile)));
    }
    Ok(())
}

/// Sends a report and asks for it until its view shows it, again and again.
async fn probe_views(system: &System, mut probe: Reporter, during: Duration) -> Result<Histogram<u64>, BenchError> {
    let mut reader = Client::connect(system).await?;
    let (end, mut micros) = (Instant::now() + during, histogram());
    while Instant::now() < end {
        let (id, position) = probe.submit().await?;
        let answered = Instant::now();
        let (status, _) = reader.get(&format!("/v1/reports/{id}?at_least={position}")).await?;
        if !status.is_success() {
            return Err(BenchError::Said(format!("the view does not show {id}: {status}")));
        }
        micros.saturating_record(u64::try_from(answered.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(micros)
}

/// Sends a report and waits until a subscriber has it, again and again.
async fn hear(
    url: Option<&str>,
    system: &System,
    subjects: &[Value],
    during: Duration,
) -> Result<Histogram<u64>, BenchError> {
    let said = |error: String| BenchError::Said(error);
    let client = async_nats::connect(url.unwrap_or_default()).await.map_err(|error| said(error.to_string()))?;
    let mut messages = client.subscribe("anamnesis.*.events.>").await.map_err(|error| said(error.to_string()))?;
    client.flush().await.map_err(|error| said(error.to_string()))?;
    let (sender, mut positions) = tokio::sync::watch::channel(0_u64);
    let listening = tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let position = message.headers.as_ref().and_then(message::position).unwrap_or(0);
            sender.send_replace(position);
        }
    });
    let mut probe = Reporter { client: Client::connect(system).await?, subjects: subjects.to_vec(), turn: 7 };
    let (end, mut micros) = (Instant::now() + during, histogram());
    while Instant::now() < end {
        let (_, position) = probe.submit().await?;
        let answered = Instant::now();
        let heard = tokio::time::timeout(Duration::from_secs(30), positions.wait_for(|seen| *seen >= position)).await;
        heard.map_err(|_| said("the subscriber does not hear".to_owned()))?.map_err(|error| said(error.to_string()))?;
        micros.saturating_record(u64::try_from(answered.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    listening.abort();
    Ok(micros)
}
