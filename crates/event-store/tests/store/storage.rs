//! What is stored beside the log: views, leases, checkpoints, steps; on both engines.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use event_store::Store;
use event_store::log::Expected;
use event_store::views::{
    Column, ColumnKind, ColumnValue, CommitError, Cursor, Direction, Filter, FilterOp, ListQuery, QueryError,
    ViewBatch, ViewError, ViewRow, ViewSchema,
};
use testkit::appends::{append, patient, place, some_time};
use testkit::eventually;
use testkit::stores::TestStore;
use uuid::Uuid;

/// A view without a fold.
pub const ALERTS: ViewSchema = ViewSchema {
    name: "alerts",
    version: 1,
    columns: &[
        Column { name: "trial_id", kind: ColumnKind::Uuid },
        Column { name: "site_id", kind: ColumnKind::Uuid },
        Column { name: "patient_id", kind: ColumnKind::Uuid },
        Column { name: "status", kind: ColumnKind::Text },
        Column { name: "severity", kind: ColumnKind::Text },
        Column { name: "severity_rank", kind: ColumnKind::Integer },
        Column { name: "raised_at", kind: ColumnKind::Time },
    ],
    access_paths: &[],
};

pub fn trial(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) % 3 + 1)
}

pub fn raised(number: u32) -> DateTime<Utc> {
    some_time() + TimeDelta::microseconds(i64::from(number) * 7 % 11)
}

/// A row whose columns repeat, and are absent at times, so that order has ties to break.
fn row(number: u32) -> ViewRow {
    ViewRow {
        key: format!("alert-{number:04}"),
        document: serde_json::value::to_raw_value(&serde_json::json!({"number": number})).expect("JSON"),
        columns: vec![
            trial(number).into(),
            ColumnValue::Null,
            ColumnValue::Null,
            if number.is_multiple_of(4) { "open" } else { "resolved" }.into(),
            ColumnValue::Null,
            if number.is_multiple_of(5) { ColumnValue::Null } else { ColumnValue::Integer(i64::from(number % 7)) },
            raised(number).into(),
        ],
        is_new: false,
    }
}

fn batch(generation: i64, from: u64, to: u64, upserts: Vec<ViewRow>, deletes: &[&str]) -> ViewBatch {
    ViewBatch {
        view: ALERTS.name.to_owned(),
        generation,
        from: place(from),
        to: place(to),
        upserts,
        deletes: deletes.iter().map(|key| (*key).to_owned()).collect(),
    }
}

pub async fn filled(store: &Store, count: u32) -> i64 {
    let state = store.views.register(&ALERTS).await.expect("registered");
    let rows = (0..count).map(|number| ViewRow { is_new: true, ..row(number) }).collect();
    store.views.commit(&[batch(state.generation, 0, 50, rows, &[])]).await.expect("a batch");
    state.generation
}

fn filter(column: &str, op: FilterOp, value: impl Into<ColumnValue>) -> Filter {
    Filter { column: column.to_owned(), op, values: vec![value.into()] }
}

/// The numbers of a whole list, page by page.
pub async fn numbers(store: &Store, query: ListQuery) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut after = query.after.clone();
    loop {
        let page = store.views.list(ALERTS.name, &ListQuery { after, ..query.clone() }).await.expect("a page");
        assert!(page.rows.len() <= query.limit as usize);
        let number = |document: &str| {
            let value: serde_json::Value = serde_json::from_str(document).expect("a document");
            u32::try_from(value["number"].as_u64().expect("a number")).expect("small")
        };
        numbers.extend(page.rows.iter().map(|(_, document)| number(document.get())));
        // What goes over the wire comes back the same.
        after = page.next.map(|next| Cursor::decode(&next.encode()).expect("a cursor"));
        if after.is_none() {
            return numbers;
        }
    }
}

async fn a_page_of_long_documents_is_short(test: TestStore) {
    let store = &test.store;
    let state = store.views.register(&ALERTS).await.expect("registered");
    let long = |number: u32| {
        let document = serde_json::json!({"number": number, "text": "x".repeat(900_000)});
        ViewRow { is_new: true, document: serde_json::value::to_raw_value(&document).expect("JSON"), ..row(number) }
    };
    store.views.commit(&[batch(state.generation, 0, 50, (0..12).map(long).collect(), &[])]).await.expect("a batch");
    let query = ListQuery { limit: 1_000, ..ListQuery::default() };
    let page = store.views.list(ALERTS.name, &query).await.expect("a page");
    assert!(page.rows.len() < 8 && page.next.is_some(), "{}", page.rows.len());
    assert_eq!(numbers(store, query).await, (0..12).collect::<Vec<u32>>());
}

async fn lists_are_filtered_sorted_and_paged(test: TestStore) {
    let store = &test.store;
    filled(store, 60).await;
    let by_key: Vec<u32> = (0..60).collect();
    let page = |limit| ListQuery { limit, ..ListQuery::default() };
    for limit in [1, 7, 60, 1_000] {
        assert_eq!(numbers(store, page(limit)).await, by_key, "pages of {limit}");
    }
    let filters = vec![
        filter("trial_id", FilterOp::Equals, trial(1)),
        filter("status", FilterOp::Equals, "open"),
        filter("raised_at", FilterOp::AtLeast, raised(40)),
    ];
    let expected: Vec<u32> =
        (0..60).filter(|n| trial(*n) == trial(1) && n % 4 == 0 && raised(*n) >= raised(40)).collect();
    assert!(!expected.is_empty());
    assert_eq!(numbers(store, ListQuery { filters, ..page(3) }).await, expected);
    let at_most = vec![filter("severity_rank", FilterOp::AtMost, ColumnValue::Integer(2))];
    let expected: Vec<u32> = (0..60).filter(|n| n % 5 != 0 && n % 7 <= 2).collect();
    assert_eq!(numbers(store, ListQuery { filters: at_most, ..page(4) }).await, expected, "no value is not small");
    let absent = vec![filter("severity_rank", FilterOp::Equals, ColumnValue::Null)];
    let expected: Vec<u32> = (0..60).filter(|n| n % 5 == 0).collect();
    assert_eq!(numbers(store, ListQuery { filters: absent, ..page(4) }).await, expected);
    // Rows without a value come last either way; ties go by key, which runs as the column does.
    let rank = |n: &u32| if n.is_multiple_of(5) { None } else { Some(n % 7) };
    let mut ascending = by_key.clone();
    ascending.sort_by_key(|n| (rank(n).is_none(), rank(n), *n));
    let mut descending = by_key.clone();
    descending.sort_by_key(|n| (rank(n).is_none(), std::cmp::Reverse((rank(n), *n))));
    for (direction, expected) in [(Direction::Ascending, ascending), (Direction::Descending, descending)] {
        let sort = Some(("severity_rank".to_owned(), direction));
        for limit in [1, 4, 13] {
            assert_eq!(
                numbers(store, ListQuery { sort: sort.clone(), ..page(limit) }).await,
                expected,
                "{direction:?}"
            );
        }
    }
}

async fn wrong_questions_are_refused(test: TestStore) {
    let store = &test.store;
    let unknown = store.views.list("alerts", &ListQuery { limit: 1, ..ListQuery::default() }).await;
    assert!(matches!(unknown, Err(ViewError::Unknown(_))), "{unknown:?}");
    filled(store, 3).await;
    let ask = async |query: ListQuery| match store.views.list(ALERTS.name, &query).await {
        Err(ViewError::Query(error)) => error,
        other => panic!("{other:?}"),
    };
    let query = |limit| ListQuery { limit, ..ListQuery::default() };
    assert_eq!(ask(query(0)).await, QueryError::Limit);
    assert_eq!(ask(query(1_001)).await, QueryError::Limit);
    let filters = vec![filter("document", FilterOp::Equals, "x")];
    assert_eq!(ask(ListQuery { filters, ..query(1) }).await, QueryError::UnknownColumn("document".to_owned()));
    let filters = vec![filter("status", FilterOp::Equals, ColumnValue::Integer(1))];
    assert!(matches!(ask(ListQuery { filters, ..query(1) }).await, QueryError::WrongKind { .. }));
    let sort = Some(("status".to_owned(), Direction::Ascending));
    let page = store.views.list(ALERTS.name, &ListQuery { sort, ..query(1) }).await.expect("a page");
    assert_eq!(ask(ListQuery { after: page.next, ..query(1) }).await, QueryError::ForeignCursor);
    assert_eq!(Cursor::decode("nonsense"), Err(QueryError::ForeignCursor));
}

async fn a_page_goes_on_where_it_ended_while_rows_come_and_go(test: TestStore) {
    let store = &test.store;
    let generation = filled(store, 40).await;
    let query = ListQuery { limit: 10, ..ListQuery::default() };
    let first = store.views.list(ALERTS.name, &query).await.expect("a page");
    // One that was shown goes, one that was not goes, a new one comes behind.
    let changed = batch(generation, 50, 51, vec![row(41)], &["alert-0003", "alert-0020"]);
    store.views.commit(&[changed]).await.expect("a batch");
    let rest = numbers(store, ListQuery { after: first.next, limit: 1_000, ..ListQuery::default() }).await;
    let expected: Vec<u32> = (10..42).filter(|n| ![20, 40].contains(n)).collect();
    assert_eq!(rest, expected, "nothing twice, nothing missing");
}

async fn a_batch_is_stored_whole_or_not_at_all(test: TestStore) {
    let views = &test.store.views;
    let generation = filled(&test.store, 3).await;
    let good = batch(generation, 50, 60, vec![row(7)], &["alert-0001"]);
    let stale = batch(generation, 49, 60, vec![row(8)], &[]);
    let refused = views.commit(&[good.clone(), stale]).await;
    assert!(matches!(refused, Err(CommitError::Moved { .. })), "{refused:?}");
    assert_eq!(
        (
            views.position(ALERTS.name).await.expect("a position"),
            numbers(&test.store, ListQuery { limit: 9, ..ListQuery::default() }).await
        ),
        (50, vec![0, 1, 2])
    );
    views.commit(&[good]).await.expect("it stands there");
    let found = views.get(ALERTS.name, "alert-0007").await.expect("a document");
    assert_eq!((found.checkpoint.position, found.document.is_some()), (60, true));
    assert!(views.get(ALERTS.name, "alert-0001").await.expect("an answer").document.is_none());
    let keys = ["alert-0000", "alert-0001", "alert-0007"].map(str::to_owned);
    let mut loaded: Vec<String> =
        views.load(ALERTS.name, generation, &keys).await.expect("documents").into_keys().collect();
    loaded.sort();
    assert_eq!(loaded, ["alert-0000", "alert-0007"]);
}

/// What means something where rows are sent as text.
const AWKWARD: &str = "tab\t line\nend\r back\\slash \\N \\. \\t 'quote' \"quotes\" ä 😀";

async fn many_rows_are_stored_as_few_are(test: TestStore) {
    let views = &test.store.views;
    let awkward = |number: u32| {
        let document = serde_json::json!({"number": number, "text": AWKWARD, "long": "x".repeat(1_000)});
        let mut row = row(number);
        row.key.push_str(AWKWARD);
        row.document = serde_json::value::to_raw_value(&document).expect("JSON");
        row.columns[3] = AWKWARD.into();
        row
    };
    let (gone, new) = (awkward(1).key, (2..700).map(|number| ViewRow { is_new: true, ..awkward(number) }));
    let changed = ViewRow { document: row(0).document, ..awkward(0) };
    let many: Vec<ViewRow> = new.chain([changed]).collect();
    views.register(&ALERTS).await.expect("registered");
    let generation = views.start_rebuild(&ALERTS).await.expect("a generation");
    let few = vec![awkward(0), awkward(1)];
    views.commit(&[batch(generation, 0, 50, few, &[])]).await.expect("two rows");
    let stale = batch(generation, 49, 60, many.clone(), &[]);
    assert!(matches!(views.commit(std::slice::from_ref(&stale)).await, Err(CommitError::Moved { .. })));
    // Whoever asked for it may go away at any moment: connections stay good, nothing of it stays.
    for millis in 0..20 {
        drop(tokio::time::timeout(Duration::from_millis(millis), views.commit(std::slice::from_ref(&stale))).await);
        assert_eq!(views.load(ALERTS.name, generation, &[many[5].key.clone()]).await.expect("an answer").len(), 0);
    }
    views.commit(&[batch(generation, 50, 60, many, &[&gone])]).await.expect("many rows");
    assert!(views.swap(ALERTS.name, generation).await.expect("an answer"));
    let everything = || ListQuery { limit: 1_000, ..ListQuery::default() };
    let expected: Vec<u32> = (0..700).filter(|number| *number != 1).collect();
    assert_eq!(numbers(&test.store, everything()).await, expected);
    let filters = vec![filter("status", FilterOp::Equals, AWKWARD)];
    assert_eq!(numbers(&test.store, ListQuery { filters, ..everything() }).await, expected);
    let absent = vec![filter("site_id", FilterOp::Equals, ColumnValue::Null)];
    assert_eq!(numbers(&test.store, ListQuery { filters: absent, ..everything() }).await, expected);
    for number in 2..700 {
        let row = awkward(number);
        let found = views.get(ALERTS.name, &row.key).await.expect("an answer").document.expect("a document");
        assert_eq!(found.get(), row.document.get(), "as it was written");
    }
}

async fn a_rebuild_is_filled_beside_and_swapped_when_it_has_caught_up(test: TestStore) {
    let (store, views) = (&test.store, &test.store.views);
    let generation = filled(store, 5).await;
    let beside = views.start_rebuild(&ALERTS).await.expect("a rebuild");
    assert_ne!(beside, generation);
    views.commit(&[batch(beside, 0, 30, vec![row(0)], &[])]).await.expect("a batch beside");
    assert!(!views.swap(ALERTS.name, beside).await.expect("an answer"), "it is behind");
    let list = ListQuery { limit: 100, ..ListQuery::default() };
    assert_eq!(numbers(store, list.clone()).await.len(), 5, "the old one is read");
    views.commit(&[batch(beside, 30, 50, vec![row(1)], &[])]).await.expect("a batch beside");
    assert!(views.swap(ALERTS.name, beside).await.expect("an answer"));
    assert_eq!(numbers(store, list).await, [0, 1]);
    let late = views.commit(&[batch(generation, 50, 51, Vec::new(), &[])]).await;
    assert!(matches!(late, Err(CommitError::Moved { .. })), "the old one is over: {late:?}");
    let keys = vec!["alert-0000".to_owned(), "alert-0004".to_owned()];
    let kept = async |generation| views.load(ALERTS.name, generation, &keys).await.expect("documents").len();
    assert_eq!((kept(generation).await, kept(beside).await), (2, 1));
    views.sweep(ALERTS.name).await.expect("swept");
    assert_eq!((kept(generation).await, kept(beside).await), (0, 1), "only what nobody reads");
    for late in [batch(generation, 50, 51, vec![row(9)], &[]), batch(generation, 50, 51, Vec::new(), &["alert-0000"])] {
        let late = views.commit(&[late]).await;
        assert!(matches!(late, Err(CommitError::Moved { .. })), "what was swept has moved: {late:?}");
    }
    let twice = views.commit(&[batch(beside, 50, 51, Vec::new(), &[]), batch(beside, 50, 52, Vec::new(), &[])]).await;
    assert!(matches!(twice, Err(CommitError::Moved { .. })), "two cannot begin in one place: {twice:?}");
    let newer = views.start_rebuild(&ALERTS).await.expect("a rebuild");
    let newest = views.start_rebuild(&ALERTS).await.expect("in its place");
    assert_ne!(newer, newest);
    let given_up = views.commit(&[batch(newer, 0, 5, Vec::new(), &[])]).await;
    assert!(matches!(given_up, Err(CommitError::Moved { .. })), "{given_up:?}");
    assert!(!views.swap(ALERTS.name, newer).await.expect("an answer"), "it was given up");
    views.commit(&[batch(newest, 0, 50, vec![row(2)], &[])]).await.expect("a batch beside");
    views.sweep(ALERTS.name).await.expect("swept");
    assert!(views.swap(ALERTS.name, newest).await.expect("an answer"), "what is filled was not swept");
    assert_eq!(numbers(store, ListQuery { limit: 100, ..ListQuery::default() }).await, [2]);
}

async fn a_failure_is_told_until_it_is_over(test: TestStore) {
    let views = &test.store.views;
    filled(&test.store, 1).await;
    let failure = async || views.states().await.expect("the states")[0].failure.clone();
    views.set_failure(ALERTS.name, Some("it broke")).await.expect("noted");
    assert_eq!(failure().await.as_deref(), Some("it broke"));
    views.set_failure(ALERTS.name, None).await.expect("noted");
    assert_eq!(failure().await, None);
}

async fn a_lease_has_one_holder(test: TestStore) {
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let other = test.again().await;
    let (here, there) = (&test.store.leases, &other.leases);
    let long = Duration::from_secs(600);
    let lease = here.acquire("work", first, long).await.expect("an answer").expect("it is free");
    assert_eq!(there.acquire("work", second, long).await.expect("an answer"), None);
    assert_eq!(here.acquire("work", first, long).await.expect("an answer"), Some(lease), "kept, the same token");
    there.release("work", second).await.expect("nothing to give back");
    assert_eq!(there.acquire("work", second, long).await.expect("an answer"), None, "only its holder gives it back");
    here.release("work", first).await.expect("given back");
    let next = there.acquire("work", second, Duration::from_millis(50)).await.expect("an answer").expect("free again");
    assert!(next.token > lease.token);
    let runs_out = async || here.acquire("work", first, long).await.expect("an answer").is_some();
    eventually("it runs out", Duration::from_secs(30), runs_out).await;
    assert!(here.acquire("other work", second, long).await.expect("an answer").is_some());
    other.close().await;
}

/// A holder that is gone, whose lease ends in an hour by a clock that was set back since.
async fn a_lease_does_not_outlast_a_clock_that_was_set_back(test: TestStore) {
    let (gone, next) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (leases, short) = (&test.store.leases, Duration::from_secs(5));
    leases.acquire("work", gone, Duration::from_secs(3_600)).await.expect("an answer").expect("it is free");
    assert_eq!(leases.held("work").await.expect("an answer"), []);
    assert!(leases.acquire("work", next, short).await.expect("an answer").is_some(), "nobody holds it for an hour");
    assert_eq!(leases.held("work").await.expect("an answer"), [("work".to_owned(), next)]);
    assert_eq!(leases.acquire("work", gone, short).await.expect("an answer"), None);
}

async fn a_checkpoint_moves_from_where_it_stands(test: TestStore) {
    let checkpoints = &test.store.checkpoints;
    let at = async || checkpoints.load("relay").await.expect("a checkpoint");
    assert_eq!(at().await, 0);
    assert!(checkpoints.advance("relay", 0, 5).await.expect("an answer"));
    assert!(!checkpoints.advance("relay", 0, 6).await.expect("an answer"));
    assert_eq!(at().await, 5);
    assert!(checkpoints.advance("relay", 5, 2).await.expect("an answer"), "also back, where that is true");
    assert_eq!(at().await, 2);
}

async fn the_head_is_heard_of_in_another_process(test: TestStore) {
    let other = test.again().await;
    let mut watch = other.log.watch_head();
    test.store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("an append");
    let heard = tokio::time::timeout(Duration::from_secs(30), watch.wait_for(|head| *head >= 1)).await;
    heard.expect("in time").expect("the log is open");
    other.close().await;
}

#[tokio::test]
async fn what_is_written_is_announced_on_postgresql() {
    let test = testkit::stores::postgres().await;
    let mut listener = sqlx::postgres::PgListener::connect(&test.url).await.expect("a connection");
    listener.listen("anamnesis_head").await.expect("it listens");
    test.store.log.append(append(patient(), Expected::NoStream, 3)).await.expect("an append");
    let heard = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await;
    assert_eq!(heard.expect("in time").expect("a notification").payload(), "3");
}

use crate::several::a_filter_takes_several_values;

testkit::on_both_engines! {
    lists_are_filtered_sorted_and_paged,
    a_filter_takes_several_values,
    a_page_of_long_documents_is_short,
    wrong_questions_are_refused,
    a_page_goes_on_where_it_ended_while_rows_come_and_go,
    a_batch_is_stored_whole_or_not_at_all,
    many_rows_are_stored_as_few_are,
    a_rebuild_is_filled_beside_and_swapped_when_it_has_caught_up,
    a_failure_is_told_until_it_is_over,
    a_lease_has_one_holder,
    a_lease_does_not_outlast_a_clock_that_was_set_back,
    a_checkpoint_moves_from_where_it_stands,
    the_head_is_heard_of_in_another_process,
}
