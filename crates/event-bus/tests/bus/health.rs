//! What the relay says of itself while it cannot work.

use testkit::appends::fill;
use testkit::{eventually, stores};

use crate::support::{PATIENCE, client_of, start_relay, wait_for_everything, wait_for_failure};

#[tokio::test]
async fn the_lag_is_true_while_nats_is_away() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 30).await;
    wait_for_everything(&test.store, &client).await;
    let stands = async |published: u64, head: u64| {
        let standing = relay.health.standing();
        (standing.published, standing.head) == (published, head)
    };
    eventually("no lag", PATIENCE, async || stands(30, 30).await).await;
    assert!(relay.health.check().is_ok());
    nats.kill();
    fill(&*test.store.log, 70).await;
    eventually("the lag grows", PATIENCE, async || stands(30, 100).await).await;
    wait_for_failure(&relay, "NATS is not connected").await;
    let cause = async || relay.health.standing().cause.is_some_and(|cause| cause.starts_with("NATS is not connected"));
    eventually("the work itself says so, too", PATIENCE, cause).await;
    nats.resume().expect("nats-server starts again");
    eventually("no lag again", PATIENCE, async || stands(100, 100).await).await;
    assert_eq!(relay.health.check(), Ok(()));
    assert_eq!(relay.health.standing().cause, None);
}

#[tokio::test]
async fn a_relay_that_never_reached_nats_says_so() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    nats.kill();
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 10).await;
    wait_for_failure(&relay, "NATS is not connected").await;
    let lag = async || (relay.health.standing().published, relay.health.standing().head) == (0, 10);
    eventually("all of it is to be published", PATIENCE, lag).await;
}

#[tokio::test]
async fn without_jetstream_the_relay_says_so() {
    let test = stores::sqlite().await;
    // An account of its own has no JetStream unless it is given.
    let further = "accounts { plain { users: [{ user: u, password: p }] } }\nno_auth_user: u\n";
    let nats = testkit::nats_with(further).await;
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 1).await;
    wait_for_failure(&relay, "the relay has failed for").await;
}

#[tokio::test]
async fn a_standby_knows_how_far_the_other_is() {
    let (test, nats) = (stores::postgres().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let _active = start_relay(&test.store, &client);
    fill(&*test.store.log, 40).await;
    wait_for_everything(&test.store, &client).await;
    let other = test.again().await;
    let standby = start_relay(&other, &client);
    let knows = async || {
        let standing = standby.health.standing();
        !standing.leading && (standing.published, standing.head) == (40, 40)
    };
    eventually("the standby sees the checkpoint", PATIENCE, knows).await;
    assert_eq!(standby.health.check(), Ok(()));
    other.close().await;
}
