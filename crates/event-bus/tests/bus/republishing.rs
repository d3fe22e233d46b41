//! Filling the stream anew, whatever the relay is doing.

use async_nats::{HeaderMap, HeaderValue, jetstream};
use event_bus::control::{self, Why};
use event_bus::{RelayError, RepublishError, message, republish};
use testkit::appends::fill;
use testkit::{eventually, stores};

use crate::support::{
    PATIENCE, client_of, holds_everything, messages, options, positions, start_relay, stream, topology,
    wait_for_everything, wait_for_failure,
};

#[tokio::test]
async fn republish_fills_the_stream_anew_beside_a_live_relay() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 200).await;
    wait_for_everything(&test.store, &client).await;
    let made = stream(&test.store, &client).await.expect("the stream");
    made.delete_message(7).await.expect("a message is removed");
    let other = test.again().await;
    let count = republish(&other, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    assert_eq!(count, 200);
    assert!(holds_everything(&test.store, &client).await);
    fill(&*test.store.log, 20).await;
    wait_for_everything(&test.store, &client).await;
    republish(&other, client.clone(), options(), 150, &mut |_, _| {}).await.expect("it is filled from there");
    assert_eq!(positions(&test.store, &client).await, (150..=220).collect::<Vec<_>>());
    let (subject, headers) = messages(&test.store, &client).await.into_iter().next().expect("a first message");
    assert_eq!(Why::of_subject(&subject), Some(Why::Republished), "subscribers are told");
    assert_eq!(message::position(&headers), Some(149));
    let beyond = republish(&other, client.clone(), options(), 222, &mut |_, _| {}).await;
    let is_beyond = matches!(beyond, Err(RepublishError::Before(RelayError::Beyond { from: 222, log: 220 })));
    assert!(is_beyond, "{beyond:?}");
    assert_eq!(positions(&test.store, &client).await.len(), 71, "nothing is removed where nothing can be published");
    fill(&*test.store.log, 5).await;
    let goes_on = async || positions(&test.store, &client).await == (150..=225).collect::<Vec<_>>();
    eventually("the relay goes on behind it", PATIENCE, goes_on).await;
    other.close().await;
}

#[tokio::test]
async fn republish_begins_while_the_relay_can_only_fail() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    forge(&test.store, &client, 51).await;
    fill(&*test.store.log, 10).await;
    wait_for_failure(&relay, "republish").await;
    let other = test.again().await;
    let count = republish(&other, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    assert_eq!(count, 60);
    assert!(holds_everything(&test.store, &client).await);
    fill(&*test.store.log, 10).await;
    wait_for_everything(&test.store, &client).await;
    eventually("the relay is well again", PATIENCE, async || relay.health.check().is_ok()).await;
    other.close().await;
}

#[tokio::test]
async fn what_the_stream_holds_stays_until_all_is_there_again() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 1_500).await;
    wait_for_everything(&test.store, &client).await;
    drop(relay);
    // The operator's limit is reached in the middle of the new copy.
    let made = stream(&test.store, &client).await.expect("the stream");
    let mut config = made.cached_info().config.clone();
    config.max_messages = 2_200;
    config.discard = jetstream::stream::DiscardPolicy::New;
    let context = jetstream::new(client.clone());
    context.update_stream(&config).await.expect("a limit");
    let broken = republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await;
    assert!(matches!(broken, Err(RepublishError::Halfway { head: 1_500, .. })), "{broken:?}");
    let held = positions(&test.store, &client).await;
    assert_eq!(held[..1_500], (1..=1_500).collect::<Vec<_>>()[..], "nothing is gone");
    config.max_messages = -1;
    context.update_stream(&config).await.expect("no limit");
    // The relay completes the copy that was begun; a second run clears up.
    let _relay = start_relay(&test.store, &client);
    let complete = async || positions(&test.store, &client).await.len() == 3_000;
    eventually("the relay goes on with the new copy", PATIENCE, complete).await;
    republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    assert!(holds_everything(&test.store, &client).await);
}

#[tokio::test]
async fn nothing_is_touched_where_nats_does_not_answer() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 20).await;
    wait_for_everything(&test.store, &client).await;
    drop(relay);
    nats.kill();
    let away = republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await;
    assert!(matches!(away, Err(RepublishError::Before(_))), "{away:?}");
    nats.resume().expect("nats-server starts again");
    wait_for_everything(&test.store, &client).await;
}

#[tokio::test]
async fn a_stream_that_is_numbered_otherwise_than_the_log_is_refused() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 9).await;
    wait_for_everything(&test.store, &client).await;
    let made = stream(&test.store, &client).await.expect("the stream");
    made.delete_message(3).await.expect("a message is removed");
    drop(relay);
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 1).await;
    eventually("what was deleted in between does not count", PATIENCE, async || {
        relay.health.standing().published == 10
    })
    .await;
    drop(relay);
    // The same event twice.
    let made = stream(&test.store, &client).await.expect("the stream");
    let last = made.get_raw_message(made.cached_info().state.last_sequence).await.expect("a message");
    let (subject, headers) = (last.subject.to_string(), stripped(&last.headers));
    let again = jetstream::new(client.clone()).publish_with_headers(subject, headers, last.payload).await;
    again.expect("it is sent").await.expect("it is taken");
    let relay = start_relay(&test.store, &client);
    wait_for_failure(&relay, "holds positions 1 to 10 on 11 sequences").await;
}

/// What a message says of itself, without what the server heeds.
fn stripped(headers: &HeaderMap) -> HeaderMap {
    let ours = headers.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).starts_with("ce-"));
    ours.flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone()))).collect()
}

/// Publishes a message past the relay that looks like an event of the log.
async fn forge(store: &event_store::Store, client: &async_nats::Client, position: u64) {
    let (subject, headers) = messages(store, client).await.pop().expect("a message");
    let mut headers = stripped(&headers);
    headers.insert("ce-position", HeaderValue::from(position));
    headers.insert("ce-id", uuid::Uuid::now_v7().to_string());
    let sent = jetstream::new(client.clone()).publish_with_headers(subject, headers, "{}".into()).await;
    sent.expect("it is sent").await.expect("it is taken");
}

#[tokio::test]
async fn what_is_no_message_of_ours_is_named_and_goes_with_republish() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 5).await;
    wait_for_everything(&test.store, &client).await;
    let names = topology(&test.store).await;
    for subject in [names.all_events().replace('>', "x"), names.control(Why::Republished.kind())] {
        client.publish(subject, "{}".into()).await.expect("it is sent");
        client.flush().await.expect("it is on its way");
        fill(&*test.store.log, 1).await;
        wait_for_failure(&relay, "is not one of ours").await;
        republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
        wait_for_everything(&test.store, &client).await;
        eventually("the relay is well again", PATIENCE, async || relay.health.check().is_ok()).await;
    }
    let (_, headers) = messages(&test.store, &client).await.into_iter().next().expect("a first message");
    assert!(control::read(&headers, b"no data").is_none());
}
