//! The relay into JetStream beside bare pipelined publishing of the same bytes.

use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::{HeaderValue, jetstream};
use event_bus::{Relay, RelayOptions, Topology, message, topology};
use event_store::Store;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::measure::{Goal, Row};
use crate::workload::{STREAMS, append};
use crate::{Bench, BenchError};

/// Messages on their way, as the relay has them.
const WINDOW: usize = topology::PUBLISH_WINDOW as usize;

/// Figure 9.
pub async fn relay(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let events = if bench.is_short() { 20_000 } else { 100_000 };
    let database = bench.database().await?;
    fill(&database.store, 0, events).await?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        rounds.push((relayed(bench, &database.store, events).await?, bare(bench, &database.store, events).await?));
    }
    database.close().await?;
    // Every message is signed, which bare publishing does not.
    let row = Row::new(9, "relay into JetStream", "/s", Goal::AtLeast(0.8), "bare pipelined publishing", rounds);
    Ok(vec![row.so_far(0.38)])
}

/// Appends so many events to streams that all stand at `version`; gives where they stand then.
pub async fn fill(store: &Store, version: u64, events: usize) -> Result<u64, BenchError> {
    let rounds = events.div_ceil(STREAMS * 10) as u64;
    for round in 0..rounds {
        let appends = (0..STREAMS).map(|number| store.log.append(append(number, version + round * 10, 10)));
        let mut appends = futures::stream::iter(appends).buffer_unordered(64);
        while let Some(appended) = appends.next().await {
            appended?;
        }
    }
    Ok(version + rounds * 10)
}

fn said(error: impl std::fmt::Display) -> BenchError {
    BenchError::Said(error.to_string())
}

async fn relayed(bench: &Bench, store: &Store, events: usize) -> Result<f64, BenchError> {
    let nats = bench.nats()?;
    let client = async_nats::connect(nats.url()).await.map_err(said)?;
    // A stream that was never filled begins at the log's beginning.
    let at = store.checkpoints.load(topology::RELAY_CHECKPOINT).await.map_err(said)?;
    store.checkpoints.advance(topology::RELAY_CHECKPOINT, at, 0).await.map_err(said)?;
    let begun = Instant::now();
    let stop = CancellationToken::new();
    let relay = Relay::new(store.clone(), client.clone(), RelayOptions::new(event_bus::signature::example::signer()));
    let running = tokio::spawn(relay.run(stop.clone()));
    let name = Topology::of(store.log.identity().await?.log_id).stream_name();
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let Ok(stream) = jetstream::new(client.clone()).get_stream(&name).await else { continue };
        if stream.cached_info().state.messages >= events as u64 {
            break;
        }
    }
    let elapsed = begun.elapsed();
    stop.cancel();
    running.await.map_err(said)?;
    Ok(events as f64 / elapsed.as_secs_f64())
}

async fn bare(bench: &Bench, store: &Store, events: usize) -> Result<f64, BenchError> {
    let identity = store.log.identity().await?;
    let names = Topology::of(identity.log_id);
    let mut messages = Vec::with_capacity(events);
    while messages.len() < events {
        for event in store.log.read_all(messages.len() as u64, 5_000).await? {
            let mut headers = message::headers(identity, &event);
            headers.insert(NATS_MESSAGE_ID, event.event_id.to_string());
            headers.insert(NATS_EXPECTED_STREAM, names.stream_name());
            headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(messages.len() as u64));
            messages.push((names.subject(&event), headers, event.payload));
        }
    }
    let nats = bench.nats()?;
    let client = async_nats::connect(nats.url()).await.map_err(said)?;
    let context = jetstream::context::ContextBuilder::new().max_ack_inflight(2 * WINDOW).build(client);
    context.create_stream(names.config(1)).await.map_err(said)?;
    let begun = Instant::now();
    let mut waiting = FuturesOrdered::new();
    for (subject, headers, payload) in messages {
        if waiting.len() >= WINDOW {
            let acknowledged: Result<_, _> = waiting.next().await.unwrap_or_else(|| unreachable!("it is not empty"));
            let _: jetstream::publish::PublishAck = acknowledged.map_err(said)?;
        }
        let sent = context.publish_with_headers(subject, headers, payload).await.map_err(said)?;
        waiting.push_back(sent.into_future());
    }
    while let Some(acknowledged) = waiting.next().await {
        acknowledged.map_err(said)?;
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}
