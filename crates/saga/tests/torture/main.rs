//! Every process manager tortured: each step repeated, each step failed, a
//! crash before and after each thing that it stores, events one by one, in
//! bursts and twice. The end is the same every time.

mod course;
mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_bus::{FeedSource, LogFeedSource};
use event_store::Store;
use event_store::execute::{Executor, ExecutorOptions};
use event_store::views::{ColumnValue, Filter, FilterOp, ListQuery};
use futures::stream::{self, StreamExt};
use saga::{Instance, Options, SCHEMA, run};
use testkit::{eventually, stores};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use course::Course;
use faults::{Burst, Fault, Faults, Place};

const PATIENCE: Duration = Duration::from_secs(120);
/// Runs at the same time: most of them wait for storage.
const CONCURRENT: usize = 8;

/// What is left at the end: how many events of which type, and how the instances stand.
#[derive(Debug, PartialEq, Eq)]
struct End {
    events: BTreeMap<String, usize>,
    instances: Vec<(String, String, String)>,
}

/// How events reach the process managers.
#[derive(Clone, Copy)]
enum Delivery {
    AsTheyCome,
    OneByOne,
    Twice,
}

fn start(store: &Store, delivery: Delivery) -> AbortOnDropHandle<()> {
    let log = Arc::new(LogFeedSource::new(store.log.clone()));
    let feed: Arc<dyn FeedSource> = match delivery {
        Delivery::AsTheyCome => log,
        Delivery::OneByOne => Arc::new(Burst { source: log, size: 1, times: 1 }),
        Delivery::Twice => Arc::new(Burst { source: log, size: 3, times: 2 }),
    };
    let executor = Executor::new(store.log.clone(), ExecutorOptions::default());
    let options = Options { look_every: Duration::from_millis(50), lease_time: Duration::from_millis(400) };
    AbortOnDropHandle::new(tokio::spawn(run(store.clone(), executor, feed, options, CancellationToken::new())))
}

/// Plays the course with these faults; gives the end and what was stored on the way.
async fn play(delivery: Delivery, faults: Arc<Faults>) -> (End, usize, usize) {
    let test = stores::sqlite().await;
    let disturbed = faults.clone().around(&test.store);
    let mut runner = start(&disturbed, delivery);
    let course = Course::new(test.store.clone());
    for phase in 0..Course::PHASES {
        if phase == Course::BEHIND {
            drop(runner);
            course.play(phase).await;
            runner = start(&disturbed, delivery);
        } else {
            course.play(phase).await;
        }
        let mut quiet = std::pin::pin!(eventually("all is done", PATIENCE, async || is_quiet(&test.store).await));
        loop {
            tokio::select! {
                () = &mut quiet => break,
                () = faults.crashed() => {
                    // As by kill -9: whatever it was doing, and its lease, are left as they are.
                    drop(runner);
                    runner = start(&disturbed, delivery);
                }
            }
        }
    }
    let end = end(&test.store).await;
    (end, faults.count(Place::Append), faults.count(Place::Commit))
}

/// Whether everything was folded, every step came to its end, and no timer is due.
async fn is_quiet(store: &Store) -> bool {
    // First the position: what was folded up to there has left its steps.
    let Ok(at) = store.views.position(SCHEMA.name).await else { return false };
    let Ok(steps) = store.sagas.pending(1).await else { return false };
    let due = ListQuery {
        filters: vec![Filter {
            column: "due_at".to_owned(),
            op: FilterOp::AtMost,
            value: ColumnValue::Time(event_store::clock::now()),
        }],
        limit: 1,
        ..ListQuery::default()
    };
    let due = store.views.list(SCHEMA.name, &due).await.expect("the instances");
    steps.is_empty() && due.rows.is_empty() && store.log.head().await.expect("the head") == at
}

async fn end(store: &Store) -> End {
    let mut events = BTreeMap::new();
    for event in store.log.read_all(0, 10_000).await.expect("the log") {
        *events.entry(event.event_type).or_insert(0) += 1;
    }
    let query = ListQuery { limit: 1_000, ..ListQuery::default() };
    let rows = store.views.list(SCHEMA.name, &query).await.expect("the instances").rows;
    let mut instances: Vec<_> = rows
        .iter()
        .map(|(_, document)| serde_json::from_str::<Instance>(document.get()).expect("an instance"))
        // A deadline differs from run to run.
        .map(|instance| (instance.saga, instance.status, instance.waiting_for.split(" by ").take(1).collect()))
        .collect();
    instances.sort();
    End { events, instances }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_the_same_whatever_happens_on_the_way() {
    let (expected, appends, commits) = play(Delivery::AsTheyCome, Faults::none()).await;
    course::check(&expected.events);
    assert!(appends > 20 && commits > 20, "{appends} appends and {commits} commits can be disturbed");
    for delivery in [Delivery::OneByOne, Delivery::Twice] {
        assert_eq!(play(delivery, Faults::none()).await.0, expected);
    }
    let all = std::env::var_os("ANAMNESIS_TORTURE_ALL").is_some();
    let places = [(Place::Append, appends), (Place::Commit, commits)];
    let cases = places.into_iter().flat_map(|(place, count)| {
        (0..count).flat_map(move |turn| {
            let kinds = Fault::ALL.into_iter().enumerate();
            // Every place is disturbed; in which way goes round, unless all are asked for.
            kinds.filter(move |(kind, _)| all || kind % 4 == turn % 4).map(move |(_, fault)| (place, turn, fault))
        })
    });
    let ends = stream::iter(cases).map(|(place, turn, fault)| async move {
        let faults = Faults::at(place, turn, fault);
        (play(Delivery::AsTheyCome, faults.clone()).await.0, faults, (place, turn, fault))
    });
    let mut struck = 0;
    let mut ends = ends.buffer_unordered(CONCURRENT);
    while let Some((end, faults, case)) = ends.next().await {
        assert_eq!(end, expected, "{case:?}");
        struck += usize::from(faults.struck());
    }
    assert!(struck * 10 >= (appends + commits) * 9, "{struck} faults struck");
}
