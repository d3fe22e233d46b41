//! The projector on real storage: it follows, it is rebuilt beside, it survives being stopped.

mod doubles;
mod flaky;
mod lanes;
mod plans;
mod waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_bus::LogFeedSource;
use event_store::checkpoints::Checkpoint;
use event_store::log::{Expected, Write};
use event_store::views::{ColumnValue, CommitError, Cursor, Direction, ListQuery, ViewBatch, ViewRow};
use event_store::{Store, StoreOptions};
use events::enrolment::subject::{PatientScreened, SubjectEvent};
use events::envelope::{NewEvent, References};
use events::ids::{PatientId, SiteId, StreamKey, SubjectId, TrialId};
use events::set::EventSet;
use events::trial::{Blinding, EnrolmentMode, TrialEvent, TrialRegistered};
use projector::{Standing, rebuild, run};
use testkit::appends::{fill, of_writes, place, some_time};
use testkit::eventually;
use testkit::stores::{self, TestStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(30);

fn start(store: &Store) -> AbortOnDropHandle<()> {
    let feed = Arc::new(LogFeedSource::new(store.log.clone()));
    AbortOnDropHandle::new(tokio::spawn(run(
        store.clone(),
        feed,
        views::ALL,
        Standing::default(),
        CancellationToken::new(),
    )))
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
    assert!(store.view_waits.until("patients", 100, PATIENCE).await.expect("the view"));
    let seen = all(store, "patients", None).await;
    assert_eq!(seen.len(), 100);
    for view in views::ALL {
        rebuild(store, view.schema().name, &mut |_, _| {}).await.expect("a rebuild");
    }
    assert_eq!(all(store, "patients", None).await, seen, "equal to the one made from the log");
    fill(&*store.log, 5).await;
    let follows = async || store.views.position("patients").await.is_ok_and(|at| at >= 105);
    eventually("the live projector goes on in the new generation", PATIENCE, follows).await;
    assert_eq!(all(store, "patients", None).await.len(), 105);
}

/// What the migrations made fits what the views say of themselves.
async fn every_view_has_its_table(test: TestStore) {
    for view in views::ALL {
        let schema = view.schema();
        let views = &test.store.views;
        let generation = views.register(schema).await.expect("registered").generation;
        let row = ViewRow {
            key: "key".to_owned(),
            document: serde_json::value::to_raw_value("document").expect("JSON"),
            columns: vec![ColumnValue::Null; schema.columns.len()],
            is_new: true,
        };
        let batch = ViewBatch {
            view: schema.name.to_owned(),
            generation,
            from: Checkpoint::START,
            to: place(1),
            upserts: vec![row],
            deletes: Vec::new(),
        };
        views.commit(&[batch]).await.unwrap_or_else(|error| panic!("view {}: {error:?}", schema.name));
        for column in schema.columns {
            let sort = Some((column.name.to_owned(), Direction::Ascending));
            let page = views.list(schema.name, &ListQuery { sort, limit: 1, ..ListQuery::default() }).await;
            page.unwrap_or_else(|error| panic!("view {}, column {}: {error:?}", schema.name, column.name));
        }
    }
}

use lanes::{
    a_failing_view_holds_up_nobody_and_recovers_by_itself, a_log_that_went_back_stops_the_view,
    a_new_view_far_behind_holds_up_nobody, a_raised_view_is_read_while_it_is_filled_and_holds_up_nobody,
    a_storage_that_is_away_is_no_views_fault, an_older_program_leaves_a_newer_generation_alone,
    an_unknown_event_stops_an_older_program_which_gives_way,
    processes_share_the_views_and_take_over_from_one_that_is_killed,
};
use plans::{every_list_is_a_stretch_of_an_index, rows_without_a_value_come_last_both_ways};
use waits::however_many_wait_one_looks;

testkit::on_both_engines!(
    follows_and_is_rebuilt,
    every_view_has_its_table,
    a_failing_view_holds_up_nobody_and_recovers_by_itself,
    a_log_that_went_back_stops_the_view,
    a_new_view_far_behind_holds_up_nobody,
    a_raised_view_is_read_while_it_is_filled_and_holds_up_nobody,
    a_storage_that_is_away_is_no_views_fault,
    an_older_program_leaves_a_newer_generation_alone,
    an_unknown_event_stops_an_older_program_which_gives_way,
    processes_share_the_views_and_take_over_from_one_that_is_killed,
    every_list_is_a_stretch_of_an_index,
    rows_without_a_value_come_last_both_ways,
    however_many_wait_one_looks,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_never_shows_a_half_built_view() {
    let test = stores::sqlite().await;
    let store = test.store.clone();
    fill(&*store.log, 3_000).await;
    let _projector = start(&store);
    let built = async || store.views.position("patients").await.is_ok_and(|at| at >= 3_000);
    eventually("the view is built", PATIENCE, built).await;
    let first = all(&store, "patients", None).await.first().cloned();
    let watching = tokio::spawn({
        let store = store.clone();
        async move {
            let query = ListQuery { limit: 1_000, ..ListQuery::default() };
            for _ in 0..200 {
                let page = store.views.list("patients", &query).await.expect("a page");
                assert_eq!((page.rows.len(), page.checkpoint.position), (1_000, 3_000), "whole at every moment");
            }
        }
    });
    for _ in 0..3 {
        rebuild(&store, "patients", &mut |_, _| {}).await.expect("a rebuild");
    }
    watching.await.expect("the reader");
    assert_eq!(all(&store, "patients", None).await.first().cloned(), first);
}

#[tokio::test]
async fn a_batch_that_begins_elsewhere_is_not_taken() {
    let test = stores::sqlite().await;
    let schema = views::ALL[0].schema();
    let state = test.store.views.register(schema).await.expect("registered");
    let batch = |from, to| ViewBatch {
        view: schema.name.to_owned(),
        generation: state.generation,
        from: place(from),
        to: place(to),
        upserts: Vec::new(),
        deletes: Vec::new(),
    };
    test.store.views.commit(&[batch(0, 5)]).await.expect("it stands at 0");
    let stale = test.store.views.commit(&[batch(0, 6)]).await;
    assert!(matches!(stale, Err(CommitError::Moved { .. })), "{stale:?}");
    assert_eq!(test.store.views.position(schema.name).await.expect("a position"), 5);
}

/// Every connection falls silent at a moment: whoever waits for an answer would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn views_go_on_although_old_connections_stay_silent() {
    let database = testkit::postgres().await;
    let (base, name) = database.url.rsplit_once('/').expect("a database");
    let port = base.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let proxy = testkit::proxy::Proxy::start(port).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", proxy.port());
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the store opens");
    let beside = Store::open(&database.url, &StoreOptions::default()).await.expect("another");
    fill(&*beside.log, 5).await;
    let _projector = start(&store);
    let at = async |position| beside.views.position("patients").await.is_ok_and(|at| at == position);
    eventually("the view is built", PATIENCE, async || at(5).await).await;
    proxy.silence();
    fill(&*beside.log, 5).await;
    eventually("the view goes on", Duration::from_secs(90), async || at(10).await).await;
    beside.close().await;
}

/// Reads the enrolment figures of one trial while they are rebuilt and grow: at
/// every moment they are those of the position that the answer names.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_whole_while_they_are_rebuilt_from_many_events() {
    let events = std::env::var("ANAMNESIS_REBUILD_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(3_000);
    for test in [stores::sqlite().await, stores::postgres().await] {
        let store = &test.store;
        let trial = Trial::register(store).await;
        trial.screen(store, events).await;
        let _projector = start(store);
        let built = async || store.views.position("trial_enrolment").await.is_ok_and(|at| at > events);
        eventually("the view is built", Duration::from_secs(600), built).await;
        let done = Arc::new(AtomicBool::new(false));
        // A task of its own: folding in between would hold it up.
        let (views, key, rebuilt) = (store.views.clone(), trial.id.to_string(), done.clone());
        let reading = tokio::spawn(async move {
            let mut answers = 0_u64;
            while !rebuilt.load(Ordering::Relaxed) {
                let found = views.get("trial_enrolment", &key).await.expect("an answer");
                let document = found.document.expect("never without an answer");
                let document: serde_json::Value = serde_json::from_str(document.get()).expect("a document");
                // The first event registered the trial; every other one is a screening.
                assert_eq!(document["screened"].as_u64(), Some(found.checkpoint.position - 1), "whole at every moment");
                answers += 1;
            }
            answers
        });
        let rebuilding = async {
            rebuild(store, "trial_enrolment", &mut |_, _| {}).await.expect("a rebuild");
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(rebuilding, trial.screen(store, 500));
        let answers = reading.await.expect("the reader");
        assert!(answers > 10, "{answers} answers meanwhile");
        let head = store.log.head().await.expect("the head");
        assert!(store.view_waits.until("trial_enrolment", head, PATIENCE).await.expect("the view"));
        let found = store.views.get("trial_enrolment", &trial.id.to_string()).await.expect("an answer");
        let live = found.document.expect("a document").get().to_owned();
        rebuild(store, "trial_enrolment", &mut |_, _| {}).await.expect("a rebuild");
        let again = store.views.get("trial_enrolment", &trial.id.to_string()).await.expect("an answer");
        assert_eq!(again.document.expect("a document").get(), live, "equal to the one made from the log");
    }
}

struct Trial {
    id: TrialId,
}

impl Trial {
    async fn register(store: &Store) -> Self {
        let id = TrialId::from(uuid::Uuid::now_v7());
        let registered = TrialEvent::from(TrialRegistered {
            protocol: "P-1".to_owned(),
            title: "T".to_owned(),
            phase: None,
            blinding: Blinding::OpenLabel,
            planned_enrolment: 10,
            enrolment_mode: EnrolmentMode::Manual,
        });
        store.log.append(of_writes(vec![write(id, References::trial(id), &registered)])).await.expect("an append");
        Self { id }
    }

    /// Screens so many patients, many in one append.
    async fn screen(&self, store: &Store, count: u64) {
        let site_id = SiteId::from(uuid::Uuid::now_v7());
        let screening = |number: u64| {
            let patient_id = PatientId::from(uuid::Uuid::now_v7());
            let screened = SubjectEvent::from(PatientScreened {
                patient_id,
                trial_id: self.id,
                site_id,
                subject_number: number.to_string(),
            });
            let references = References::subject(self.id, site_id, patient_id);
            write(SubjectId::of(patient_id, self.id), references, &screened)
        };
        for first in (0..count).step_by(500) {
            let writes = (first..count.min(first + 500)).map(screening).collect();
            store.log.append(of_writes(writes)).await.expect("an append");
        }
    }
}

fn write<E: EventSet>(id: impl StreamKey, references: References, event: &E) -> Write {
    let event = NewEvent::of(event, some_time(), references);
    Write { stream: id.stream(), expected: Expected::NoStream, events: vec![event] }
}
