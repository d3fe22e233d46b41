//! What a step costs on PostgreSQL, counted on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_bus::{FeedSource, LogFeedSource};
use event_store::execute::{Executor, ExecutorOptions};
use event_store::{Store, StoreOptions};
use saga::{PROCESSES, Runner};
use serde_json::json;
use testkit::{eventually, stores};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::clinic::Clinic;
use crate::world::{PATIENCE, count, is_quiet, start};

/// Between a client and PostgreSQL: passes everything on and counts how often the client waits for an answer.
async fn counting_proxy(server: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let round_trips = Arc::new(AtomicUsize::new(0));
    let counter = round_trips.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let upstream = TcpStream::connect(&server).await.expect("the server");
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

/// Passes on what a client says, message by message. `Sync` and `Query` are answered; the rest is only sent.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counter: &AtomicUsize) -> std::io::Result<()> {
    // The first message has no type.
    let length = from.read_u32().await?;
    to.write_u32(length).await?;
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    to.write_all(&body).await?;
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        body.resize(length as usize - 4, 0);
        from.read_exact(&mut body).await?;
        let mut message = vec![kind];
        message.extend(length.to_be_bytes());
        message.extend(&body);
        if matches!(kind, b'S' | b'Q') {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        to.write_all(&message).await?;
    }
}

/// Patients of one turn.
const PATIENTS: u128 = 30;

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
    let executor = Executor::new(store.log.clone(), ExecutorOptions::default());
    let clinic = Clinic::with(store.clone(), executor.clone());
    clinic.open_trial().await;
    let sign = async |first: u128| {
        for number in first..first + PATIENTS {
            clinic.sign(number, Some(12)).await;
        }
    };
    let feed: Arc<dyn FeedSource> = Arc::new(LogFeedSource::new(store.log.clone()));
    let running = start(Runner::new(store.clone(), executor, feed));
    // Statements are prepared, caches are warm.
    sign(0x1_000).await;
    eventually("all is done", PATIENCE, async || is_quiet(&test.store, PROCESSES).await).await;
    drop(running);
    let (before, events) = (round_trips.load(Ordering::SeqCst), count(&test.store).await);
    sign(0x2_000).await;
    let of_commands = round_trips.load(Ordering::SeqCst) - before;
    let feed: Arc<dyn FeedSource> = Arc::new(LogFeedSource::new(store.log.clone()));
    let executor = clinic.executor.clone();
    let running = start(Runner::new(store.clone(), executor, feed));
    let before = round_trips.load(Ordering::SeqCst);
    eventually("all is done", PATIENCE, async || is_quiet(&test.store, PROCESSES).await).await;
    let in_one_go = round_trips.load(Ordering::SeqCst) - before;
    // One after the other: nothing is shared among many.
    let before = round_trips.load(Ordering::SeqCst);
    for number in 0x3_000..0x3_000 + PATIENTS {
        clinic.sign(number, Some(12)).await;
        eventually("all is done", PATIENCE, async || is_quiet(&test.store, PROCESSES).await).await;
    }
    let one_by_one = round_trips.load(Ordering::SeqCst) - before - of_commands;
    drop(running);
    let after = count(&test.store).await;
    let steps = |name: &str| after.of(name) - events.of(name);
    let steps = steps("PatientScreened") + steps("EligibilityRecorded") + steps("ScreeningFailed");
    assert_eq!(steps, PATIENTS as usize * 3 * 2);
    let of_one_turn = steps / 2;
    println!("{} {}", json!(in_one_go as f64 / of_one_turn as f64), json!(one_by_one as f64 / of_one_turn as f64));
    assert!(in_one_go <= of_one_turn * 5, "{in_one_go} round trips for {of_one_turn} steps");
    assert!(one_by_one <= of_one_turn * 5, "{one_by_one} round trips for {of_one_turn} steps, one by one");
}
