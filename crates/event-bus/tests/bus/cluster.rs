//! A cluster of three.

use event_bus::{NatsOptions, RelayOptions, WhileAway};
use testkit::appends::fill;
use testkit::{NatsServer, eventually, stores};

use crate::support::{PATIENCE, holds_everything, start_relay_with, stream, wait_for_everything};

const REPLICATED: RelayOptions = RelayOptions { replicas: 3 };

async fn connect(nats: &[NatsServer]) -> async_nats::Client {
    let url = nats.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let options = NatsOptions { url, ..NatsOptions::default() };
    event_bus::connect(&options, WhileAway::Retry).await.expect("addresses")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_works_with_the_servers_that_are_there() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats_cluster(3).await);
    let client = connect(&nats).await;
    let relay = start_relay_with(&test.store, &client, REPLICATED);
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    drop((relay, client));
    // The first of the addresses is gone when the next relay starts.
    nats[0].kill();
    let client = connect(&nats).await;
    let relay = start_relay_with(&test.store, &client, REPLICATED);
    fill(&*test.store.log, 50).await;
    wait_for_everything(&test.store, &client).await;
    // And the leader goes away under a running one.
    nats[0].resume().expect("nats-server starts again");
    let cluster = stream(&test.store, &client).await.expect("the stream").cached_info().cluster.clone();
    let leader = cluster.and_then(|cluster| cluster.leader).expect("a leader");
    let leader: usize = leader.trim_start_matches('n').parse().expect("a number");
    let current = async || {
        let Some(stream) = stream(&test.store, &client).await else { return false };
        let cluster = stream.cached_info().cluster.clone();
        cluster.is_some_and(|cluster| cluster.replicas.iter().all(|replica| replica.current))
    };
    eventually("all have everything", PATIENCE, current).await;
    nats[leader].kill();
    fill(&*test.store.log, 50).await;
    let whole = async || holds_everything(&test.store, &client).await;
    eventually("another leads", PATIENCE, whole).await;
    eventually("the relay is well", PATIENCE, async || relay.health.check().is_ok()).await;
}
