//! What an operator set on the stream.

use std::time::Duration;

use async_nats::jetstream::{self, stream::Compression};
use testkit::appends::fill;
use testkit::{eventually, stores};

use crate::support::{PATIENCE, client_of, start_relay, stream, topology, wait_for_everything};

#[tokio::test]
async fn an_operators_settings_stay_and_ours_are_brought_in_line() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 10).await;
    wait_for_everything(&test.store, &client).await;
    let ours = stream(&test.store, &client).await.expect("the stream").cached_info().config.clone();
    let mut set = ours.clone();
    set.max_age = Duration::from_secs(86_400);
    set.max_bytes = 100_000_000;
    set.max_messages = 1_000_000;
    set.compression = Some(Compression::S2);
    set.subjects.push("orders.>".to_owned());
    set.subjects.retain(|subject| !subject.contains(".control."));
    set.description = Some("ours".to_owned());
    let context = jetstream::new(client.clone());
    context.update_stream(&set).await.expect("it is set");
    drop(relay);
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 10).await;
    wait_for_everything(&test.store, &client).await;
    let control = topology(&test.store).await.all_controls();
    let in_line = async || {
        let Some(stream) = stream(&test.store, &client).await else { return false };
        stream.cached_info().config.subjects.contains(&control)
    };
    eventually("our subjects are there", PATIENCE, in_line).await;
    let now = stream(&test.store, &client).await.expect("the stream").cached_info().config.clone();
    set.subjects.push(control);
    assert_eq!(now.metadata, set.metadata);
    assert_eq!(now, set, "everything else is as it was set");
}
