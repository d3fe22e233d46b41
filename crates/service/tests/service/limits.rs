//! What a server shares out, and who gets no part of it.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::join_all;
use service::limits::Limits;
use service::rate::{PerSecond, Rates};

use crate::client::{Client, PATIENCE, answer, get, status};
use crate::server::{CONNECTIONS, LONG, Server};

#[tokio::test]
async fn who_has_no_token_takes_no_room_and_no_body_is_read() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 1)).await;
    let announced = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    for (path, expected) in [("/echo", "401"), ("/nothing", "404")] {
        let requests = (0..20).map(|_| Client::send(server.address, ""));
        let mut clients = join_all(requests).await;
        for client in &mut clients {
            client.more(&announced(path)).await;
            // Answered although nothing of the body comes.
            assert_eq!(status(&client.head().await), expected);
        }
        let mut own = Client::send(server.address, &server.post(2)).await;
        own.more("{}").await;
        assert_eq!(status(&own.head().await), "200");
    }
}

#[tokio::test]
async fn a_body_that_trickles_or_does_not_come_is_given_up_and_holds_up_nobody() {
    let limits = Limits::new(1024, LONG, 1).with_body_time_max(Duration::from_millis(500));
    let server = Server::start(CONNECTIONS, limits).await;
    let mut absent = Client::send(server.address, &server.post(100)).await;
    let mut trickling = Client::send(server.address, &server.post(100)).await;
    for _ in 0..3 {
        trickling.more("{").await;
        // There is one place in all, and it is free.
        assert_eq!(status(&answer(server.address, &server.post_as("other", 0)).await), "200");
        assert_eq!(status(&answer(server.address, &get("/healthz")).await), "200");
    }
    for client in [&mut absent, &mut trickling] {
        let told = client.rest().await;
        assert!(told.starts_with("HTTP/1.1 408") && told.contains("urn:anamnesis:problem:body-timeout"), "{told}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_so_whether_it_is_announced_or_not() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 1)).await;
    let mut announced = Client::send(server.address, &server.post(2_000)).await;
    announced.more(&"x".repeat(2_000)).await;
    let told = announced.head().await;
    assert_eq!(status(&told), "413", "{told}");
    let length = "Content-Length: 0";
    let chunked = server.post(0).replace(length, "Transfer-Encoding: chunked");
    let mut unannounced = Client::send(server.address, &chunked).await;
    for _ in 0..2 {
        unannounced.more(&format!("320\r\n{}\r\n", "x".repeat(800))).await;
    }
    unannounced.more("0\r\n\r\n").await;
    assert_eq!(status(&unannounced.head().await), "413");
    let mut whole = Client::send(server.address, &chunked).await;
    whole.more("2\r\n{}\r\n0\r\n\r\n").await;
    assert_eq!(status(&whole.head().await), "200");
}

#[tokio::test]
async fn what_has_come_of_all_bodies_together_is_bounded() {
    // Memory for one body of the greatest size.
    let server = Server::start(CONNECTIONS, Limits::new(4096, LONG, 1)).await;
    let mut first = Client::send(server.address, &server.post(4_096)).await;
    first.more(&"x".repeat(4_095)).await;
    let mut second = server.post_as("other", 2_000);
    second.push_str(&"x".repeat(2_000));
    let refused = async || status(&answer(server.address, &second).await) == "503";
    testkit::eventually("the memory is taken", PATIENCE, refused).await;
    first.more("x").await;
    assert_eq!(status(&first.head().await), "200");
    let taken = async || status(&answer(server.address, &second).await) == "200";
    testkit::eventually("it is given back", PATIENCE, taken).await;
}

#[tokio::test]
async fn the_bodies_of_one_account_take_a_part_of_the_memory() {
    // Memory for 64 bodies of the greatest size; an account's part is two of them.
    let server = Server::start(CONNECTIONS, Limits::new(4096, LONG, 64)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::send(server.address, &server.post(4_096)).await;
        client.more(&"x".repeat(4_095)).await;
        held.push(client);
    }
    let with_body = |mut head: String| {
        head.push_str(&"x".repeat(2_000));
        head
    };
    let refused = async || status(&answer(server.address, &with_body(server.post(2_000))).await) == "429";
    testkit::eventually("the account's part is taken", PATIENCE, refused).await;
    let other = with_body(server.post_as("other", 2_000));
    assert_eq!(status(&answer(server.address, &other).await), "200", "others have theirs");
    for client in &mut held {
        client.more("x").await;
        assert_eq!(status(&client.head().await), "200");
    }
    let taken = async || status(&answer(server.address, &with_body(server.post(2_000))).await) == "200";
    testkit::eventually("it is given back", PATIENCE, taken).await;
}

#[tokio::test]
async fn a_query_that_may_wait_is_one_of_a_few_of_its_account() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10).with_account_waiting_max(1)).await;
    let waiting = |account| server.get_as(account, "/wait?timeout_ms=30000&at_least=7");
    let mut first = Client::send(server.address, &waiting("a")).await;
    // Accounts are looked up: whoever comes second may be known first.
    server.slow.clone().wait_for(|count| *count == 1).await.expect("the first one waits");
    let refused = async || status(&answer(server.address, &waiting("a")).await) == "429";
    testkit::eventually("the account has its share", PATIENCE, refused).await;
    let told = Client::send(server.address, &waiting("a").replace("Host: x", "Host: x\r\nConnection: close")).await;
    let told = { told }.rest().await;
    assert!(told.contains("too-many-waiting") && told.contains("`account_waiting_max`"), "{told}");
    assert_eq!(status(&answer(server.address, &server.post_as("a", 0)).await), "200", "it does other things");
    let mut other = Client::send(server.address, &waiting("b")).await;
    for client in [&mut first, &mut other] {
        server.go.notify_one();
        assert_eq!(status(&client.head().await), "200");
    }
}

#[tokio::test]
async fn an_answer_of_unknown_length_counts_until_it_is_sent() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10).with_account_requests_max(1)).await;
    let mut endless = Client::send(server.address, &server.get_as("a", "/export")).await;
    assert_eq!(status(&endless.head().await), "200", "its answer has begun");
    assert_eq!(status(&answer(server.address, &server.post_as("a", 0)).await), "429");
    assert_eq!(status(&answer(server.address, &server.post_as("b", 0)).await), "200");
    drop(endless);
    let free = async || status(&answer(server.address, &server.post_as("a", 0)).await) == "200";
    testkit::eventually("it has ended", PATIENCE, free).await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_counts_until_it_is() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10).with_account_requests_max(1)).await;
    let mut unread = Client::send(server.address, &server.get_as("a", "/large")).await;
    assert_eq!(status(&unread.head().await), "200", "its answer has begun");
    assert_eq!(status(&answer(server.address, &server.post_as("a", 0)).await), "429");
    assert_eq!(status(&answer(server.address, &server.post_as("b", 0)).await), "200");
    drop(unread);
    let free = async || status(&answer(server.address, &server.post_as("a", 0)).await) == "200";
    testkit::eventually("it is given up", PATIENCE, free).await;
}

#[tokio::test]
async fn an_account_that_asks_too_fast_is_told_when_to_come_again() {
    let one = |number| NonZeroU32::new(number).expect("not 0");
    let per_second = PerSecond { commands: one(1), queries: one(1_000), exports: one(1) };
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10).with_rates(Rates::new(per_second))).await;
    let command = || server.post_as("a", 0);
    let too_fast = async || status(&answer(server.address, &command()).await) == "429";
    testkit::eventually("the bucket is empty", PATIENCE, too_fast).await;
    assert_eq!(status(&answer(server.address, &server.post_as("b", 0)).await), "200");
    let told = async || {
        let told = answer(server.address, &command()).await;
        status(&told) == "429" && told.contains("retry-after: 1\r\n")
    };
    testkit::eventually("it is told when", PATIENCE, told).await;
    let again = async || status(&answer(server.address, &command()).await) == "200";
    testkit::eventually("the bucket fills", PATIENCE, again).await;
}

#[tokio::test]
async fn an_account_with_too_many_requests_is_told_and_takes_no_room_from_others() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10).with_account_requests_max(2)).await;
    let mut own = Vec::new();
    for _ in 0..2 {
        own.push(Client::send(server.address, &server.post(2)).await);
    }
    let refused = async || status(&answer(server.address, &server.post(0)).await) == "429";
    testkit::eventually("the account has its share", PATIENCE, refused).await;
    let mut third =
        Client::send(server.address, &server.post(0).replace("Host: x", "Host: x\r\nConnection: close")).await;
    let told = third.rest().await;
    assert!(told.contains("retry-after: 1") && told.contains("urn:anamnesis:problem:too-many-requests"), "{told}");
    assert_eq!(status(&answer(server.address, &server.post_as("other", 0)).await), "200");
    for client in &mut own {
        client.more("{}").await;
        assert_eq!(status(&client.head().await), "200");
    }
    assert_eq!(status(&answer(server.address, &server.post(0)).await), "200", "its share is free again");
}
