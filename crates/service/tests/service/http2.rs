//! Several requests over one connection.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use service::connections::ConnectionLimits;
use service::limits::Limits;
use tokio::net::TcpStream;

use crate::client::{Client, PATIENCE, answer, get, status};
use crate::server::{CONNECTIONS, LONG, Server};

/// A connection by which HTTP/2 is spoken.
async fn connect(server: &Server) -> SendRequest<Body> {
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(async move { drop(connection.await) });
    sender
}

async fn ask(mut sender: SendRequest<Body>, path: &str) -> StatusCode {
    let request = Request::get(format!("http://x{path}")).body(Body::empty()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status();
    drop(response.into_body().collect().await.expect("a body"));
    status
}

#[tokio::test]
async fn requests_over_one_connection_are_answered_beside_each_other() {
    let few = ConnectionLimits { connections_max: 2, ..CONNECTIONS };
    let mut server = Server::start(few, Limits::new(1024, LONG, 10)).await;
    let sender = connect(&server).await;
    let slow: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let sender = sender.clone();
                async move { ask(sender, "/slow").await }
            })
        })
        .collect();
    server.slow.wait_for(|count| *count == 3).await.expect("the server runs");
    assert_eq!(ask(sender.clone(), "/healthz").await, StatusCode::OK);
    // While one is being answered the connection is not idle: others make room.
    for _ in 0..3 {
        let mut between = Client::send(server.address, &get("/healthz")).await;
        assert_eq!(status(&between.head().await), "200");
        let mut next = Client::send(server.address, &get("/healthz")).await;
        assert_eq!(status(&next.head().await), "200");
    }
    for _ in 0..3 {
        server.go.notify_one();
    }
    for answered in slow {
        assert_eq!(answered.await.expect("it ends"), StatusCode::OK);
    }
    // Idle again, it makes room like any other.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::send(server.address, &get("/healthz")).await;
        assert_eq!(status(&client.head().await), "200");
        held.push(client);
    }
    testkit::eventually("it is given up", PATIENCE, async || sender.is_closed()).await;
}

#[tokio::test]
async fn who_gives_a_request_up_ends_its_work_alone() {
    let mut server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10)).await;
    let sender = connect(&server).await;
    let first = tokio::spawn({
        let sender = sender.clone();
        async move { ask(sender, "/slow").await }
    });
    let second = tokio::spawn({
        let sender = sender.clone();
        async move { ask(sender, "/slow").await }
    });
    server.slow.wait_for(|count| *count == 2).await.expect("the server runs");
    first.abort();
    server.slow.wait_for(|count| *count == 1).await.expect("its work ends");
    server.go.notify_one();
    assert_eq!(second.await.expect("it ends"), StatusCode::OK);
}

#[tokio::test]
async fn a_connection_that_says_nothing_of_its_protocol_is_closed() {
    let bounded = ConnectionLimits { header_time_max: Duration::from_millis(200), ..CONNECTIONS };
    let server = Server::start(bounded, Limits::new(1024, LONG, 10)).await;
    // The beginning of what HTTP/2 begins with.
    let mut half = Client::send(server.address, "PRI * HTT").await;
    half.rest().await;
    assert_eq!(status(&answer(server.address, &get("/healthz")).await), "200");
}

#[tokio::test]
async fn what_was_begun_is_answered_when_the_server_stops() {
    let patient = ConnectionLimits { drain_time_max: LONG, ..CONNECTIONS };
    let mut server = Server::start(patient, Limits::new(1024, LONG, 10)).await;
    let sender = connect(&server).await;
    let slow = tokio::spawn({
        let sender = sender.clone();
        async move { ask(sender, "/slow").await }
    });
    server.slow.wait_for(|count| *count == 1).await.expect("the server runs");
    server.shutdown.cancel();
    testkit::eventually("no more is taken", PATIENCE, async || TcpStream::connect(server.address).await.is_err()).await;
    server.go.notify_one();
    assert_eq!(slow.await.expect("it ends"), StatusCode::OK);
    server.ended.await.expect("it ends");
}
