//! The database itself refuses to change what is written.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::appends::fill;
use testkit::stores;

const CHANGES: [&str; 4] = [
    "UPDATE events SET version = 9",
    "DELETE FROM events WHERE position = 1",
    "UPDATE commands SET position = 9",
    "DELETE FROM commands",
];

/// On SQLite references are tables, too, and the head's row is counted on.
const CHANGES_ON_SQLITE: [&str; 11] = [
    "INSERT OR REPLACE INTO events SELECT * FROM events WHERE position = 1",
    // Another position, but the place of the first in its stream.
    "INSERT OR REPLACE INTO events SELECT 99, stream_type, stream_id, version, event_id, event_type, schema_version, \
     payload, occurred_at, recorded_at, actor, command_id, correlation_id, causation_id, trace_context, trial_id, \
     site_id, patient_id FROM events WHERE position = 1",
    "REPLACE INTO commands SELECT * FROM commands",
    "REPLACE INTO log_head SELECT * FROM log_head",
    "DELETE FROM log_head",
    "UPDATE events_of_trial SET position = 9",
    "DELETE FROM events_of_trial",
    "UPDATE events_of_site SET position = 9",
    "DELETE FROM events_of_site",
    "UPDATE events_of_patient SET position = 9",
    "DELETE FROM events_of_patient",
];

#[tokio::test]
async fn sqlite_refuses_changes() {
    let test = stores::sqlite().await;
    fill(&*test.store.log, 2).await;
    let mut connection = test.file().await;
    for kind in ["trial", "site", "patient"] {
        let merged = format!("INSERT INTO events_of_{kind} SELECT event_id, position FROM events");
        connection.execute(AssertSqlSafe(merged)).await.expect("a reference");
    }
    for change in CHANGES.into_iter().chain(CHANGES_ON_SQLITE) {
        connection.execute(AssertSqlSafe(change.to_owned())).await.expect_err(change);
    }
    assert_eq!(test.store.log.read_all(0, 9).await.expect("the log").len(), 2);
}

#[tokio::test]
async fn postgres_refuses_changes() {
    let test = stores::postgres().await;
    fill(&*test.store.log, 2).await;
    let mut connection = PgConnection::connect(&test.url).await.expect("the database answers");
    for change in CHANGES.into_iter().chain(["TRUNCATE events", "TRUNCATE commands"]) {
        connection.execute(AssertSqlSafe(change.to_owned())).await.expect_err(change);
    }
    assert_eq!(test.store.log.read_all(0, 9).await.expect("the log").len(), 2);
}
