//! The relay, and what it does when servers go away.

use std::time::Duration;

use async_nats::jetstream;
use event_bus::topology::RELAY_CHECKPOINT;
use testkit::appends::fill;
use testkit::{eventually, stores};

use crate::support::{
    PATIENCE, client_of, copy, holds_everything, positions, start_relay, topology, wait_for_everything,
};

#[tokio::test]
async fn the_stream_holds_every_event_once_and_in_order_although_the_server_was_away() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 300).await;
    eventually("the first events arrive", PATIENCE, async || !positions(&test.store, &client).await.is_empty()).await;
    nats.kill();
    // Commands go on.
    fill(&*test.store.log, 700).await;
    nats.resume().expect("nats-server starts again");
    wait_for_everything(&test.store, &client).await;
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    let checkpoint = async || test.store.checkpoints.load(RELAY_CHECKPOINT).await.expect("a checkpoint") == 1050;
    eventually("the checkpoint follows", PATIENCE, checkpoint).await;
}

#[tokio::test]
async fn what_the_server_acknowledged_and_lost_is_published_again() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 300).await;
    wait_for_everything(&test.store, &client).await;
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
    wait_for_everything(&test.store, &client).await;
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
}

#[tokio::test]
async fn a_deleted_stream_is_restored() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 100).await;
    wait_for_everything(&test.store, &client).await;
    jetstream::new(client.clone())
        .delete_stream(topology(&test.store).await.stream_name())
        .await
        .expect("the stream is deleted");
    wait_for_everything(&test.store, &client).await;
}

#[tokio::test]
async fn of_two_relays_one_works_and_the_other_takes_over() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let (first, second) = (client_of(&nats).await, client_of(&nats).await);
    let other = test.again().await;
    let active = start_relay(&test.store, &first);
    fill(&*test.store.log, 100).await;
    wait_for_everything(&test.store, &first).await;
    let _standby = start_relay(&other, &second);
    fill(&*test.store.log, 100).await;
    wait_for_everything(&test.store, &first).await;
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
    let client = client_of(&nats).await;
    let _relay = start_relay(&test.store, &client);
    let trial_id = TrialId::from(uuid::Uuid::now_v7());
    fill(&*test.store.log, 5).await;
    let names = topology(&test.store).await;
    let filter = names.events_of_trial(trial_id);
    let mut subscription = client.subscribe(filter).await.expect("a subscription");
    client.flush().await.expect("the subscription is known");
    let patient_id = testkit::appends::patient();
    let write = event_store::log::Write {
        stream: patient_id.stream(),
        expected: event_store::log::Expected::NoStream,
        events: vec![testkit::appends::event(patient_id, Some(trial_id))],
    };
    test.store.log.append(testkit::appends::of_writes(vec![write])).await.expect("an append");
    let heard = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a message").expect("a message");
    let log_id = names.log_id();
    assert_eq!(
        heard.subject.as_str(),
        format!("anamnesis.{log_id}.events.{trial_id}.patient.{patient_id}.PatientRegistered")
    );
}
