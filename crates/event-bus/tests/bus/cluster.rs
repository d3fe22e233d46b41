//! A cluster of three.

use async_nats::Client;
use event_bus::{NatsOptions, RelayOptions, WhileAway};
use event_store::Store;
use testkit::appends::fill;
use testkit::{NatsServer, eventually, stores};

use crate::support::{PATIENCE, holds_everything, options, start_relay_with, stream, wait_for_everything};

fn replicated() -> RelayOptions {
    RelayOptions { replicas: 3, ..options() }
}

async fn connect(nats: &[NatsServer]) -> Client {
    let url = nats.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let options = NatsOptions { url, ..NatsOptions::default() };
    event_bus::connect(&options, WhileAway::Retry).await.expect("addresses")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_works_with_the_servers_that_are_there() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats_cluster(3).await);
    let client = connect(&nats).await;
    let relay = start_relay_with(&test.store, &client, replicated());
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    drop((relay, client));
    // The first of the addresses is gone when the next relay starts.
    nats[0].kill();
    let client = connect(&nats).await;
    let relay = start_relay_with(&test.store, &client, replicated());
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    // And the leader goes away under a running one.
    nats[0].resume().expect("nats-server starts again");
    let leader = leader(&test.store, &client).await;
    eventually("all have everything", PATIENCE, async || are_current(&test.store, &client).await).await;
    nats[leader].kill();
    fill(&*test.store.log, 50).await;
    let whole = async || holds_everything(&test.store, &client).await;
    eventually("another leads", PATIENCE, whole).await;
    eventually("the relay is well", PATIENCE, async || relay.health.check().is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_whole_after_a_lost_store_and_a_lost_quorum() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats_cluster(3).await);
    let client = connect(&nats).await;
    let relay = start_relay_with(&test.store, &client, replicated());
    let current = async || are_current(&test.store, &client).await;
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    eventually("all have everything", PATIENCE, current).await;

    // Who leads comes back with an empty disk.
    let leader = leader(&test.store, &client).await;
    nats[leader].kill();
    std::fs::remove_dir_all(nats[leader].store()).expect("its store is removed");
    fill(&*test.store.log, 50).await;
    nats[leader].resume().expect("nats-server starts again");
    eventually("the stream is whole", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    eventually("all have everything", PATIENCE, current).await;

    // One of three takes nothing.
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    others.iter().for_each(|other| nats[*other].kill());
    fill(&*test.store.log, 50).await;
    eventually("the relay tells", PATIENCE, async || relay.health.check().is_err()).await;
    fill(&*test.store.log, 50).await;
    for other in others {
        nats[other].resume().expect("nats-server starts again");
    }
    eventually("the stream is whole", PATIENCE, async || holds_everything(&test.store, &client).await).await;
    eventually("the relay is well", PATIENCE, async || relay.health.check().is_ok()).await;
}

/// The number of the server that leads the stream.
async fn leader(store: &Store, client: &Client) -> usize {
    let cluster = stream(store, client).await.expect("the stream").cached_info().cluster.clone();
    let leader = cluster.and_then(|cluster| cluster.leader).expect("a leader");
    leader.trim_start_matches('n').parse().expect("a number")
}

/// Whether every server of the cluster has all of the stream.
async fn are_current(store: &Store, client: &Client) -> bool {
    let Some(stream) = stream(store, client).await else { return false };
    let cluster = stream.cached_info().cluster.clone();
    cluster.is_some_and(|cluster| {
        cluster.leader.is_some()
            && cluster.replicas.len() == 2
            && cluster.replicas.iter().all(|replica| replica.current)
    })
}
