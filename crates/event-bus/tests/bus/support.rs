//! What the tests share.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::{Client, HeaderMap, jetstream};
use event_bus::message::{self, Mark};
use event_bus::signature::example;
use event_bus::{Relay, RelayHealth, RelayOptions, Topology};
use event_store::Store;
use testkit::{NatsServer, eventually};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn options() -> RelayOptions {
    RelayOptions::new(example::signer())
}

pub struct Running {
    pub health: RelayHealth,
    _task: AbortOnDropHandle<()>,
}

pub fn start_relay(store: &Store, client: &Client) -> Running {
    start_relay_with(store, client, options())
}

pub fn start_relay_with(store: &Store, client: &Client, options: RelayOptions) -> Running {
    let relay = Relay::new(store.clone(), client.clone(), options);
    let health = relay.health();
    Running { health, _task: AbortOnDropHandle::new(tokio::spawn(relay.run(CancellationToken::new()))) }
}

pub async fn connect(url: &str) -> Client {
    async_nats::ConnectOptions::new().retry_on_initial_connect().connect(url).await.expect("an address")
}

pub async fn topology(store: &Store) -> Topology {
    Topology::of(store.log.identity().await.expect("an identity").log_id)
}

/// The log's stream, where it is there.
pub async fn stream(store: &Store, client: &Client) -> Option<Stream> {
    let name = topology(store).await.stream_name();
    jetstream::new(client.clone()).get_stream(name).await.ok()
}

/// Subject and headers of the stream's messages, in the stream's order.
pub async fn messages(store: &Store, client: &Client) -> Vec<(String, HeaderMap)> {
    let Some(stream) = stream(store, client).await else { return Vec::new() };
    let state = stream.cached_info().state.clone();
    let mut messages = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if let Ok(message) = stream.get_raw_message(sequence).await {
            messages.push((message.subject.to_string(), message.headers));
        }
    }
    messages
}

/// The marks of the stream's events, in the stream's order.
pub async fn marks(store: &Store, client: &Client) -> Vec<Mark> {
    let messages = messages(store, client).await;
    let events = messages.iter().filter(|(subject, _)| subject.contains(".events."));
    events.map(|(_, headers)| message::mark(headers).expect("a message of ours")).collect()
}

pub async fn positions(store: &Store, client: &Client) -> Vec<u64> {
    marks(store, client).await.iter().map(|mark| mark.position).collect()
}

/// Whether the stream holds the log's events, once and in order.
pub async fn holds_everything(store: &Store, client: &Client) -> bool {
    let marks: Vec<_> = marks(store, client).await.iter().map(|mark| (mark.position, mark.event_id)).collect();
    let events = store.log.read_all(0, 10_000).await.expect("the log");
    marks == events.iter().map(|event| (event.position, event.event_id)).collect::<Vec<_>>()
}

/// Waits until the stream holds the log's events, once and in order.
pub async fn wait_for_everything(store: &Store, client: &Client) {
    eventually("the stream holds the log", PATIENCE, async || holds_everything(store, client).await).await;
}

/// Waits until readiness says so, and gives why it fails.
pub async fn wait_for_failure(relay: &Running, said: &str) {
    let fails = async || relay.health.check().is_err_and(|why| why.contains(said));
    eventually("the relay says what is wrong", PATIENCE, fails).await;
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--archive").args([from, to]).status().expect("cp");
    assert!(copied.success());
}

pub async fn client_of(nats: &NatsServer) -> Client {
    connect(&nats.url()).await
}
