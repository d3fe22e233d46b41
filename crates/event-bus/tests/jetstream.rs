//! The relay and the feeds on a real nats-server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use event_bus::topology::{ALL_SUBJECTS, RELAY_CHECKPOINT, STREAM};
use event_bus::{Feed, FeedSource, JetStreamFeedSource, RelayError, RelayOptions, message, relay, republish};
use event_store::Store;
use testkit::appends::fill;
use testkit::{eventually, stores};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(30);
const OPTIONS: RelayOptions = RelayOptions { replicas: 1 };

fn start_relay(store: &Store, client: &Client) -> AbortOnDropHandle<()> {
    let running = relay::run(store.clone(), client.clone(), OPTIONS, CancellationToken::new());
    AbortOnDropHandle::new(tokio::spawn(running))
}

async fn connect(url: &str) -> Client {
    async_nats::ConnectOptions::new().retry_on_initial_connect().connect(url).await.expect("an address")
}

/// The positions of the stream's messages, in the stream's order.
async fn positions(client: &Client) -> Vec<u64> {
    let context = jetstream::new(client.clone());
    let Ok(stream) = context.get_stream(STREAM).await else { return Vec::new() };
    let state = stream.cached_info().state.clone();
    let mut positions = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if let Ok(message) = stream.get_raw_message(sequence).await {
            positions.push(message::position(&message.headers).expect("a message of ours"));
        }
    }
    positions
}

async fn holds_everything(store: &Store, client: &Client) -> bool {
    let head = store.log.head().await.expect("the head");
    positions(client).await == (1..=head).collect::<Vec<_>>()
}

#[tokio::test]
async fn the_stream_holds_every_event_once_and_in_order_although_the_server_was_away() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = connect(&nats.url()).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 300).await;
    eventually("the first events arrive", PATIENCE, async || !positions(&client).await.is_empty()).await;
    nats.kill();
    // Commands go on.
    fill(&*test.store.log, 700).await;
    nats.resume().expect("nats-server starts again");
    eventually("all events are there", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    fill(&*test.store.log, 50).await;
    eventually("later ones, too", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    let checkpoint = async || test.store.checkpoints.load(RELAY_CHECKPOINT).await.expect("a checkpoint") == 1050;
    eventually("the checkpoint follows", PATIENCE, checkpoint).await;
}

#[tokio::test]
async fn what_the_server_acknowledged_and_lost_is_published_again() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = connect(&nats.url()).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 300).await;
    eventually("the first events arrive", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    nats.kill();
    let kept = tempfile::tempdir().expect("a folder");
    copy(&nats.store(), &kept.path().join("store"));
    nats.resume().expect("nats-server starts again");
    fill(&*test.store.log, 400).await;
    let checkpoint = async || test.store.checkpoints.load(RELAY_CHECKPOINT).await.expect("a checkpoint") == 700;
    eventually("all are acknowledged", PATIENCE, checkpoint).await;
    // As after a power cut: what came last never reached the disk.
    nats.kill();
    std::fs::remove_dir_all(nats.store()).expect("the store is removed");
    copy(&kept.path().join("store"), &nats.store());
    nats.resume().expect("nats-server starts again");
    eventually("all events are there again", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    fill(&*test.store.log, 50).await;
    eventually("later ones, too", PATIENCE, async || holds_everything(&test.store, &client).await).await;
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--archive").args([from, to]).status().expect("cp");
    assert!(copied.success());
}

#[tokio::test]
async fn a_deleted_stream_is_restored() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = connect(&nats.url()).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 100).await;
    eventually("all events are there", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    jetstream::new(client.clone()).delete_stream(STREAM).await.expect("the stream is deleted");
    eventually("they are there again", PATIENCE, async || holds_everything(&test.store, &client).await).await;
}

#[tokio::test]
async fn republish_fills_the_stream_anew_beside_a_live_relay() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let client = connect(&nats.url()).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 200).await;
    eventually("all events are there", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    let stream = jetstream::new(client.clone()).get_stream(STREAM).await.expect("the stream");
    stream.delete_message(7).await.expect("a message is removed");
    let other = test.again().await;
    let count = republish(&other, client.clone(), OPTIONS, 1, &mut |_, _| {}).await.expect("it is filled anew");
    assert_eq!(count, 200);
    assert!(holds_everything(&test.store, &client).await);
    fill(&*test.store.log, 20).await;
    eventually("the relay goes on", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    republish(&other, client.clone(), OPTIONS, 150, &mut |_, _| {}).await.expect("it is filled from there");
    assert_eq!(positions(&client).await, (150..=220).collect::<Vec<_>>());
    let beyond = republish(&other, client.clone(), OPTIONS, 222, &mut |_, _| {}).await;
    assert!(matches!(beyond, Err(RelayError::Beyond { from: 222, log: 220 })), "{beyond:?}");
    assert_eq!(positions(&client).await.len(), 71, "nothing is removed where nothing can be published");
    other.close().await;
}

#[tokio::test]
async fn a_feed_fills_gaps_from_the_log_and_goes_on_without_the_server() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = connect(&nats.url()).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 50).await;
    eventually("all events are there", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    let source = JetStreamFeedSource::new(client.clone(), test.store.log.clone());
    let mut feed = source.open(0);
    let mut seen = read(&mut *feed, 50).await;
    // While no relay runs, nothing is published; one message is then removed.
    drop(relay);
    fill(&*test.store.log, 10).await;
    seen.extend(read(&mut *feed, 10).await);
    let _relay = start_relay(&test.store, &client);
    eventually("the relay catches up", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    let stream = jetstream::new(client.clone()).get_stream(STREAM).await.expect("the stream");
    stream.delete_message(55).await.expect("a message is removed");
    fill(&*test.store.log, 10).await;
    seen.extend(read(&mut *feed, 10).await);
    nats.kill();
    fill(&*test.store.log, 10).await;
    seen.extend(read(&mut *feed, 10).await);
    assert_eq!(seen, (1..=80).collect::<Vec<_>>(), "every position once and in order");
    // A consumer that begins anew sees everything although the stream lacks a message.
    let mut feed = source.open(0);
    assert_eq!(read(&mut *feed, 80).await, (1..=80).collect::<Vec<_>>());
}

async fn read(feed: &mut dyn Feed, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let batch = tokio::time::timeout(PATIENCE, feed.next()).await.expect("events come").expect("the feed goes on");
        positions.extend(batch.iter().map(|event| event.position));
    }
    positions
}

#[tokio::test]
async fn of_two_relays_one_works_and_the_other_takes_over() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let (first, second) = (connect(&nats.url()).await, connect(&nats.url()).await);
    let other = test.again().await;
    let active = start_relay(&test.store, &first);
    fill(&*test.store.log, 100).await;
    eventually("all events are there", PATIENCE, async || holds_everything(&test.store, &first).await).await;
    let _standby = start_relay(&other, &second);
    fill(&*test.store.log, 100).await;
    eventually("once each", PATIENCE, async || holds_everything(&test.store, &first).await).await;
    // As by kill -9: the lease is not given back.
    drop(active);
    fill(&*test.store.log, 100).await;
    let taken_over = async || holds_everything(&test.store, &second).await;
    eventually("the other takes over", Duration::from_secs(10), taken_over).await;
}

#[tokio::test]
async fn a_subscriber_hears_one_trial_by_subject() {
    use events::ids::{StreamKey, TrialId};
    use futures::StreamExt;
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = connect(&nats.url()).await;
    let _relay = start_relay(&test.store, &client);
    let trial_id = TrialId::from(uuid::Uuid::now_v7());
    let filter = ALL_SUBJECTS.replace('>', &format!("{trial_id}.>"));
    let mut subscription = client.subscribe(filter).await.expect("a subscription");
    client.flush().await.expect("the subscription is known");
    fill(&*test.store.log, 5).await;
    let patient_id = testkit::appends::patient();
    let write = event_store::log::Write {
        stream: patient_id.stream(),
        expected: event_store::log::Expected::NoStream,
        events: vec![testkit::appends::event(patient_id, Some(trial_id))],
    };
    test.store.log.append(testkit::appends::of_writes(vec![write])).await.expect("an append");
    let heard = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a message").expect("a message");
    assert_eq!(heard.subject.as_str(), format!("anamnesis.events.{trial_id}.patient.{patient_id}.PatientRegistered"));
}
