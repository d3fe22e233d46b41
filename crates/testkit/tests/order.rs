//! Order and durability with several processes, while writers are stopped in
//! the middle of transactions, connections are cut and PostgreSQL crashes.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_store::{Store, StoreOptions};
use events::envelope::Envelope;
use sqlx::{Connection, PgConnection};
use testkit::{PostgresCluster, eventually};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(120);
const WRITERS: usize = 32;

/// Appends of each writer; the long form is asked for by environment.
fn appends() -> usize {
    std::env::var("ANAMNESIS_ORDER_APPENDS").ok().and_then(|appends| appends.parse().ok()).unwrap_or(20)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    // A process that has ended cannot be stopped.
    let _ended_already = !sent.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_leave_one_order_through_every_fault() {
    let cluster = tokio::task::spawn_blocking(PostgresCluster::start).await.expect("no panic").expect("a cluster");
    let url = cluster.url("postgres");
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the store opens");
    let writer = || {
        let arguments = [url.clone(), WRITERS.to_string(), appends().to_string()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_log-writer"));
        command.args(arguments).stdout(Stdio::piped()).spawn().expect("a writer process")
    };
    let mut writers = [writer(), writer()];
    let outputs = writers.each_mut().map(|child| {
        let output = child.stdout.take().expect("its output");
        std::thread::spawn(move || std::io::read_to_string(output).expect("text"))
    });
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3).map(|_| tokio::spawn(tail(store.clone(), done.clone()))).collect();
    disturb(&cluster, &store, &writers).await;
    let ended = async || writers.iter_mut().all(|child| child.try_wait().expect("its state").is_some());
    eventually("the writers end", PATIENCE, ended).await;
    done.store(true, Ordering::Relaxed);
    let acknowledged: Vec<String> = outputs.into_iter().map(|output| output.join().expect("an output")).collect();
    let log = whole(&store).await;
    for reader in readers {
        let seen = reader.await.expect("a reader");
        assert_eq!(seen, (1..=log.len() as u64).collect::<Vec<_>>(), "every position once and in order");
    }
    check(&log, &acknowledged);
    store.close().await;
}

/// Stops writers, cuts connections, crashes the database, each at a moment of its own.
async fn disturb(cluster: &PostgresCluster, store: &Store, writers: &[Child; 2]) {
    let goal = (2 * WRITERS * appends()) as u64;
    for (share, fault) in [(1, "stop"), (2, "cut"), (3, "crash"), (4, "stop")] {
        let reached = async || store.log.head().await.is_ok_and(|head| head >= goal * share / 6);
        eventually("the writers go on", PATIENCE, reached).await;
        match fault {
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

/// Follows the log and notes every position in the order in which it came.
async fn tail(store: Store, done: Arc<AtomicBool>) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let finished = done.load(Ordering::Relaxed);
        let after = seen.last().copied().unwrap_or(0);
        match store.log.read_all(after, 31).await {
            Ok(events) if events.is_empty() && finished => return seen,
            Ok(events) => seen.extend(events.iter().map(|event| event.position)),
            // Cut off: it goes on where it was.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn whole(store: &Store) -> Vec<Envelope> {
    let mut log: Vec<Envelope> = Vec::new();
    loop {
        let after = log.last().map_or(0, |event| event.position);
        let events = store.log.read_all(after, 1_000).await.expect("the log");
        if events.is_empty() {
            return log;
        }
        log.extend(events);
    }
}

/// Positions and versions are gapless, every acknowledged append is there once, as it was told.
fn check(log: &[Envelope], acknowledged: &[String]) {
    let mut versions: HashMap<_, u64> = HashMap::new();
    let mut commands: HashMap<Uuid, Vec<u64>> = HashMap::new();
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.position, position);
        let version = versions.entry(event.stream).or_insert(0);
        *version += 1;
        assert_eq!(event.version, *version, "{}", event.stream);
        commands.entry(event.command_id).or_default().push(event.position);
    }
    assert!(log.is_sorted_by_key(|event| event.recorded_at));
    let mut count = 0;
    for line in acknowledged.iter().flat_map(|output| output.lines()) {
        let words: Vec<&str> = line.split(' ').collect();
        let [command_id, first, last] = words.as_slice() else { panic!("{line}") };
        let (first, last): (u64, u64) = (first.parse().expect("a position"), last.parse().expect("a position"));
        let stored = commands.get(&command_id.parse().expect("an id")).unwrap_or_else(|| panic!("lost: {line}"));
        assert_eq!(*stored, (first..=last).collect::<Vec<_>>(), "stored as it was told, and once");
        count += 1;
    }
    assert_eq!(count, 2 * WRITERS * appends(), "every writer got all its appends acknowledged");
    assert_eq!(commands.len(), count, "nothing is there that nobody was told of");
}
