//! The log's contract on both engines.

use std::time::Duration;

use event_store::log::{Append, Appended, Expected, Reference};
use event_store::{Store, StoreOptions};
use events::ids::PatientId;
use futures::future::join_all;
use sqlx::{Connection, Executor, PgConnection};
use testkit::appends::{append, patient, some_time};
use testkit::contract::{
    a_closed_log_says_so, a_command_is_taken_once, a_stream_that_another_process_began_is_not_begun_again,
    expected_versions_are_exact, followers_read_what_is_stored, guards_hold, long_events_are_read_in_portions,
    malformed_appends_are_refused, positions_are_gapless_and_events_read_back, positions_become_visible_in_order,
    references_are_found_wherever_they_lie, snapshots_can_come_and_go, streams_are_compared_with_what_was_seen,
    times_follow_positions,
};
use testkit::eventually;
use uuid::Uuid;

/// How often the log's tables were read from end to end, by connections that are closed.
async fn whole_reads(connection: &mut PgConnection) -> i64 {
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    eventually("connections are gone", Duration::from_secs(30), async || {
        sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *connection).await.expect("connections") == 0
    })
    .await;
    let sql = "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables WHERE relname IN ('events', 'commands')";
    sqlx::query_scalar(sql).fetch_one(connection).await.expect("statistics")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_looks_through_the_whole_log_on_postgresql() {
    let test = testkit::stores::postgres().await;
    let appends: Vec<Append> = (0..10_000).map(|_| append(patient(), Expected::NoStream, 1)).collect();
    join_all(appends.iter().map(|append| test.store.log.append(append.clone()))).await;
    test.store.close().await;
    drop(test.store);
    let mut looking = PgConnection::connect(&test.url).await.expect("a connection");
    looking.execute("ANALYZE").await.expect("statistics");
    let before = whole_reads(&mut looking).await;

    let store = Store::open(&test.url, &StoreOptions::default()).await.expect("the store opens again");
    let log = &*store.log;
    let some = || appends.iter().step_by(700);
    for repeated in join_all(some().map(|append| log.append(append.clone()))).await {
        assert!(matches!(repeated, Ok(Appended::Repeated(_))), "{repeated:?}");
    }
    let further = some().map(|append| {
        let mut append = Append { command_id: Uuid::now_v7(), ..append.clone() };
        append.writes[0].expected = Expected::Any;
        append
    });
    for appended in join_all(further.map(|append| log.append(append))).await {
        assert_eq!(appended.expect("an append").into_receipt().events[0].version, 2);
    }
    for append in some() {
        let stream = append.writes[0].stream;
        let events = log.read_stream(stream, 0, 10).await.expect("a stream");
        assert_eq!(events.len(), 2);
        let about = Reference::Patient(PatientId::from(stream.id));
        assert_eq!(log.read_reference(about, 0, u64::MAX, 10).await.expect("a reference"), events);
        assert_eq!(log.find_event(events[0].event_id).await.expect("an event").as_ref(), Some(&events[0]));
        assert!(log.find_command(append.command_id).await.expect("a command").is_some());
        assert!(log.load_snapshot(stream).await.expect("no snapshot").is_none());
    }
    assert_eq!(log.read_all(5_000, 10).await.expect("the log").len(), 10);
    assert_eq!(log.position_at(some_time()).await.expect("a position"), 0, "before anything");
    store.close().await;
    drop(store);
    assert_eq!(whole_reads(&mut looking).await, before);
}

#[tokio::test]
async fn references_are_merged_in_by_thousands_in_a_file() {
    let test = testkit::stores::sqlite().await;
    let mut connection = test.file().await;
    let sql = "SELECT merged, (SELECT count(*) FROM events_of_patient), (SELECT count(*) FROM events_of_trial)
               FROM log_head";
    for thousand in 1..=18 {
        test.store.log.append(append(patient(), Expected::NoStream, 1_000)).await.expect("an append");
        let merged: (i64, i64, i64) = sqlx::query_as(sql).fetch_one(&mut connection).await.expect("the head");
        let due = match thousand {
            ..9 => 0,
            9..17 => 9_000,
            _ => 17_000,
        };
        assert_eq!(merged, (due, due, 0), "after {thousand} thousand; the batch that crosses 8,192 merges");
    }
}

testkit::on_both_engines! {
    positions_are_gapless_and_events_read_back,
    references_are_found_wherever_they_lie,
    expected_versions_are_exact,
    a_stream_that_another_process_began_is_not_begun_again,
    guards_hold,
    long_events_are_read_in_portions,
    a_command_is_taken_once,
    positions_become_visible_in_order,
    times_follow_positions,
    malformed_appends_are_refused,
    snapshots_can_come_and_go,
    streams_are_compared_with_what_was_seen,
    a_closed_log_says_so,
    followers_read_what_is_stored,
}
