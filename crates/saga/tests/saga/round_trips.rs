//! What a step costs on PostgreSQL, counted on the wire.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_bus::{FeedSource, LogFeedSource};
use event_store::execute::Executor;
use event_store::{Store, StoreOptions};
use saga::{PROCESSES, Runner};
use testkit::{eventually, stores};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clinic::Clinic;
use crate::world::{PATIENCE, count, is_quiet};

/// Between a client and PostgreSQL: passes everything on and counts the statements that store or read what process
/// managers keep, and the appends. Each is one round trip. What a decision reads is not counted: whoever sends the
/// command, it reads the same.
async fn counting_proxy(server: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let round_trips = Arc::new(AtomicUsize::new(0));
    let counter = round_trips.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let upstream = TcpStream::connect(&server).await.expect("the server");
            // Else small messages wait for one another.
            client.set_nodelay(true).expect("an open socket");
            upstream.set_nodelay(true).expect("an open socket");
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, to_server) = upstream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let counter = counter.clone();
            tokio::spawn(async move {
                // An error is the end of the connection.
                drop(pass_on(from_client, to_server, &counter).await);
            });
        }
    });
    (port, round_trips)
}

/// Passes on what a client says, message by message.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counter: &AtomicUsize) -> std::io::Result<()> {
    // The first message has no type.
    let length = from.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    to.write_all(&[&length.to_be_bytes()[..], &body].concat()).await?;
    let mut counted = HashSet::new();
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        body.resize(length as usize - 4, 0);
        from.read_exact(&mut body).await?;
        let mut texts = body.split(|byte| *byte == 0);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        match kind {
            // Parse: the statement's name, its text.
            b'P' if is_counted(&String::from_utf8_lossy(second)) => _ = counted.insert(first.to_vec()),
            // Bind: the portal, the statement's name.
            b'B' if counted.contains(second) => _ = counter.fetch_add(1, Ordering::SeqCst),
            _ => {}
        }
        to.write_all(&[&[kind][..], &length.to_be_bytes()[..], &body].concat()).await?;
    }
}

fn is_counted(sql: &str) -> bool {
    sql.contains("saga") || sql.contains("UPDATE log_head")
}

/// Patients of one turn.
const PATIENTS: u128 = 30;
/// Patients whose round trips are counted together.
const GROUP: u128 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_costs_at_most_five_round_trips() {
    let test = stores::postgres().await;
    // postgres://user:password@host:port/database
    let (account, rest) = test.url.rsplit_once('@').expect("an account");
    let (server, database) = rest.split_once('/').expect("a database");
    let (port, round_trips) = counting_proxy(server.to_owned()).await;
    let url = format!("{account}@127.0.0.1:{port}/{database}?sslmode=disable");
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the store opens");
    // As in one process: it keeps what it wrote.
    let executor = stores::executor(&store).await;
    let clinic = Clinic::with(store.clone(), executor.clone());
    clinic.open_trial().await;
    let sign = async |first: u128| {
        for number in first..first + PATIENTS {
            clinic.sign(number, Some(12)).await;
        }
    };
    let running = Running::start(&store, &executor);
    // Statements are prepared, caches are warm.
    sign(0x1_000).await;
    eventually("all is done", PATIENCE, async || is_quiet(&test.store, PROCESSES).await).await;
    running.stop().await;
    let (before, events) = (round_trips.load(Ordering::SeqCst), count(&test.store).await);
    sign(0x2_000).await;
    let of_commands = round_trips.load(Ordering::SeqCst) - before;
    let before = round_trips.load(Ordering::SeqCst);
    let running = Running::start(&store, &executor);
    eventually("all is done", PATIENCE, async || is_quiet(&test.store, PROCESSES).await).await;
    let in_one_go = round_trips.load(Ordering::SeqCst) - before;
    // One after the other: nothing is shared among many. On a busy machine events come in ones that come in twos
    // elsewhere, and every process manager moves its cursor past each: the least disturbed group of patients counts.
    let mut one_by_one = usize::MAX;
    for group in 0..PATIENTS / GROUP {
        let before = round_trips.load(Ordering::SeqCst);
        for number in 0x3_000 + group * GROUP..0x3_000 + (group + 1) * GROUP {
            clinic.sign(number, Some(12)).await;
            eventually("all is done", PATIENCE, async || is_quiet(&test.store, PROCESSES).await).await;
        }
        let of_group = round_trips.load(Ordering::SeqCst) - before;
        one_by_one = one_by_one.min(of_group - of_commands * GROUP as usize / PATIENTS as usize);
    }
    running.stop().await;
    let after = count(&test.store).await;
    let of_type = |name: &str| after.of(name) - events.of(name);
    let steps = of_type("PatientScreened") + of_type("EligibilityRecorded") + of_type("ScreeningFailed");
    assert_eq!(steps, PATIENTS as usize * 3 * 2);
    let steps = steps / 2;
    assert!(in_one_go <= steps * 5, "{in_one_go} round trips for {steps} steps");
    let steps = GROUP as usize * 3;
    assert!(one_by_one <= steps * 5, "{one_by_one} round trips for {steps} steps, one by one");
    assert!(one_by_one >= steps * 2, "{one_by_one} round trips for {steps} steps: not all are counted");
}

/// The process managers as they run in one process with what carries commands out.
struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(store: &Store, executor: &Executor) -> Self {
        let feed: Arc<dyn FeedSource> = Arc::new(LogFeedSource::new(store.log.clone()));
        let shutdown = CancellationToken::new();
        let runner = Runner::new(store.clone(), executor.clone(), feed);
        Self { task: tokio::spawn(runner.run(shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("it ends");
    }
}
