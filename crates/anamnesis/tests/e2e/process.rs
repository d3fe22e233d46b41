//! How a process begins and ends, whatever its clients do.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clinic::fresh;
use crate::system::{Process, System, run, text};

async fn connect(process: &Process, said: &str) -> TcpStream {
    let address: SocketAddr = process.url.trim_start_matches("http://").parse().expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(said.as_bytes()).await.expect("it is sent");
    stream
}

const HALF: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nX";

#[tokio::test]
async fn it_ends_well_when_asked_to_whoever_is_still_connected() {
    let mut system = System::embedded().await;
    // More than the buffers between two processes hold.
    let criterion = |number: u32| {
        json!({"code": format!("C{number}"), "text": "\u{1f600}".repeat(490), "category": "inclusion",
               "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}})
    };
    let criteria: Vec<Value> = (0..400).map(criterion).collect();
    let trial = fresh();
    let registered = json!({"protocol": "P", "title": "T", "blinding": "open-label", "planned_enrolment": 5});
    system.api.post(&format!("/v1/trials/{trial}/register-trial"), registered).await.ok();
    for _ in 0..12 {
        let define = format!("/v1/trials/{trial}/define-eligibility");
        system.api.post(&define, json!({"criteria": criteria})).await.ok();
    }
    let process = &mut system.processes[0];
    let token = std::fs::read_to_string(system.folder.path().join("data/admin.token")).expect("a token");
    let deaf = format!("GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut clients = Vec::new();
    for said in ["", HALF, &deaf, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        clients.push(connect(process, said).await);
    }
    // It listened once, and from now on no more.
    clients[2].read_exact(&mut [0; 4096]).await.expect("events");
    let mut following = system.api.get_raw("/v1/events").await;
    assert!(following.status().is_success());
    let asked = tokio::time::Instant::now();
    let status = process.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", process.told());
    assert!(asked.elapsed() < service::supervise::END_MAX, "{:?}", asked.elapsed());
    // Who listens is told that it is over.
    while let Ok(Some(_)) = following.chunk().await {}
    drop(clients);
}

#[tokio::test]
async fn clients_that_say_nothing_take_no_file_from_anybody() {
    let folder = TempDir::new().expect("a folder");
    let mut process = Process::start_with_files(256, "serve", folder.path(), &[]);
    process.ready().await;
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push(connect(&process, HALF).await);
    }
    process.ready().await;
    let told = process.told();
    assert_eq!(told.matches("no more connections").count(), 1, "told once: {told}");
    assert_eq!(process.terminate().await.code(), Some(0), "{}", process.told());
    drop(clients);
}

#[tokio::test]
async fn one_that_cannot_listen_says_so_and_fails() {
    let system = System::embedded().await;
    let address = system.processes[0].url.trim_start_matches("http://").to_owned();
    let output = run(&["serve", "--data-dir", "other", "--listen", &address], system.folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot listen"), "{}", text(&output.stderr));
}
