//! Upgrades of a database that is in use.

use event_store::log::{KnownCommand, Receipt, RecordedEvent, Reference};
use event_store::postgres::MIGRATOR;
use event_store::{Store, StoreOptions, sqlite};
use events::ids::{PatientId, SiteId, StreamId, StreamType, TrialId};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use testkit::TestDatabase;
use testkit::appends::{append, patient};
use uuid::Uuid;

/// A database as the migration of this version left it.
async fn postgres_at(version: i64) -> (TestDatabase, PgConnection) {
    let database = testkit::postgres().await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    MIGRATOR.run_to(version, &mut connection).await.expect("as it was before");
    (database, connection)
}

/// Names of the tables and partitions of a view's generations.
async fn generations(connection: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname ~ '^view_.*_g[0-9]+$' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(connection).await.expect("names")
}

#[tokio::test]
async fn documents_of_views_are_the_same_after_the_upgrade_to_json() {
    let (_database, mut connection) = postgres_at(201).await;
    // A view that is read; a rebuild of it that became a partition and died; one of another that did not get there.
    connection
        .execute(
            "INSERT INTO views (name, schema_version, generation, position, columns, rebuild_generation,
                 rebuild_position, rebuild_version, rebuild_columns)
             VALUES ('patients', 1, 3, 9, '[]', 4, 5, 2, '[]'), ('visits', 1, 1, 9, '[]', 2, 5, 2, '[]');
             CREATE TABLE view_patients_g3 PARTITION OF view_patients FOR VALUES IN (3);
             CREATE TABLE view_patients_g4 PARTITION OF view_patients FOR VALUES IN (4);
             CREATE TABLE view_visits_g1 PARTITION OF view_visits FOR VALUES IN (1);
             CREATE TABLE view_visits_g2 (LIKE view_visits INCLUDING DEFAULTS);
             CREATE TABLE view_of_somebody_else_g1 (number integer);
             INSERT INTO view_patients (generation, key, document, registered_at)
             VALUES (3, 'a', '{\"text\": \"ä \\\\ \\\"\", \"list\": [1, null]}', now()), (4, 'a', '{}', now())",
        )
        .await
        .expect("views");
    MIGRATOR.run(&mut connection).await.expect("the upgrade");
    let kept = ["view_of_somebody_else_g1", "view_patients_g3", "view_visits_g1"];
    assert_eq!(generations(&mut connection).await, kept);
    let document: String = sqlx::query_scalar("SELECT document::text FROM view_patients WHERE key = 'a'")
        .fetch_one(&mut connection)
        .await
        .expect("the document");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document, serde_json::json!({"text": "ä \\ \"", "list": [1, null]}));
    let rebuilding: i64 =
        sqlx::query_scalar("SELECT count(*) FROM views WHERE num_nonnulls(rebuild_generation, rebuild_columns) > 0")
            .fetch_one(&mut connection)
            .await
            .expect("the catalogue");
    assert_eq!(rebuilding, 0, "rebuilds begin again");
    let indexes: Vec<String> =
        sqlx::query_scalar("SELECT indexdef FROM pg_indexes WHERE tablename = 'view_patients_g3' ORDER BY indexname")
            .fetch_all(&mut connection)
            .await
            .expect("indexes");
    assert_eq!(indexes.len(), 2, "{indexes:?}");
    assert!(indexes.iter().any(|index| index.ends_with("(registered_at, key)")), "{indexes:?}");
}

/// The log as it was written before ids held positions and commands were kept without their receipts: a command of
/// two events and one of none. Ids are written as `x'…'`, as SQLite has them.
const EARLIER_LOG: &str = r#"
    INSERT INTO events (position, stream_type, stream_id, version, event_id, event_type, schema_version, payload,
        occurred_at, recorded_at, actor, command_id, correlation_id, trial_id, site_id, patient_id)
    VALUES
        (1, 'patient', x'00000000000000000000000000000007', 1, x'0190000000007000900000000000000a', 'PatientRegistered',
            1, x'7b7d', TIME, TIME, '{"id":"a","role":"system"}', x'0000000000000000000000000000000c',
            x'0000000000000000000000000000000c', NULL, NULL, x'00000000000000000000000000000007'),
        (2, 'patient', x'00000000000000000000000000000007', 2, x'0190000000007000900000000000000b', 'PatientRegistered',
            1, x'7b7d', TIME, TIME, '{"id":"a","role":"system"}', x'0000000000000000000000000000000c',
            x'0000000000000000000000000000000c', x'0000000000000000000000000000000e',
            x'0000000000000000000000000000000f', x'00000000000000000000000000000007');
    INSERT INTO commands VALUES
        (x'0000000000000000000000000000000c', FINGERPRINT,
            '{"position":2,"recorded_at":"2026-11-21T20:31:37.012345Z","events":[
                {"position":1,"stream":"patient-00000000-0000-0000-0000-000000000007","version":1,
                 "event_id":"01900000-0000-7000-9000-00000000000a","event_type":"PatientRegistered"},
                {"position":2,"stream":"patient-00000000-0000-0000-0000-000000000007","version":2,
                 "event_id":"01900000-0000-7000-9000-00000000000b","event_type":"PatientRegistered"}]}'),
        (x'0000000000000000000000000000000d', FINGERPRINT,
            '{"position":2,"recorded_at":"2026-11-21T20:31:37Z","events":[]}');
    UPDATE log_head SET position = 2, recorded_at = TIME;
"#;
const FINGERPRINT: [u8; 32] = [7; 32];

fn for_postgres(log: &str) -> String {
    let log = log.replace("x'7b7d'", r"'\x7b7d'").replace("x'", "'");
    let log = log.replace("TIME", "TIMESTAMPTZ '2026-11-21 20:31:37.012345Z'");
    log.replace("FINGERPRINT", &format!(r"'\x{}'", "07".repeat(32)))
}

fn for_sqlite(log: &str) -> String {
    log.replace("TIME", "1795293097012345").replace("FINGERPRINT", &format!("x'{}'", "07".repeat(32)))
}

/// What was written before is found by its ids, and what is written then goes on from there.
async fn answers_as_before(url: &str) {
    let store = Store::open(url, &StoreOptions::default()).await.expect("the upgrade");
    let log = &*store.log;
    let events = log.read_all(0, 9).await.expect("the log");
    let ids = [0x0190_0000_0000_7000_9000_0000_0000_000a, 0x0190_0000_0000_7000_9000_0000_0000_000b];
    let stream = StreamId::new(StreamType::Patient, Uuid::from_u128(7));
    for (event, id) in events.iter().zip(ids.map(Uuid::from_u128)) {
        assert_eq!(event.event_id, id);
        assert_eq!(log.find_event(id).await.expect("an event").as_ref(), Some(event));
    }
    let (trial, site) = (TrialId::from(Uuid::from_u128(0xe)), SiteId::from(Uuid::from_u128(0xf)));
    let patient_of_both = Reference::Patient(PatientId::from(stream.id));
    for (reference, about) in
        [(Reference::Trial(trial), &events[1..]), (Reference::Site(site), &events[1..]), (patient_of_both, &events[..])]
    {
        assert_eq!(log.read_reference(reference, 0, 9, 9).await.expect("a reference"), about);
    }
    let events: Vec<RecordedEvent> = events.iter().map(RecordedEvent::from).collect();
    assert_eq!(
        events.iter().map(|event| (event.stream, event.version)).collect::<Vec<_>>(),
        [(stream, 1), (stream, 2)]
    );
    let time = |text: &str| text.parse().expect("a time");
    for (command_id, recorded_at, events) in
        [(0xc, time("2026-11-21T20:31:37.012345Z"), events), (0xd, time("2026-11-21T20:31:37Z"), Vec::new())]
    {
        let known = log.find_command(Uuid::from_u128(command_id)).await.expect("a command");
        let receipt = Receipt { position: 2, recorded_at, events, refusal: None };
        assert_eq!(known, Some(KnownCommand { fingerprint: FINGERPRINT, receipt }));
    }
    let added = log.append(append(patient(), event_store::log::Expected::NoStream, 1)).await.expect("an append");
    let added = added.into_receipt().events.remove(0);
    assert_eq!(added.position, 3);
    assert_eq!(log.find_event(added.event_id).await.expect("an event").map(|event| event.position), Some(3));
    store.close().await;
}

#[tokio::test]
async fn an_earlier_log_on_postgres_is_taken_over() {
    let (database, mut connection) = postgres_at(202).await;
    connection.execute(AssertSqlSafe(for_postgres(EARLIER_LOG))).await.expect("a log");
    answers_as_before(&database.url).await;
}

#[tokio::test]
async fn what_an_earlier_process_appends_during_the_upgrade_is_taken_over() {
    let (database, mut earlier) = postgres_at(202).await;
    earlier
        .execute(
            "BEGIN;
             INSERT INTO commands
             VALUES ('00000000-0000-0000-0000-00000000000c', decode(repeat('07', 32), 'hex'),
                 '{\"position\":0,\"recorded_at\":\"2026-11-21T20:31:37Z\",\"events\":[]}')",
        )
        .await
        .expect("a command that is not committed yet");
    let mut looking = PgConnection::connect(&database.url).await.expect("a connection");
    let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                 WHERE NOT granted AND datname = current_database())";
    let options = StoreOptions::default();
    let (store, ()) = tokio::join!(Store::open(&database.url, &options), async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut looking).await.expect("the locks") {
            tokio::task::yield_now().await;
        }
        earlier.execute("COMMIT").await.expect("committed");
    });
    let store = store.expect("the upgrade");
    let known = store.log.find_command(Uuid::from_u128(0xc)).await.expect("a command");
    assert_eq!(known.map(|known| known.fingerprint), Some(FINGERPRINT));
    store.close().await;
}

#[tokio::test]
async fn a_receipt_that_names_other_events_is_not_thrown_away() {
    let wrong = EARLIER_LOG.replace("9000-00000000000b\",\"event_type", "9000-00000000000f\",\"event_type");
    assert_ne!(wrong, EARLIER_LOG);
    let kept = "SELECT count(receipt) FROM commands";
    let (_database, mut connection) = postgres_at(202).await;
    connection.execute(AssertSqlSafe(for_postgres(&wrong))).await.expect("a log");
    let refused = MIGRATOR.run(&mut connection).await.expect_err("it is looked at first");
    assert!(format!("{refused:?}").contains("names other events"), "{refused:?}");
    let kept_there: i64 = sqlx::query_scalar(kept).fetch_one(&mut connection).await.expect("as it was");
    assert_eq!(kept_there, 2);

    let folder = tempfile::tempdir().expect("a folder");
    let options = sqlite::connect_options(&folder.path().join("log.db"));
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a file");
    sqlite::MIGRATOR.run_to(202, &mut connection).await.expect("as it was before");
    connection.execute(AssertSqlSafe(for_sqlite(&wrong))).await.expect("a log");
    let refused = sqlite::MIGRATOR.run(&mut connection).await.expect_err("it is looked at first");
    assert!(format!("{refused:?}").contains("names other events"), "{refused:?}");
    let kept_there: i64 = sqlx::query_scalar(kept).fetch_one(&mut connection).await.expect("as it was");
    assert_eq!(kept_there, 2);
}

#[tokio::test]
async fn an_earlier_log_in_a_file_is_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let mut connection = SqliteConnection::connect_with(&sqlite::connect_options(&path)).await.expect("a file");
    sqlite::MIGRATOR.run_to(202, &mut connection).await.expect("as it was before");
    connection.execute(AssertSqlSafe(for_sqlite(EARLIER_LOG))).await.expect("a log");
    connection.close().await.expect("closed");
    answers_as_before(&format!("sqlite:{}", path.display())).await;
    let mut connection = SqliteConnection::connect_with(&sqlite::connect_options(&path)).await.expect("the file");
    let merged: i64 = sqlx::query_scalar("SELECT merged FROM log_head").fetch_one(&mut connection).await.expect("it");
    assert_eq!(merged, 2, "what was there is merged in, what came is not");
}
