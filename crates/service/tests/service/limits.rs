//! What a server shares out, and who gets no part of it.

use std::time::Duration;

use futures::future::join_all;
use service::limits::Limits;

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
async fn a_body_that_does_not_come_holds_its_place_for_a_time_only() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, Duration::from_millis(500), 1)).await;
    let mut slow = Client::send(server.address, &server.post(100)).await;
    let refused = async || status(&answer(server.address, &server.post(0)).await) == "503";
    testkit::eventually("there is no room beside it", LONG, refused).await;
    assert_eq!(status(&answer(server.address, &get("/healthz")).await), "200", "probes have room");
    let timed_out = slow.rest().await;
    assert!(timed_out.starts_with("HTTP/1.1 503") && timed_out.contains("timed-out"), "{timed_out}");
    let room = async || status(&answer(server.address, &server.post(0)).await) == "200";
    testkit::eventually("there is room again", LONG, room).await;
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
