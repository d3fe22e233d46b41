//! Every process manager tortured on a course of its own: each step repeated,
//! each step failed, a crash before and after each thing that it stores, events
//! one by one, in bursts and twice. The end is the same every time.

use std::sync::Arc;

use event_bus::{FeedSource, LogFeedSource};
use event_store::Store;
use futures::stream::{self, StreamExt};
use saga::{PROCESSES, Runner};
use testkit::{eventually, stores};

use crate::clinic::Clinic;
use crate::courses::{Alert, Count, Course, Enrolment, Silence, TORTURED, Withdrawal};
use crate::faults::{Burst, Fault, Faults, Place};
use crate::world::{PATIENCE, count, instances, is_quiet, only, runner, start};

/// Runs at the same time: most of them wait for storage.
const CONCURRENT: usize = 8;

/// What is left at the end: how many events of which type, and how the instances stand.
#[derive(Debug, PartialEq, Eq)]
struct End {
    events: Count,
    instances: Vec<(String, String)>,
}

/// How events reach the process managers.
#[derive(Clone, Copy)]
enum Delivery {
    AsTheyCome,
    OneByOne,
    Twice,
}

async fn delivered<C: Course>(store: &Store, delivery: Delivery) -> Runner {
    let log = Arc::new(LogFeedSource::new(store.log.clone()));
    let feed: Arc<dyn FeedSource> = match delivery {
        Delivery::AsTheyCome => log,
        Delivery::OneByOne => Arc::new(Burst { source: log, size: 1, times: 1 }),
        Delivery::Twice => Arc::new(Burst { source: log, size: 3, times: 2 }),
    };
    Runner { feed, ..runner(store, only(C::PROCESS)).await }
}

/// Plays the course with these faults; gives the end and what was stored on the way.
async fn play<C: Course>(delivery: Delivery, faults: Arc<Faults>) -> (End, usize, usize) {
    let test = stores::sqlite().await;
    let disturbed = faults.clone().around(&test.store);
    let mut running = start(delivered::<C>(&disturbed, delivery).await);
    let clinic = Clinic::new(test.store.clone()).await;
    for phase in 0..C::PHASES {
        if phase == C::BEHIND {
            drop(running);
            C::play(&clinic, phase).await;
            running = start(delivered::<C>(&disturbed, delivery).await);
        } else {
            C::play(&clinic, phase).await;
        }
        let quiet = eventually("all is done", PATIENCE, async || is_quiet(&test.store, only(C::PROCESS)).await);
        let mut quiet = std::pin::pin!(quiet);
        loop {
            tokio::select! {
                () = &mut quiet => break,
                () = faults.crashed() => {
                    drop(running);
                    running = start(delivered::<C>(&disturbed, delivery).await);
                }
            }
        }
    }
    drop(running);
    // A deadline differs from run to run.
    let stands = |text: &str| text.split(" by ").take(1).collect();
    let instances = instances(&test.store).await;
    let mut instances: Vec<_> =
        instances.into_iter().map(|instance| (instance.status, stands(&instance.waiting_for))).collect();
    instances.sort();
    (End { events: count(&test.store).await, instances }, faults.count(Place::Append), faults.count(Place::Commit))
}

async fn torture<C: Course>() {
    let (expected, appends, commits) = play::<C>(Delivery::AsTheyCome, Faults::none()).await;
    C::check(&expected.events);
    assert!(appends > 4 && commits > 4, "{appends} appends and {commits} commits can be disturbed");
    for delivery in [Delivery::OneByOne, Delivery::Twice] {
        assert_eq!(play::<C>(delivery, Faults::none()).await.0, expected);
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
        (play::<C>(Delivery::AsTheyCome, faults.clone()).await.0, faults, (place, turn, fault))
    });
    let mut struck = 0;
    let mut ends = ends.buffer_unordered(CONCURRENT);
    while let Some((end, faults, case)) = ends.next().await {
        assert_eq!(end, expected, "{case:?}");
        struck += usize::from(faults.struck());
    }
    // How much is stored at once differs from run to run.
    assert!(struck * 10 >= appends * 9 + commits * 5, "{struck} faults struck");
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_ends_the_same_whatever_happens_on_the_way() {
    torture::<Enrolment>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawal_ends_the_same_whatever_happens_on_the_way() {
    torture::<Withdrawal>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_ends_the_same_whatever_happens_on_the_way() {
    torture::<Alert>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_the_same_whatever_happens_on_the_way() {
    torture::<Silence>().await;
}

#[test]
fn every_process_manager_is_tortured() {
    for process in PROCESSES {
        assert!(TORTURED.contains(&process.name()), "{} has no course", process.name());
    }
}
