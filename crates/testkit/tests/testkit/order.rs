//! Order and durability with several processes, while writers are stopped in
//! the middle of transactions, connections are cut and PostgreSQL crashes;
//! judged by the history checker.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_bus::{FeedSource, JetStreamFeedSource, LogFeedSource, Relay, RelayOptions};
use event_store::{Store, StoreOptions};
use sqlx::{Connection, PgConnection};
use testkit::history::{History, Verdict};
use testkit::recorder::Recorder;
use testkit::{PostgresCluster, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Long enough for the long form on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1_800);
const WRITERS: usize = 32;
const READERS: usize = 3;

/// A number that the environment may set, for the long form.
fn setting(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// Appends of each of the 2 × 32 writers; one is about two events.
fn appends() -> usize {
    setting("ANAMNESIS_TEST_ORDER_APPENDS", 25)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    // A process that has ended cannot be stopped.
    let _ended_already = !sent.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_leave_one_order() {
    for _ in 0..setting("ANAMNESIS_TEST_ORDER_ROUNDS", 1) {
        judge(&run(&[]).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_leave_one_order_through_every_fault() {
    for _ in 0..setting("ANAMNESIS_TEST_ORDER_ROUNDS", 1) {
        judge(&run(&["stop", "cut", "crash", "stop"]).await);
    }
}

#[track_caller]
fn judge(verdict: &Verdict) {
    let faults: Vec<String> = verdict.faults.iter().take(20).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults: {faults:#?}", verdict.faults.len());
    assert_eq!(verdict.acknowledged, 2 * WRITERS * appends(), "every append was taken in the end");
    assert_eq!(verdict.consumers, 2);
    assert!(verdict.reads > READERS, "readers read");
    eprintln!(
        "{} events of {} appends ({} refused), {} reads, {} consumers: no fault",
        verdict.events, verdict.acknowledged, verdict.refused, verdict.reads, verdict.consumers
    );
}

/// One run, with these faults in turn.
async fn run(faults: &[&str]) -> Verdict {
    let cluster = tokio::task::spawn_blocking(PostgresCluster::start).await.expect("no panic").expect("a cluster");
    let nats = testkit::nats().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let url = cluster.url("postgres");
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the store opens");
    let seen = Recorder::create(&folder.path().join("seen"));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> =
        (0..READERS).map(|reader| tokio::spawn(tail(reader, store.clone(), seen.clone(), done.clone()))).collect();
    let client = async_nats::connect(nats.url()).await.expect("nats-server answers");
    let relay = Relay::new(store.clone(), client.clone(), RelayOptions::new(event_bus::signature::example::signer()));
    let _relay = AbortOnDropHandle::new(tokio::spawn(relay.run(CancellationToken::new())));
    let sources: [(&str, Box<dyn FeedSource>); 2] = [
        ("log-feed", Box::new(LogFeedSource::new(store.log.clone()))),
        ("jetstream-feed", Box::new(JetStreamFeedSource::new(client, store.log.clone()))),
    ];
    let consumers: Vec<_> = sources
        .into_iter()
        .map(|(name, source)| tokio::spawn(consume(name, source, store.clone(), seen.clone(), done.clone())))
        .collect();

    let mut writers = ["first", "second"].map(|name| writer(&url, &folder.path().join(name)));
    disturb(&cluster, &store, &writers, faults).await;
    let ended = async || writers.iter_mut().all(|child| child.try_wait().expect("its state").is_some());
    eventually("the writers end", PATIENCE, ended).await;
    assert!(writers.iter_mut().all(|child| child.wait().expect("its end").success()), "no writer gave up");
    done.store(true, Ordering::Relaxed);
    join(readers.into_iter().chain(consumers)).await;
    record_log(&store, &seen).await;
    store.close().await;
    seen.flush();
    let mut history = History::default();
    for name in ["first", "second", "seen"] {
        let file = File::open(folder.path().join(name)).expect("a record");
        history.read(BufReader::new(file)).expect("a history");
    }
    history.check()
}

async fn join(tasks: impl Iterator<Item = JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("no panic");
    }
}

fn writer(url: &str, record: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_log-writer"));
    command.args([url, &WRITERS.to_string(), &appends().to_string()]).arg(record);
    command.spawn().expect("a writer process")
}

/// Stops writers, cuts connections, crashes the database, each at a moment of its own.
async fn disturb(cluster: &PostgresCluster, store: &Store, writers: &[Child; 2], faults: &[&str]) {
    let goal = (2 * WRITERS * appends()) as u64;
    for (share, fault) in (1..).zip(faults) {
        let reached = async || store.log.head().await.is_ok_and(|head| head >= goal * share / 6);
        eventually("the writers go on", PATIENCE, reached).await;
        match *fault {
            "stop" => {
                signal(&writers[0], "-STOP");
                // The other goes on, although this one may hold the head.
                let before = store.log.head().await.unwrap_or(0);
                let goes_on = async || store.log.head().await.is_ok_and(|head| head > before);
                eventually("the other process goes on", PATIENCE, goes_on).await;
                signal(&writers[0], "-CONT");
            }
            "cut" => {
                let mut connection = PgConnection::connect(&cluster.url("postgres")).await.expect("a connection");
                let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE application_name = 'anamnesis' AND pid <> pg_backend_pid()";
                sqlx::query(cut).execute(&mut connection).await.expect("connections are cut");
            }
            _ => {
                cluster.crash().expect("a crash");
                cluster.resume().expect("it starts again");
            }
        }
    }
}

/// Follows the log until all is over.
async fn tail(reader: usize, store: Store, seen: Recorder, done: Arc<AtomicBool>) {
    let name = format!("reader-{reader}");
    let mut after = 0;
    loop {
        let finished = done.load(Ordering::Relaxed);
        // Small pieces, so that many reads fall between commits.
        match seen.read(&name, &*store.log, after, 31).await {
            Ok(events) if events.is_empty() && finished => return,
            Ok(events) => after = events.last().map_or(after, |event| event.position),
            // Cut off: it goes on where it was.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Consumes a feed to the log's end; what breaks off is opened again where it was.
async fn consume(name: &'static str, source: Box<dyn FeedSource>, store: Store, seen: Recorder, done: Arc<AtomicBool>) {
    let mut position = 0;
    let mut feed = source.open(position);
    loop {
        if done.load(Ordering::Relaxed) && store.log.head().await.expect("the head") == position {
            return;
        }
        match tokio::time::timeout(Duration::from_secs(1), feed.next()).await {
            Ok(Ok(events)) => {
                seen.consumed(name, &events);
                position = events.last().map_or(position, |event| event.position);
            }
            // A batch that was given up on may be half taken: begin at what has its effect.
            Ok(Err(_)) | Err(_) => feed = source.open(position),
        }
    }
}

async fn record_log(store: &Store, seen: &Recorder) {
    let mut after = 0;
    loop {
        let events = store.log.read_all(after, 1_000).await.expect("the log");
        let Some(last) = events.last() else { return };
        after = last.position;
        seen.logged(&events);
    }
}
