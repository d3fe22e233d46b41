//! Process managers' storage: cursors, instances and steps change together or not at all.

use event_store::sagas::{
    About, Documents, FanOut, SagaBatch, SagaCursor, StepChange, StepStatus, StoredStep, Troubles,
};
use event_store::views::{Column, ColumnKind, ColumnValue, CommitError, ViewRow, ViewSchema};
use testkit::appends::place;
use testkit::appends::some_time;
use testkit::stores::TestStore;
use uuid::Uuid;

testkit::on_both_engines!(steps_change_with_their_instances);

const SAGAS: ViewSchema = ViewSchema {
    name: "sagas",
    version: 1,
    columns: &[
        Column { name: "saga", kind: ColumnKind::Text },
        Column { name: "status", kind: ColumnKind::Text },
        Column { name: "trial_id", kind: ColumnKind::Uuid },
        Column { name: "patient_id", kind: ColumnKind::Uuid },
        Column { name: "waiting_since", kind: ColumnKind::Time },
        Column { name: "due_at", kind: ColumnKind::Time },
    ],
    access_paths: &[],
};

fn step(number: u128, sequence: i64) -> StoredStep {
    StoredStep {
        command_id: Uuid::from_u128(number),
        saga: "one".to_owned(),
        instance_id: Uuid::from_u128(100),
        sequence,
        place: 0,
        name: format!("step-{number}"),
        trigger_id: Uuid::from_u128(200),
        causation_id: Some(Uuid::from_u128(300)),
        correlation_id: Uuid::from_u128(400),
        trace_context: Some("00-1-2-01".to_owned()),
        command: "{}".to_owned(),
        state: "null".to_owned(),
        status: StepStatus::Pending,
        attempts: 0,
    }
}

fn row(number: u128, trial: u128, due_at: ColumnValue) -> ViewRow {
    let document = serde_json::value::to_raw_value(&number.to_string()).expect("a document");
    let (trial, patient) = (Uuid::from_u128(trial).into(), Uuid::from_u128(number).into());
    let columns = vec!["one".into(), "running".into(), trial, patient, ColumnValue::Time(some_time()), due_at];
    ViewRow { key: Uuid::from_u128(number).to_string(), document, columns, is_new: false }
}

async fn steps_change_with_their_instances(test: TestStore) {
    let sagas = &test.store.sagas;
    let generation = test.store.views.register(&SAGAS).await.expect("registered").generation;
    let among = || vec!["one".to_owned(), "other".to_owned()];
    let mut cursor = sagas.restart("one", generation, 1, None).await.expect("begun");
    sagas.restart("other", generation, 1, None).await.expect("begun");
    let commit = async |to: &SagaCursor, instances: Vec<ViewRow>, steps: Vec<StepChange>| {
        let saga = "one".to_owned();
        sagas.commit(SagaBatch { saga, generation, to: to.clone(), instances, steps, among: among() }).await
    };
    cursor.revision += 1;
    cursor.checkpoint = place(5);
    cursor.fan_out = Some(FanOut { position: 6, after: "k".to_owned() });
    let rows = vec![row(1, 7, ColumnValue::Null), row(2, 7, ColumnValue::Time(some_time()))];
    commit(&cursor, rows, vec![StepChange::Put(Box::new(step(1, 20))), StepChange::Put(Box::new(step(2, 10)))])
        .await
        .expect("stored");
    let stale = commit(&cursor, Vec::new(), vec![StepChange::Put(Box::new(step(3, 1)))]).await;
    assert!(matches!(stale, Err(CommitError::Moved { .. })), "{stale:?}");
    assert_eq!(sagas.cursor("one").await.expect("an answer").as_ref(), Some(&cursor));
    let pending = async |after, limit| sagas.pending("one", after, limit).await.expect("steps");
    assert_eq!(pending(None, 10).await, [step(2, 10), step(1, 20)], "in order, and nothing of the stale one");
    assert_eq!(pending(Some(step(2, 10).order()), 10).await, [step(1, 20)]);
    assert!(sagas.pending("other", None, 10).await.expect("steps").is_empty());
    // Pages of a trial, those of patients, those whose time has come.
    let keys = |documents: Documents| documents.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let trial = About::Trial(Uuid::from_u128(7));
    let first = keys(sagas.running("one", generation, &trial, None, 1).await.expect("a page"));
    assert_eq!(first, [Uuid::from_u128(1).to_string()]);
    let second = keys(sagas.running("one", generation, &trial, Some(&first[0]), 1).await.expect("a page"));
    assert_eq!(second, [Uuid::from_u128(2).to_string()]);
    let patients = About::Patients(vec![Uuid::from_u128(2), Uuid::from_u128(3)]);
    assert_eq!(keys(sagas.running("one", generation, &patients, None, 9).await.expect("a page")), second);
    assert_eq!(keys(sagas.due("one", generation, some_time(), 9).await.expect("those due")), second);
    // The view stands where the last of the process managers does.
    assert_eq!(test.store.views.position("sagas").await.expect("a position"), 0);
    cursor.revision += 1;
    let dead = StoredStep { status: StepStatus::Dead, attempts: 4, ..step(2, 10) };
    let changes = vec![StepChange::Put(Box::new(dead.clone())), StepChange::Remove(Uuid::from_u128(1))];
    commit(&cursor, Vec::new(), changes).await.expect("stored");
    assert!(pending(None, 10).await.is_empty());
    assert_eq!(sagas.find("one", dead.command_id).await.expect("an answer"), Some(dead));
    assert_eq!(sagas.troubles("one", generation).await.expect("an answer"), Troubles { stuck: 0, dead: 1 });
    sagas.announce(&["one".to_owned()]).await.expect("told");
    assert_eq!(test.store.views.position("sagas").await.expect("a position"), 5);
    // Begun anew it has nothing.
    let begun = sagas.restart("one", generation, 2, Some(cursor.clone())).await.expect("begun anew");
    assert_eq!((begun.state_version, begun.checkpoint.position, begun.revision), (2, 0, cursor.revision + 1));
    assert!(sagas.find("one", Uuid::from_u128(2)).await.expect("an answer").is_none());
    assert!(sagas.running("one", generation, &trial, None, 9).await.expect("a page").is_empty());
    let again = sagas.restart("one", generation, 3, Some(cursor)).await;
    assert!(matches!(again, Err(CommitError::Moved { .. })), "{again:?}");
}
