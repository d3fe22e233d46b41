//! What a server would not take does not hold up what comes behind it.

use event_bus::PublicKeys;
use event_bus::headers::DATA_HASH;
use event_bus::message::{data_ref, envelope};
use event_bus::signature::{data_hash, example};
use event_store::log::{AppendError, Expected, MalformedAppend, PAYLOAD_BYTES_MAX, Write};
use events::ids::StreamKey;
use testkit::appends::{event, fill, of_writes, patient};
use testkit::{NatsServer, eventually, stores};

use crate::support::{PATIENCE, client_of, messages, positions, start_relay, stream, wait_for_everything};

/// An append of one event whose payload has so many bytes.
fn large(bytes: usize) -> event_store::log::Append {
    let patient_id = patient();
    let mut event = event(patient_id, None);
    let text = format!("{{\"name\":\"{}\"}}", "a".repeat(bytes - r#"{"name":""}"#.len()));
    event.payload = text.into();
    of_writes(vec![Write { stream: patient_id.stream(), expected: Expected::NoStream, events: vec![event] }])
}

#[tokio::test]
async fn the_largest_event_of_the_log_fits_into_nats_as_it_comes() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    let too_large = test.store.log.append(large(PAYLOAD_BYTES_MAX + 1)).await;
    assert!(matches!(too_large, Err(AppendError::Malformed(MalformedAppend::PayloadTooLarge))), "{too_large:?}");
    test.store.log.append(large(PAYLOAD_BYTES_MAX)).await.expect("it is taken");
    fill(&*test.store.log, 5).await;
    wait_for_everything(&test.store, &client).await;
    let first = stream(&test.store, &client).await.expect("the stream").get_raw_message(1).await.expect("a message");
    let received = envelope(&first.headers, first.payload.clone()).expect("the whole event");
    assert_eq!(received.payload.len(), PAYLOAD_BYTES_MAX);
    assert!(relay.health.check().is_ok());
}

#[tokio::test]
async fn what_is_too_large_for_the_server_is_referred_to() {
    let test = stores::sqlite().await;
    let nats = testkit::nats_with("max_payload: 65536\n").await;
    refers_to_what_is_too_large(&test, &nats).await;
}

async fn refers_to_what_is_too_large(test: &stores::TestStore, nats: &NatsServer) {
    let client = client_of(nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 3).await;
    // The first is below the limit without its headers, and above with them.
    for bytes in [65_300, 70_000, PAYLOAD_BYTES_MAX] {
        test.store.log.append(large(bytes)).await.expect("it is taken");
    }
    fill(&*test.store.log, 3).await;
    wait_for_everything(&test.store, &client).await;
    let messages = messages(&test.store, &client).await;
    let log = test.store.log.read_all(0, 100).await.expect("the log");
    let keys: PublicKeys = [(example::ID, example::PUBLIC)].into_iter().collect();
    for (event, (_, headers)) in log.iter().zip(&messages) {
        let expected = (4..=6).contains(&event.position).then(|| format!("/v1/events/{}/payload", event.event_id));
        assert_eq!(data_ref(headers).as_deref(), expected.as_deref(), "position {}", event.position);
        let hash = headers.get(DATA_HASH).map(ToString::to_string);
        assert_eq!(hash, Some(data_hash(&event.payload)), "also of what is elsewhere");
        assert_eq!(keys.verify(headers, None), Ok(()));
    }
    assert!(relay.health.check().is_ok());
}

#[tokio::test]
async fn an_operators_limit_of_the_stream_counts_as_well() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 3).await;
    wait_for_everything(&test.store, &client).await;
    let mut config = stream(&test.store, &client).await.expect("the stream").cached_info().config.clone();
    config.max_message_size = 10_000;
    async_nats::jetstream::new(client.clone()).update_stream(&config).await.expect("a limit");
    test.store.log.append(large(20_000)).await.expect("it is taken");
    fill(&*test.store.log, 3).await;
    wait_for_everything(&test.store, &client).await;
    let (_, headers) = messages(&test.store, &client).await.into_iter().nth(3).expect("the large one");
    assert!(data_ref(&headers).is_some());
    eventually("it is well", PATIENCE, async || relay.health.check().is_ok()).await;
    assert_eq!(positions(&test.store, &client).await.len(), 7);
}
