//! The projector on real storage: it follows, it is rebuilt beside, it survives being stopped.

use std::sync::Arc;
use std::time::Duration;

use event_bus::LogFeedSource;
use event_store::Store;
use event_store::views::{CommitError, Cursor, Direction, ListQuery, ViewBatch, wait_for};
use projector::{VIEWS, rebuild, run};
use testkit::appends::fill;
use testkit::eventually;
use testkit::stores::{self, TestStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(30);

fn start(store: &Store) -> AbortOnDropHandle<()> {
    let feed = Arc::new(LogFeedSource::new(store.log.clone()));
    AbortOnDropHandle::new(tokio::spawn(run(store.clone(), feed, CancellationToken::new())))
}

/// Keys and documents of a whole view, in order, page by page.
async fn all(store: &Store, view: &str, sort: Option<(String, Direction)>) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let query = ListQuery { sort: sort.clone(), after, limit: 7, ..ListQuery::default() };
        let page = store.views.list(view, &query).await.expect("a page");
        rows.extend(page.rows.into_iter().map(|(key, document)| (key, document.get().to_owned())));
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

async fn follows_and_is_rebuilt(test: TestStore) {
    let store = &test.store;
    fill(&*store.log, 40).await;
    let projector = start(store);
    // Before the projector has registered it, the view has no position.
    let built = async || store.views.position("patients").await.is_ok_and(|at| at >= 40);
    eventually("the view is built", PATIENCE, built).await;
    let seen = all(store, "patients", None).await;
    assert_eq!(seen.len(), 40);
    let by_time = all(store, "patients", Some(("registered_at".to_owned(), Direction::Descending))).await;
    assert_eq!(by_time.len(), 40, "every row once, whatever the order");
    // Stopped at any moment and started again, it ends the same.
    drop(projector);
    fill(&*store.log, 60).await;
    let _projector = start(store);
    assert!(wait_for(&*store.views, "patients", 100, PATIENCE).await.expect("the view"));
    let seen = all(store, "patients", None).await;
    assert_eq!(seen.len(), 100);
    for view in VIEWS {
        rebuild(store, view.schema().name, &mut |_, _| {}).await.expect("a rebuild");
    }
    assert_eq!(all(store, "patients", None).await, seen, "equal to the one made from the log");
    fill(&*store.log, 5).await;
    let follows = async || store.views.position("patients").await.is_ok_and(|at| at >= 105);
    eventually("the live projector goes on in the new generation", PATIENCE, follows).await;
    assert_eq!(all(store, "patients", None).await.len(), 105);
}

testkit::on_both_engines!(follows_and_is_rebuilt);

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_never_shows_a_half_built_view() {
    let test = stores::sqlite().await;
    let store = test.store.clone();
    fill(&*store.log, 3_000).await;
    let _projector = start(&store);
    let built = async || store.views.position("patient_timeline").await.is_ok_and(|at| at >= 3_000);
    eventually("the view is built", PATIENCE, built).await;
    let first = all(&store, "patient_timeline", None).await.first().cloned();
    let watching = tokio::spawn({
        let store = store.clone();
        async move {
            let query = ListQuery { limit: 1_000, ..ListQuery::default() };
            for _ in 0..200 {
                let page = store.views.list("patient_timeline", &query).await.expect("a page");
                assert_eq!((page.rows.len(), page.position), (1_000, 3_000), "whole at every moment");
            }
        }
    });
    for _ in 0..3 {
        rebuild(&store, "patient_timeline", &mut |_, _| {}).await.expect("a rebuild");
    }
    watching.await.expect("the reader");
    assert_eq!(all(&store, "patient_timeline", None).await.first().cloned(), first);
}

#[tokio::test]
async fn a_batch_that_begins_elsewhere_is_not_taken() {
    let test = stores::sqlite().await;
    let schema = VIEWS[0].schema();
    let state = test.store.views.register(schema).await.expect("registered");
    let batch = |from_position, to_position| ViewBatch {
        view: schema.name.to_owned(),
        generation: state.generation,
        from_position,
        to_position,
        upserts: Vec::new(),
        deletes: Vec::new(),
    };
    test.store.views.commit(vec![batch(0, 5)]).await.expect("it stands at 0");
    let stale = test.store.views.commit(vec![batch(0, 6)]).await;
    assert!(matches!(stale, Err(CommitError::Moved { .. })), "{stale:?}");
    assert_eq!(test.store.views.position(schema.name).await.expect("a position"), 5);
}
