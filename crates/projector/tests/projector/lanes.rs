//! No view waits for another, and processes share them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use event_bus::LogFeedSource;
use event_store::Store;
use event_store::checkpoints::Checkpoint;
use event_store::log::Expected;
use event_store::views::ViewState;
use projector::{Standing, run};
use testkit::appends::{append, fill, patient, place};
use testkit::eventually;
use testkit::stores::TestStore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;
use views::{DynTable, DynView};

use crate::doubles::{Odd, listed, view};
use crate::flaky::Flaky;

const PATIENCE: Duration = Duration::from_secs(60);

/// A projector process; killed when it is dropped.
struct Process {
    standing: Standing,
    shutdown: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Process {
    fn start(store: &Store, views: &[&'static dyn DynView]) -> Self {
        let (standing, shutdown) = (Standing::default(), CancellationToken::new());
        let feed = Arc::new(LogFeedSource::new(store.log.clone()));
        let work = run(store.clone(), feed, listed(views), standing.clone(), shutdown.clone());
        Self { standing, shutdown, task: AbortOnDropHandle::new(tokio::spawn(work)) }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("it ends");
    }
}

async fn state(store: &Store, view: &str) -> ViewState {
    let states = store.views.states().await.expect("the catalogue");
    states.into_iter().find(|state| state.name == view).expect("registered")
}

async fn reaches(store: &Store, view: &str, position: u64) {
    let reached = async || store.views.position(view).await.is_ok_and(|at| at >= position);
    eventually(&format!("{view} stands at {position}"), PATIENCE, reached).await;
}

/// How many views each process holds.
async fn shares(store: &Store) -> BTreeMap<Uuid, usize> {
    let mut shares = BTreeMap::new();
    for (_, holder) in store.leases.held("projector/").await.expect("the leases") {
        *shares.entry(holder).or_default() += 1;
    }
    shares
}

pub async fn a_new_view_far_behind_holds_up_nobody(test: TestStore) {
    let store = &test.store;
    fill(&*store.log, 5_000).await;
    let old = Process::start(store, &[view("patients")]);
    reaches(store, "patients", 5_000).await;
    old.stop().await;
    let new = Odd::of("consents", 0);
    new.hold_up(true);
    let _process = Process::start(store, &[view("patients"), new]);
    fill(&*store.log, 5).await;
    reaches(store, "patients", 5_005).await;
    assert_eq!(state(store, "consents").await.checkpoint.position, 0, "it waits");
    new.hold_up(false);
    reaches(store, "consents", 5_005).await;
    fill(&*store.log, 5).await;
    reaches(store, "consents", 5_010).await;
    reaches(store, "patients", 5_010).await;
}

pub async fn a_raised_view_is_read_while_it_is_filled_and_holds_up_nobody(test: TestStore) {
    let store = &test.store;
    fill(&*store.log, 3_000).await;
    let old = Process::start(store, &[view("patients"), view("consents")]);
    reaches(store, "patients", 3_000).await;
    reaches(store, "consents", 3_000).await;
    old.stop().await;
    let before = state(store, "consents").await;
    let raised = Odd::of("consents", 1);
    raised.hold_up(true);
    let _process = Process::start(store, &[view("patients"), raised]);
    fill(&*store.log, 5).await;
    reaches(store, "patients", 3_005).await;
    let meanwhile = state(store, "consents").await;
    assert_eq!((meanwhile.generation, meanwhile.checkpoint), (before.generation, before.checkpoint), "read as it was");
    raised.hold_up(false);
    let replaced = async || state(store, "consents").await.version > before.version;
    eventually("the new generation is read", PATIENCE, replaced).await;
    reaches(store, "consents", 3_005).await;
    fill(&*store.log, 5).await;
    reaches(store, "consents", 3_010).await;
}

pub async fn a_failing_view_holds_up_nobody_and_recovers_by_itself(test: TestStore) {
    let store = &test.store;
    let faulty = Odd::of("consents", 0);
    faulty.set_faulty(true);
    let process = Process::start(store, &[faulty, view("patients")]);
    fill(&*store.log, 50).await;
    reaches(store, "patients", 50).await;
    let noted = async || state(store, "consents").await.failure.is_some();
    eventually("the failure is shown", PATIENCE, noted).await;
    let shown = process.standing.views();
    assert!(shown.iter().any(|(view, trouble)| *view == "consents" && trouble.is_err()), "{shown:?}");
    assert_eq!(process.standing.projector(), Ok(()), "the projector does its work");
    assert_eq!(state(store, "patients").await.failure, None);
    // No further event: time alone brings it back.
    faulty.set_faulty(false);
    reaches(store, "consents", 50).await;
    let cleared = async || state(store, "consents").await.failure.is_none();
    eventually("the failure is cleared", PATIENCE, cleared).await;
    let well = async || process.standing.views().iter().all(|(_, trouble)| trouble.is_ok());
    eventually("the process says so", PATIENCE, well).await;
}

pub async fn a_storage_that_is_away_is_no_views_fault(test: TestStore) {
    let flaky = Arc::new(Flaky::of(test.store.views.clone()));
    flaky.is_away.store(true, Ordering::SeqCst);
    let mut store = test.store.clone();
    store.views = flaky.clone();
    let _process = Process::start(&store, &[view("patients"), view("consents")]);
    fill(&*store.log, 20).await;
    eventually("it was tried", PATIENCE, async || flaky.refused.load(Ordering::SeqCst) >= 2).await;
    flaky.is_away.store(false, Ordering::SeqCst);
    // No further event.
    reaches(&store, "patients", 20).await;
    reaches(&store, "consents", 20).await;
    assert_eq!(flaky.failures_noted.load(Ordering::SeqCst), 0);
}

pub async fn an_older_program_leaves_a_newer_generation_alone(test: TestStore) {
    let store = &test.store;
    fill(&*store.log, 20).await;
    let newer_view = Odd::of("consents", 1);
    let newer = Process::start(store, &[view("patients"), newer_view]);
    reaches(store, "patients", 20).await;
    reaches(store, "consents", 20).await;
    newer.stop().await;
    let older = Process::start(store, &[view("patients"), view("consents")]);
    fill(&*store.log, 10).await;
    reaches(store, "patients", 30).await;
    let said = async || older.standing.views().iter().any(|(view, said)| *view == "consents" && said.is_err());
    eventually("the older one says so", PATIENCE, said).await;
    let left = state(store, "consents").await;
    assert_eq!((left.version, left.checkpoint.position), (newer_view.schema().version, 20), "left alone");
    // Beside it the newer one is free to go on.
    let _newer = Process::start(&test.again().await, &[view("patients"), newer_view]);
    reaches(store, "consents", 30).await;
}

pub async fn processes_share_the_views_and_take_over_from_one_that_is_killed(test: TestStore) {
    let (first, second) = (&test.store, test.again().await);
    let views = [view("patients"), view("consents"), view("sites"), view("alerts"), view("visits")];
    let _first = Process::start(first, &views);
    let whole = async || shares(first).await.into_values().collect::<Vec<_>>() == [5];
    eventually("one has them all", PATIENCE, whole).await;
    let killed = Process::start(&second, &views);
    let halves = async || {
        let mut shares: Vec<usize> = shares(first).await.into_values().collect();
        shares.sort_unstable();
        shares == [2, 3]
    };
    eventually("both have their share", PATIENCE, halves).await;
    fill(&*first.log, 20).await;
    for view in views {
        reaches(first, view.schema().name, 20).await;
    }
    drop(killed);
    fill(&*first.log, 20).await;
    for view in views {
        reaches(first, view.schema().name, 40).await;
    }
    eventually("the other has them all", PATIENCE, whole).await;
}

pub async fn an_unknown_event_stops_an_older_program_which_gives_way(test: TestStore) {
    let store = &test.store;
    fill(&*store.log, 10).await;
    let mut unknown = append(patient(), Expected::NoStream, 1);
    unknown.writes[0].events[0].event_type = "PatientFrobnicated";
    store.log.append(unknown).await.expect("an append");
    let process = Process::start(store, &[view("patients"), view("sites")]);
    reaches(store, "patients", 10).await;
    eventually("it says so", PATIENCE, async || process.standing.projector().is_err()).await;
    eventually("it gives way", PATIENCE, async || shares(store).await.is_empty()).await;
    assert_eq!(store.views.position("patients").await.expect("a position"), 10, "just before it");
}

/// Beyond the log's end, and where the log has another event by now: neither is folded on.
pub async fn a_log_that_went_back_stops_the_view(test: TestStore) {
    let store = &test.store;
    fill(&*store.log, 5).await;
    let lost = [("patients", place(50)), ("consents", place(3))];
    for (name, to) in lost {
        let state_before = store.views.register(view(name).schema()).await.expect("registered");
        let ahead = event_store::views::ViewBatch {
            view: name.to_owned(),
            generation: state_before.generation,
            from: Checkpoint::START,
            to,
            upserts: Vec::new(),
            deletes: Vec::new(),
        };
        store.views.commit(&[ahead]).await.expect("a batch of a log that is gone");
    }
    let _process = Process::start(store, &[view("patients"), view("consents"), view("sites")]);
    reaches(store, "sites", 5).await;
    for (name, to) in lost {
        let told = async || {
            let failure = state(store, name).await.failure;
            failure.is_some_and(|failure| failure.contains("recover") && failure.contains(&to.event_id.to_string()))
        };
        eventually("the operator is told", PATIENCE, told).await;
        assert_eq!(state(store, name).await.checkpoint, to, "not folded on");
    }
}
