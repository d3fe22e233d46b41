//! Whoever says how long they wait is answered by then, and what they caused ends.

use service::limits::Limits;

use crate::client::{Client, PATIENCE, answer, get, status};
use crate::server::{CONNECTIONS, LONG, Server};

#[tokio::test]
async fn what_takes_longer_than_its_caller_waits_is_stopped_and_told() {
    let mut server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10)).await;
    for request in [
        get("/slow?timeout_ms=50"),
        get("/slow").replace("Host: x", "Host: x\r\nRequest-Timeout: 0.05"),
        server.get_as("tester", "/wait?timeout_ms=50"),
    ] {
        let mut client = Client::send(server.address, &request).await;
        let told = client.head().await;
        assert_eq!(status(&told), "504", "{told}");
        server.slow.wait_for(|count| *count == 0).await.expect("nobody waits any more");
    }
    // A body that does not come is not waited for either.
    let late = server.post(100).replace("/echo", "/echo?timeout_ms=50");
    assert_eq!(status(&answer(server.address, &late).await), "504");
    let malformed = answer(server.address, &get("/slow?timeout_ms=soon")).await;
    assert_eq!(status(&malformed), "400");
}

#[tokio::test]
async fn an_answer_that_goes_on_for_longer_breaks_off() {
    let mut server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10)).await;
    let endless = server.get_as("tester", "/export?timeout_ms=200");
    let mut client = Client::send(server.address, &endless).await;
    let told = client.rest().await;
    assert!(told.starts_with("HTTP/1.1 200"), "{}", &told[..told.len().min(200)]);
    // Without the last piece: nobody takes it for the whole.
    assert!(!told.ends_with("0\r\n\r\n"));
    server.endless.wait_for(|count| *count == 0).await.expect("nothing is made of it any more");
}

#[tokio::test]
async fn who_waits_long_enough_is_answered_as_anybody() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10)).await;
    let patient = server.post(2).replace("/echo", "/echo?timeout_ms=60000");
    let mut client = Client::send(server.address, &patient).await;
    client.more("{}").await;
    assert_eq!(status(&client.head().await), "200");
    let go = server.go.clone();
    let mut waiting = Client::send(server.address, &server.get_as("tester", "/wait?timeout_ms=60000")).await;
    let mut slow = server.slow.clone();
    tokio::time::timeout(PATIENCE, slow.wait_for(|count| *count == 1)).await.expect("in time").expect("it waits");
    go.notify_one();
    assert_eq!(status(&waiting.head().await), "200");
}
