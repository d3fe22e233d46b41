//! JetStream goes away and comes back while commands are sent over HTTP.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use event_bus::control::Why;
use event_bus::{Topology, message};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::json;
use testkit::eventually;

use crate::clinic::fresh;
use crate::scenarios::long_form;
use crate::system::System;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_while_nats_is_away_and_the_stream_ends_whole() {
    let mut system = System::on_postgres().await;
    let mut nats = system.nats.take().expect("a nats-server");
    let api = &system.api;
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let client = || async {
        while !done.load(Ordering::Relaxed) {
            let path = format!("/v1/patients/{}/register-patient", fresh());
            api.post(&path, json!({})).await.ok();
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let sent = || count.load(Ordering::Relaxed);
    let outage = async {
        eventually("commands are sent", PATIENCE, async || sent() >= 50).await;
        nats.kill();
        let (before, gone) = (sent(), tokio::time::Instant::now());
        let seconds = long_form("ANAMNESIS_E2E_OUTAGE_SECONDS", 2) as u64;
        let over = async || sent() >= before + 200 && gone.elapsed() >= Duration::from_secs(seconds);
        eventually("commands go on without NATS", PATIENCE, over).await;
        nats.resume().expect("nats-server starts again");
        let after = sent();
        eventually("commands go on with NATS", PATIENCE, async || sent() >= after + 50).await;
        done.store(true, Ordering::Relaxed);
        nats
    };
    let (nats, _) = tokio::join!(outage, join_all((0..16).map(|_| client())));
    let head = sent();
    let client = async_nats::connect(nats.url()).await.expect("nats-server answers");
    let all = async || positions(&client, head).await.last() == Some(&head);
    eventually("the stream reaches the log's end", PATIENCE, all).await;
    assert_eq!(positions(&client, head).await, (1..=head).collect::<Vec<_>>(), "every event once and in order");
}

/// The positions of the stream's messages, in its order, until `head` is seen or nothing comes.
pub async fn positions(client: &async_nats::Client, head: u64) -> Vec<u64> {
    let context = jetstream::new(client.clone());
    let Ok(Some(names)) = Topology::find(&context).await else { return Vec::new() };
    let Ok(stream) = context.get_stream(names.stream_name()).await else { return Vec::new() };
    let config = OrderedConfig { deliver_policy: DeliverPolicy::All, ..OrderedConfig::default() };
    let Ok(consumer) = stream.create_consumer(config).await else { return Vec::new() };
    let Ok(mut messages) = consumer.messages().await else { return Vec::new() };
    let mut positions = Vec::new();
    while positions.last() != Some(&head) {
        match tokio::time::timeout(Duration::from_secs(2), messages.next()).await {
            Ok(Some(Ok(message))) => {
                let headers = message.headers.as_ref().expect("headers");
                if Why::of_subject(&message.subject).is_some() {
                    continue;
                }
                positions.push(message::position(headers).expect("a message of ours"));
            }
            _ => break,
        }
    }
    positions
}
