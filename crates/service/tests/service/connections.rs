//! Clients that connect and then say nothing, half of it, or never listen.

use std::time::Duration;

use futures::future::join_all;
use service::connections::ConnectionLimits;
use service::limits::Limits;

use crate::client::{Client, PATIENCE, answer, get, status};
use crate::server::{CONNECTIONS, LONG, Server};

const SHORT: Duration = Duration::from_millis(200);
const HALF: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nX";

fn limits() -> Limits {
    Limits::new(1024, LONG, 10)
}

#[tokio::test]
async fn half_a_header_and_silence_are_closed_within_the_bound() {
    let bounded = ConnectionLimits { header_time_max: SHORT, ..CONNECTIONS };
    let server = Server::start(bounded, limits()).await;
    let mut half = Client::send(server.address, HALF).await;
    let mut silent = Client::send(server.address, "").await;
    let mut between = Client::send(server.address, &get("/healthz")).await;
    assert_eq!(status(&between.head().await), "200");
    half.rest().await;
    silent.rest().await;
    between.rest().await;
}

#[tokio::test]
async fn clients_that_hold_connections_keep_nobody_out() {
    let few = ConnectionLimits { connections_max: 5, ..CONNECTIONS };
    let mut server = Server::start(few, limits()).await;
    let mut working = Client::send(server.address, &get("/slow")).await;
    server.slow.wait_for(|count| *count == 1).await.expect("the server runs");
    let half = join_all((0..40).map(|_| Client::send(server.address, HALF))).await;
    assert_eq!(status(&answer(server.address, &get("/readyz")).await), "200");
    let between = join_all((0..40).map(|_| async {
        let mut client = Client::send(server.address, &get("/healthz")).await;
        assert_eq!(status(&client.head().await), "200");
        client
    }));
    // They are kept open, and yet there is room for every one of them.
    let between = between.await;
    assert_eq!(status(&answer(server.address, &get("/readyz")).await), "200");
    server.go.notify_one();
    assert_eq!(status(&working.head().await), "200", "who is being answered is not given up");
    drop((half, between));
}

#[tokio::test]
async fn where_all_work_a_new_one_waits_for_the_first_that_is_idle() {
    let few = ConnectionLimits { connections_max: 2, ..CONNECTIONS };
    let mut server = Server::start(few, limits()).await;
    let mut working = Vec::new();
    for _ in 0..2 {
        working.push(Client::send(server.address, &get("/slow")).await);
    }
    server.slow.wait_for(|count| *count == 2).await.expect("the server runs");
    let request = get("/healthz");
    let waiting = answer(server.address, &request);
    let first = async {
        server.go.notify_one();
        let answers = working.iter_mut().map(|client| Box::pin(client.head()));
        let (first, ..) = futures::future::select_all(answers).await;
        first
    };
    let (waited, answered) = tokio::join!(waiting, first);
    assert_eq!((status(&waited), status(&answered)), ("200", "200"));
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let bounded = ConnectionLimits { stalled_time_max: SHORT, ..CONNECTIONS };
    let mut server = Server::start(bounded, limits()).await;
    let client = Client::send(server.address, &get("/endless")).await;
    for sending in [1, 0] {
        let changed = server.endless.wait_for(|count| *count == sending);
        tokio::time::timeout(PATIENCE, changed).await.expect("within the bound").expect("the server runs");
    }
    drop(client);
}

#[tokio::test]
async fn stopping_waits_for_nobody_who_says_nothing_or_never_listens() {
    let mut server = Server::start(CONNECTIONS, limits()).await;
    let silent = [Client::send(server.address, "").await, Client::send(server.address, HALF).await];
    let deaf = Client::send(server.address, &get("/endless")).await;
    let mut working = Client::send(server.address, &get("/slow")).await;
    server.slow.wait_for(|count| *count == 1).await.expect("the server runs");
    server.endless.wait_for(|count| *count == 1).await.expect("the server runs");
    server.shutdown.cancel();
    server.go.notify_one();
    assert_eq!(status(&working.head().await), "200", "what was begun is answered");
    tokio::time::timeout(PATIENCE, server.ended).await.expect("it ends within its bound").expect("it ends");
    drop((silent, deaf));
}
