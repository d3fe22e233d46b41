//! Whoever waits for a view does not ask by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use event_store::checkpoints::Checkpoint;
use event_store::views::{ViewBatch, ViewWaits};
use testkit::appends::place;
use testkit::eventually;
use testkit::stores::TestStore;
use tokio::task::JoinSet;

use crate::doubles::view;
use crate::flaky::Flaky;

const PATIENCE: Duration = Duration::from_secs(60);
const WAITERS: u32 = 300;

pub async fn however_many_wait_one_looks(test: TestStore) {
    let schema = view("patients").schema();
    let generation = test.store.views.register(schema).await.expect("registered").generation;
    // Another process waits than commits.
    let flaky = Arc::new(Flaky::of(test.again().await.views));
    let waits = ViewWaits::new(flaky.clone());
    assert!(!waits.until("patients", 1, Duration::from_millis(20)).await.expect("the view"), "out of patience");
    let mut waiters = JoinSet::new();
    for _ in 0..WAITERS {
        let waits = waits.clone();
        waiters.spawn(async move { waits.until("patients", 10, PATIENCE).await.expect("the view") });
    }
    let asked = || flaky.positions_read.load(Ordering::SeqCst);
    eventually("all have asked once", PATIENCE, async || asked() == WAITERS + 1).await;
    let looks = flaky.states_read.load(Ordering::SeqCst);
    let looked = async || flaky.states_read.load(Ordering::SeqCst) >= looks + 10;
    eventually("one looks for them all", PATIENCE, looked).await;
    let batch = ViewBatch {
        view: "patients".to_owned(),
        generation,
        from: Checkpoint::START,
        to: place(10),
        upserts: Vec::new(),
        deletes: Vec::new(),
    };
    test.store.views.commit(&[batch]).await.expect("a batch");
    assert!(waiters.join_all().await.into_iter().all(|reached| reached), "all have seen it");
    assert_eq!(asked(), WAITERS + 1, "nobody asked again");
}
