//! What PostgreSQL, the network and fail-overs do to a process that goes on.

use std::time::Duration;

use event_store::log::{AppendError, Appended, Expected, LogError};
use event_store::{OpenError, Said, Store, StoreOptions};
use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::appends::{append, patient};
use testkit::proxy::Proxy;
use testkit::{PostgresCluster, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// The store behind a proxy; it gives a silent connection up after a second.
async fn behind_proxy(url: &str) -> (Proxy, Store) {
    let (_, rest) = url.rsplit_once(':').expect("a port");
    let (port, name) = rest.split_once('/').expect("a database");
    let proxy = Proxy::start(port.parse().expect("a port")).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", proxy.port());
    let options = StoreOptions { answer_within: Duration::from_secs(1), ..StoreOptions::default() };
    let store = Store::open(&url, &options).await.expect("the store opens");
    (proxy, store)
}

async fn cluster() -> PostgresCluster {
    let started = tokio::task::spawn_blocking(PostgresCluster::start).await;
    started.expect("the start does not panic").expect("a cluster")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_replaced_and_nothing_is_stored_twice() {
    let database = testkit::postgres().await;
    let (proxy, store) = behind_proxy(&database.url).await;
    store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored");
    store.log.ready().await.expect("ready");
    proxy.silence();
    store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored on another connection");
    assert_eq!(store.log.head().await.expect("the head"), 2);
    proxy.silence();
    store.log.ready().await.expect("the probe replaces it, too");
    proxy.silence();
    tokio::time::timeout(Duration::from_secs(10), store.close()).await.expect("it closes although nothing answers");
}

/// As many reads as there are connections are on their way when all of them fall silent.
#[tokio::test(flavor = "multi_thread")]
async fn reads_over_silent_connections_do_not_use_the_pool_up() {
    let database = testkit::postgres().await;
    let (proxy, store) = behind_proxy(&database.url).await;
    let reads = || join_all((0..StoreOptions::default().connections_max).map(|_| store.log.head()));
    assert!(reads().await.iter().all(Result::is_ok), "a connection each");
    proxy.silence();
    // Some of them find a connection that was used a moment ago, and so is not tried first.
    drop(reads().await);
    let answered = async || reads().await.iter().all(Result::is_ok);
    eventually("all connections are good again", PATIENCE, answered).await;
    store.close().await;
}

/// Whether a commit waits: a changed setting takes effect when the server's processes come to read it.
async fn waits_for_standby(url: &str) -> bool {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let commit = connection.execute("SELECT pg_current_xact_id(); CREATE TEMP TABLE noted (number INTEGER)");
    let waits = tokio::time::timeout(Duration::from_millis(300), commit).await.is_err();
    connection.close_hard().await.expect("it closes");
    waits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recalled_answer_waits_for_the_synchronous_standby_as_a_first_one() {
    let cluster = cluster().await;
    let url = cluster.url("postgres");
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the store opens");
    let mut operator = PgConnection::connect(&url).await.expect("a connection");
    store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored");
    // For the operator's own session commits do not wait.
    operator.execute("SET synchronous_commit = local").await.expect("a setting");
    for how in ["pg_cancel_backend", "pg_terminate_backend"] {
        operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'").await.expect("a standby that is away");
        operator.execute("SELECT pg_reload_conf()").await.expect("reloaded");
        eventually("commits wait for the standby", PATIENCE, async || waits_for_standby(&url).await).await;
        let log = store.log.clone();
        let waiting = append(patient(), Expected::NoStream, 1);
        let mut answer = tokio::spawn(async move { log.append(waiting).await });
        // Wherever it waits it is disturbed: first it has stored the events, then it only recalls them.
        for disturbed in 0..3 {
            let sql = format!(
                "SELECT count({how}(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'anamnesis'"
            );
            eventually("a commit waits and is disturbed", PATIENCE, async || {
                if answer.is_finished() {
                    panic!("answered while the standby is away, after {disturbed}: {:?}", (&mut answer).await);
                }
                let sql = AssertSqlSafe(sql.clone());
                sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut operator).await.expect("a count") > 0
            })
            .await;
        }
        operator.execute("ALTER SYSTEM RESET synchronous_standby_names").await.expect("no standby is needed");
        operator.execute("SELECT pg_reload_conf()").await.expect("reloaded");
        let answered = tokio::time::timeout(PATIENCE, &mut answer).await.expect("in time").expect("no panic");
        assert!(matches!(answered, Ok(Appended::Repeated(_))), "{answered:?}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_while_the_standby_is_away_and_is_again_afterwards() {
    let cluster = cluster().await;
    let url = cluster.url("postgres");
    let options = StoreOptions { answer_within: Duration::from_secs(1), ..StoreOptions::default() };
    let store = Store::open(&url, &options).await.expect("the store opens");
    store.log.ready().await.expect("ready");
    let mut operator = PgConnection::connect(&url).await.expect("a connection");
    operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'").await.expect("a standby that is away");
    operator.execute("SELECT pg_reload_conf()").await.expect("reloaded");
    eventually("it is not ready", PATIENCE, async || store.log.ready().await.is_err()).await;
    assert!(store.log.head().await.is_ok(), "though reading works");
    operator.execute("ALTER SYSTEM RESET synchronous_standby_names").await.expect("no standby is needed");
    operator.execute("SELECT pg_reload_conf()").await.expect("reloaded");
    eventually("it is ready again", PATIENCE, async || store.log.ready().await.is_ok()).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_of_a_log_that_went_back_is_forgotten() {
    let database = testkit::postgres().await;
    let (proxy, store) = behind_proxy(&database.url).await;
    let stream = patient();
    for version in [Expected::NoStream, Expected::Exact(1)] {
        store.log.append(append(stream, version, 1)).await.expect("stored");
    }
    let (head, incarnation) = (store.log.watch_head(), store.log.incarnation());
    // As after a fail-over to a standby that was behind.
    let mut operator = PgConnection::connect(&database.url).await.expect("a connection");
    operator
        .execute(
            "SET session_replication_role = replica; DELETE FROM events WHERE position = 2;
             DELETE FROM commands WHERE position = 2; UPDATE log_head SET position = 1",
        )
        .await
        .expect("the second event is lost");
    proxy.cut();
    eventually("it is noticed", PATIENCE, async || *incarnation.borrow() == 1).await;
    eventually("the head goes down", PATIENCE, async || *head.borrow() == 1).await;
    assert!(store.log.follow(1, 10).await.expect("the log").is_empty(), "the tail is forgotten");
    let decided_before = store.log.append(append(stream, Expected::Exact(2), 1)).await;
    let forgotten =
        matches!(decided_before, Err(AppendError::Conflict { actual: 1, .. } | AppendError::Log(LogError::WentBack)));
    assert!(forgotten, "{decided_before:?}");
    let again = store.log.append(append(stream, Expected::Exact(1), 1)).await.expect("stored").into_receipt();
    assert_eq!((again.position, again.events[0].version), (2, 2));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_among_several_hosts_and_a_standby_is_refused() {
    let primary = cluster().await;
    let standby = tokio::task::block_in_place(|| primary.standby()).expect("a standby");
    let alone = Store::open(&standby.url("postgres"), &StoreOptions::default()).await;
    let Err(OpenError::Connect { source: Said(refused), .. }) = alone else {
        panic!("a standby is no place for a log")
    };
    assert!(format!("{refused:?}").contains("Standby"), "{refused:?}");

    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        standby.port(),
        primary.port()
    );
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the second is the primary");
    store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored");
    let mut replica = PgConnection::connect(&standby.url("postgres")).await.expect("a connection");
    let sql = "SELECT count(*) FROM log.events";
    eventually("the standby has it", PATIENCE, async || {
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut replica).await.is_ok_and(|count| count == 1)
    })
    .await;
    primary.crash().expect("the primary dies");
    standby.promote().expect("promoted");
    store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored on the new primary");
    // The old one comes back and takes itself for the primary.
    primary.resume().expect("it starts");
    replica.execute(AssertSqlSafe("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'anamnesis'")).await.expect("connections end");
    let appended = store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored").into_receipt();
    assert_eq!(appended.position, 3, "not on the old primary");
    eventually("reads, too", PATIENCE, async || store.log.head().await.is_ok_and(|head| head == 3)).await;
    store.close().await;
}

/// Nobody writes through it: it is a projector, say. One host dies, the other is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_follows_the_primary_too() {
    let primary = cluster().await;
    drop(Store::open(&primary.url("postgres"), &StoreOptions::default()).await.expect("migrated"));
    let standby = tokio::task::block_in_place(|| primary.standby()).expect("a standby");
    let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port());
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let reader = Store::open(&url, &options).await.expect("the first is the primary");
    let mut head = reader.log.watch_head();
    let writer = Store::open(&primary.url("postgres"), &options).await.expect("the primary");
    writer.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored");
    eventually("it is heard of", PATIENCE, async || *head.borrow_and_update() == 1).await;
    let mut replica = PgConnection::connect(&standby.url("postgres")).await.expect("a connection");
    eventually("the standby has it", PATIENCE, async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM log.events").fetch_one(&mut replica).await;
        count.is_ok_and(|count| count == 1)
    })
    .await;
    writer.close().await;
    primary.crash().expect("the primary dies");
    standby.promote().expect("promoted");
    let promoted = Store::open(&standby.url("postgres"), &options).await.expect("the new primary");
    promoted.log.append(append(patient(), Expected::NoStream, 1)).await.expect("stored");
    eventually("it reads of the new primary", PATIENCE, async || reader.log.head().await.is_ok_and(|head| head == 2))
        .await;
    eventually("and hears of what comes", PATIENCE, async || *head.borrow_and_update() == 2).await;
    promoted.close().await;
    reader.close().await;
}
