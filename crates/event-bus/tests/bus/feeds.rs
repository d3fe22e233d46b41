//! Feeds: woken by JetStream, fed by the log.

use async_nats::jetstream;
use event_bus::{Feed, FeedSource, JetStreamFeedSource};
use testkit::appends::fill;
use testkit::stores;

use crate::support::{PATIENCE, client_of, messages, start_relay, stream, topology, wait_for_everything};

#[tokio::test]
async fn a_feed_fills_gaps_from_the_log_and_goes_on_without_the_server() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    let source = JetStreamFeedSource::new(client.clone(), test.store.log.clone());
    let mut feed = source.open(0);
    let mut seen = read(&mut *feed, 50).await;
    // While no relay runs, nothing is published; one message is then removed.
    drop(relay);
    fill(&*test.store.log, 10).await;
    seen.extend(read(&mut *feed, 10).await);
    let _relay = start_relay(&test.store, &client);
    wait_for_everything(&test.store, &client).await;
    let made = stream(&test.store, &client).await.expect("the stream");
    made.delete_message(55).await.expect("a message is removed");
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

#[tokio::test]
async fn a_forged_message_gives_no_event_and_takes_none_away() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 20).await;
    wait_for_everything(&test.store, &client).await;
    let mut feed = JetStreamFeedSource::new(client.clone(), test.store.log.clone()).open(0);
    assert_eq!(read(&mut *feed, 20).await.len(), 20);
    drop(relay);
    // The next event, as somebody makes it up: everything is right but its id.
    let (subject, headers) = messages(&test.store, &client).await.pop().expect("a message");
    for (position, id) in [(21_u64, uuid::Uuid::now_v7()), (22, uuid::Uuid::now_v7())] {
        let mut forged = async_nats::HeaderMap::new();
        for (name, values) in headers.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).starts_with("ce-")) {
            values.iter().for_each(|value| forged.insert(name.clone(), value.clone()));
        }
        forged.insert("ce-position", position.to_string());
        forged.insert("ce-id", id.to_string());
        let context = jetstream::new(client.clone());
        let sent = context.publish_with_headers(subject.clone(), forged, "{}".into()).await.expect("it is sent");
        sent.await.expect("it is taken");
    }
    let next = read(&mut *feed, 1);
    tokio::pin!(next);
    let nothing = tokio::time::timeout(std::time::Duration::from_secs(1), &mut next).await;
    assert!(nothing.is_err(), "what the log has not does not come");
    fill(&*test.store.log, 5).await;
    assert_eq!(next.await.first(), Some(&21));
    let log = test.store.log.read_all(0, 100).await.expect("the log");
    let mut feed = JetStreamFeedSource::new(client.clone(), test.store.log.clone()).open(20);
    let events = tokio::time::timeout(PATIENCE, feed.next()).await.expect("events").expect("events");
    assert_eq!(events, log[20..], "what comes is what the log has");
}

#[tokio::test]
async fn two_logs_on_one_nats_have_nothing_in_common() {
    let (one, other) = (stores::sqlite().await, stores::sqlite().await);
    let nats = testkit::nats().await;
    let client = client_of(&nats).await;
    let _relays = (start_relay(&one.store, &client), start_relay(&other.store, &client));
    let mut feed = JetStreamFeedSource::new(client.clone(), one.store.log.clone()).open(0);
    fill(&*one.store.log, 10).await;
    fill(&*other.store.log, 30).await;
    wait_for_everything(&one.store, &client).await;
    wait_for_everything(&other.store, &client).await;
    assert_eq!(read(&mut *feed, 10).await, (1..=10).collect::<Vec<_>>());
    let (of_one, of_other) = (topology(&one.store).await, topology(&other.store).await);
    assert_ne!(of_one.stream_name(), of_other.stream_name());
    let found = event_bus::Topology::find(&jetstream::new(client.clone())).await.expect("an answer");
    assert_eq!(found, None, "a subscriber has to say which");
}

async fn read(feed: &mut dyn Feed, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let batch = tokio::time::timeout(PATIENCE, feed.next()).await.expect("events come").expect("the feed goes on");
        positions.extend(batch.iter().map(|event| event.position));
    }
    positions
}
