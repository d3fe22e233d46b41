//! Truth and derived data apart: the embedded engine's files, copies of them, data of another log, newer schemas.

use std::path::{Path, PathBuf};
use std::time::Duration;

use event_store::log::Expected;
use event_store::views::{ViewBatch, ViewSchema};
use event_store::{BackupError, OpenError, Store, StoreOptions};
use futures::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use testkit::appends::{append, fill, patient, place};
use testkit::eventually;
use testkit::stores::{TestStore, postgres};

const PATIENCE: Duration = Duration::from_secs(30);
const SOME: ViewSchema = ViewSchema { name: "some", version: 1, columns: &[], access_paths: &[] };

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.display())
}

async fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(&url(folder), &StoreOptions::default()).await
}

async fn opened(folder: &Path) -> Store {
    open(folder).await.unwrap_or_else(|error| panic!("{error:?}"))
}

fn copy(from: &Path, to: &Path, files: &[&str]) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in files {
        std::fs::copy(from.join(file), to.join(file)).expect("a copy");
    }
}

/// A log of 40 events that is still open, and its folder.
async fn in_use() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path()).await;
    fill(&*store.log, 40).await;
    (folder, store)
}

/// Overwrites some pages in the middle of a file with those of elsewhere in it, as a copy does that takes long.
fn mix_up(file: &Path) {
    const PAGE: usize = 4096;
    let mut bytes = std::fs::read(file).expect("the file");
    let pages = bytes.len() / PAGE;
    for page in pages / 2..pages - 1 {
        let (one, other) = bytes.split_at_mut((page + 1) * PAGE);
        one[page * PAGE..].copy_from_slice(&other[..PAGE]);
    }
    std::fs::write(file, bytes).expect("the file");
}

#[tokio::test]
async fn a_copy_of_a_file_in_use_that_is_whole_is_served() {
    let (folder, store) = in_use().await;
    let copied = tempfile::tempdir().expect("a folder");
    copy(folder.path(), copied.path(), &["log.db", "log.db-wal"]);
    let again = opened(copied.path()).await;
    assert_eq!(again.log.head().await.expect("the head"), 40);
    again.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_torn_copy_is_refused_and_named() {
    let (folder, store) = in_use().await;
    // So that all of it is in the file itself.
    store.close().await;
    let store = opened(folder.path()).await;
    let copied = tempfile::tempdir().expect("a folder");
    copy(folder.path(), copied.path(), &["log.db", "log.db-wal"]);
    mix_up(&copied.path().join("log.db"));
    let Err(refused) = open(copied.path()).await else { panic!("it is torn") };
    assert!(matches!(refused, OpenError::Torn { .. }), "{refused:?}");
    assert!(refused.to_string().contains("log.db") && refused.to_string().contains("anamnesis backup"), "{refused}");
    store.close().await;
}

#[tokio::test]
async fn a_log_with_a_hole_is_refused() {
    let (folder, store) = in_use().await;
    let mut connection = file(folder.path().join("log.db")).await;
    let hole = "DROP TRIGGER events_are_kept; DELETE FROM events WHERE position = 17";
    sqlx::raw_sql(hole).execute(&mut connection).await.expect("a hole");
    let copied = tempfile::tempdir().expect("a folder");
    copy(folder.path(), copied.path(), &["log.db", "log.db-wal"]);
    let Err(refused) = open(copied.path()).await else { panic!("it has a hole") };
    assert!(refused.to_string().contains("39 events up to position 40"), "{refused}");
    store.close().await;
}

async fn file(path: PathBuf) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("the file")
}

async fn mark(folder: &Path, name: &str) -> i64 {
    let mut connection = file(folder.join(name)).await;
    sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.expect("the mark")
}

#[tokio::test]
async fn files_are_whole_once_the_last_process_has_closed_them() {
    let (folder, first) = in_use().await;
    let second = opened(folder.path()).await;
    first.close().await;
    assert_eq!(mark(folder.path(), "log.db").await, 1, "the second has it open");
    second.log.append(append(patient(), Expected::NoStream, 1)).await.expect("it goes on");
    second.close().await;
    assert_eq!((mark(folder.path(), "log.db").await, mark(folder.path(), "derived.db").await), (0, 0));
}

#[tokio::test]
async fn a_damaged_file_of_derived_data_is_named_and_comes_back_empty() {
    let (folder, store) = in_use().await;
    store.views.register(&SOME).await.expect("registered");
    store.close().await;
    let store = opened(folder.path()).await;
    let copied = tempfile::tempdir().expect("a folder");
    copy(folder.path(), copied.path(), &["log.db", "log.db-wal", "derived.db", "derived.db-wal"]);
    mix_up(&copied.path().join("derived.db"));
    let Err(refused) = open(copied.path()).await else { panic!("it is torn") };
    assert!(matches!(refused, OpenError::TornDerived { .. }), "{refused:?}");
    for file in ["derived.db", "derived.db-wal", "derived.db-shm"] {
        drop(std::fs::remove_file(copied.path().join(file)));
    }
    let again = opened(copied.path()).await;
    assert_eq!(again.log.head().await.expect("the head"), 40);
    assert!(again.views.states().await.expect("no views").is_empty());
    again.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_it_is_written() {
    let (folder, store) = in_use().await;
    let copied = tempfile::tempdir().expect("a folder");
    let to = copied.path().join("log.db");
    let writing = join_all((0..200).map(|_| store.log.append(append(patient(), Expected::NoStream, 2))));
    let (written, backed_up) = tokio::join!(writing, store.back_up(&to));
    assert!(written.iter().all(Result::is_ok));
    let backed_up = backed_up.expect("a backup");
    let again = opened(copied.path()).await;
    assert_eq!(again.log.head().await.expect("the head"), backed_up.position);
    assert_eq!(again.log.identity().await.expect("an id").log_id, backed_up.log_id);
    let (mut at, mut read) = (0, 0);
    while at < backed_up.position {
        let here = again.log.read_all(at, 500).await.expect("the copy");
        assert_eq!(here, store.log.read_all(at, here.len()).await.expect("the log"), "the same events");
        (at, read) = (here.last().expect("more").position, read + here.len() as u64);
    }
    assert_eq!(read, backed_up.position, "gapless");
    again.close().await;
    let over = store.back_up(&to).await;
    assert!(matches!(over, Err(BackupError::Place(..))), "never over another: {over:?}");
    assert!(!folder.path().join("log.part").exists());
    store.close().await;
}

#[tokio::test]
async fn postgresql_is_backed_up_by_its_own_tools() {
    let test = postgres().await;
    let refused = test.store.back_up(Path::new("/nowhere/log.db")).await;
    assert!(matches!(refused, Err(BackupError::NotEmbedded)), "{refused:?}");
    let refused = test.store.back_up_keys(Path::new("/nowhere/keys.db")).await;
    assert!(matches!(refused, Err(BackupError::NotEmbedded)), "{refused:?}");
}

#[tokio::test]
async fn derived_data_of_another_log_are_refused() {
    let (folder, store) = in_use().await;
    let (other_folder, other) = in_use().await;
    store.close().await;
    other.close().await;
    std::fs::copy(other_folder.path().join("derived.db"), folder.path().join("derived.db")).expect("a copy");
    let Err(refused) = open(folder.path()).await else { panic!("they are of another log") };
    assert!(matches!(refused, OpenError::OtherLog { .. }), "{refused:?}");
}

#[tokio::test]
async fn derived_data_may_be_elsewhere() {
    let (log, derived) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let options = StoreOptions { derived_url: Some(url(derived.path())), ..StoreOptions::default() };
    let embedded = Store::open(&url(log.path()), &options).await.expect("two folders");
    assert!(derived.path().join("derived.db").exists() && !log.path().join("derived.db").exists());
    let (one, two) = (postgres().await, postgres().await);
    one.store.close().await;
    two.store.close().await;
    // What was derived there is of its own log.
    let mut connection = PgConnection::connect(&two.url).await.expect("the database");
    connection.execute("DROP SCHEMA derived CASCADE; DROP SCHEMA log CASCADE").await.expect("emptied");
    let options = StoreOptions { derived_url: Some(two.url.clone()), ..StoreOptions::default() };
    let apart = Store::open(&one.url, &options).await.expect("two databases");
    for store in [&embedded, &apart] {
        fill(&*store.log, 5).await;
        let generation = store.views.register(&SOME).await.expect("registered").generation;
        let view = SOME.name.to_owned();
        let (from, to) = (place(0), place(5));
        let batch = ViewBatch { view, generation, from, to, upserts: Vec::new(), deletes: Vec::new() };
        store.views.commit(&[batch]).await.expect("a batch");
        assert_eq!(store.views.position(SOME.name).await.expect("a position"), 5);
    }
    let there: i64 = sqlx::query_scalar("SELECT position FROM derived.views WHERE name = 'some'")
        .fetch_one(&mut connection)
        .await
        .expect("the catalogue");
    assert_eq!(there, 5);
    let engines = StoreOptions { derived_url: Some(url(derived.path())), ..StoreOptions::default() };
    assert!(matches!(Store::open(&one.url, &engines).await, Err(OpenError::Engines)));
    embedded.close().await;
    apart.close().await;
}

/// What a newer program would have left: a migration that this one does not know.
async fn an_older_program_opens_a_newer_schema(test: TestStore) {
    fill(&*test.store.log, 3).await;
    let newer = "(version, description, success, checksum, execution_time) VALUES (9999, 'newer', TRUE, ";
    if test.url.starts_with("sqlite:") {
        for mut connection in [test.file().await, test.derived_file().await] {
            let sql = format!("INSERT INTO _sqlx_migrations {newer} x'00', 1)");
            connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("a migration");
        }
    } else {
        let mut connection = PgConnection::connect(&test.url).await.expect("the database");
        for schema in ["log", "derived"] {
            let sql = format!("INSERT INTO {schema}._sqlx_migrations {newer} '\\x00', 1)");
            connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("a migration");
        }
    }
    let again = test.again().await;
    assert_eq!(again.log.head().await.expect("the head"), 3);
    again.log.append(append(patient(), Expected::NoStream, 1)).await.expect("it works");
    again.close().await;
}

/// The whole schema is dropped by hand while nobody runs: the next start makes it anew, and the log is as it was.
#[tokio::test]
async fn the_derived_schema_can_be_dropped() {
    let test = postgres().await;
    fill(&*test.store.log, 3).await;
    test.store.views.register(&SOME).await.expect("registered");
    test.store.close().await;
    let mut connection = PgConnection::connect(&test.url).await.expect("the database");
    connection.execute("DROP SCHEMA derived CASCADE").await.expect("dropped");
    let again = test.again().await;
    assert!(again.views.states().await.expect("no views").is_empty());
    again.views.register(&SOME).await.expect("registered anew");
    assert_eq!(again.log.head().await.expect("the head"), 3);
    again.close().await;
}

/// The event at a checkpoint proves which log it is.
async fn a_log_is_known_by_its_events(test: TestStore) {
    let log = &test.store.log;
    fill(&**log, 9).await;
    let events = log.read_all(0, 9).await.expect("the log");
    let at = |index: usize| event_store::checkpoints::Checkpoint::behind(&events[index]);
    let proved = async |checkpoint| log.prove(checkpoint).await.expect("an answer");
    assert_eq!(proved(place(0)).await, Ok(()), "nothing was read");
    assert_eq!(proved(at(0)).await, Ok(()));
    assert_eq!(proved(at(8)).await, Ok(()));
    for other in [place(5), place(10), event_store::checkpoints::Checkpoint { position: 8, ..at(8) }] {
        let lost = proved(other).await.expect_err("the log has no such event there");
        assert_eq!((lost.checkpoint, lost.head), (other, 9));
    }
}

#[tokio::test]
async fn the_write_ahead_log_of_derived_data_is_its_own() {
    let (folder, store) = in_use().await;
    let generation = store.views.register(&SOME).await.expect("registered").generation;
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
    let before = (size("log.db-wal"), size("derived.db-wal"));
    let view = SOME.name.to_owned();
    let batch = ViewBatch { view, generation, from: place(0), to: place(1), upserts: Vec::new(), deletes: Vec::new() };
    store.views.commit(&[batch]).await.expect("a batch");
    let grown = async || size("derived.db-wal") > before.1;
    eventually("it is written", PATIENCE, grown).await;
    assert_eq!(size("log.db-wal"), before.0, "a view's batch writes nothing to the log's file");
    store.close().await;
}

testkit::on_both_engines! {
    an_older_program_opens_a_newer_schema,
    a_log_is_known_by_its_events,
}
