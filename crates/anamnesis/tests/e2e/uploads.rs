//! Uploads of readings: resumed where they broke off, and ended where something is wrong with them as a whole.

use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::clinic::Clinic;
use crate::readings::{NDJSON, address, assign, checked, clinic, counts, participant, pulse, send};
use crate::system::System;

/// Begins an upload that can be resumed; gives its address.
async fn begin(system: &System, clinic: &Clinic, patient: Uuid, length: usize) -> String {
    let path = format!("{}&format=ndjson", address(clinic, patient));
    let request = system.api.request(Method::POST, &path).header("tus-resumable", "1.0.0");
    let response = request.header("upload-length", length).send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 201);
    response.headers()["location"].to_str().expect("an address").to_owned()
}

async fn offset(system: &System, path: &str) -> usize {
    let response = system.api.request(Method::HEAD, path).header("tus-resumable", "1.0.0").send().await;
    let response = response.expect("an answer");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.headers()["upload-offset"].to_str().expect("a number").parse().expect("a number")
}

/// Sends some of what was announced, and goes away.
async fn break_off(system: &System, path: &str, offset: usize, announced: usize, sent: &[u8]) {
    let address = system.processes[0].url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("connected");
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n\r\n",
        system.api.token().expect("a token")
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(sent).await.expect("sent");
    stream.shutdown().await.expect("sent");
    // Until the server has seen that nothing more comes.
    let mut answer = Vec::new();
    drop(tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await);
}

/// Goes on with an upload by a body of which nobody says how long it is; gives the status.
async fn patched_in_pieces(system: &System, path: &str, headers: &str, body: &str) -> u16 {
    let address = system.processes[0].url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("connected");
    let piece = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n{headers}\r\n\
         Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         {piece}0\r\n\r\n",
        system.api.token().expect("a token")
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_and_no_reading_is_lost_or_doubled() {
    const READINGS: u32 = 30_000;
    let mut system = System::embedded_with(&[]).await;
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic).await;
    assign(&clinic, patient, "W-1").await;
    let text = pulse("W-1", READINGS).into_bytes();
    let path = begin(&system, &clinic, patient, text.len()).await;
    let mut at = 0;
    // In the middle of a line, after a few bytes, and with a server that is killed.
    for (turn, part) in [0, 17, text.len() / 3, text.len() / 2, text.len() / 5].into_iter().enumerate() {
        let to = (at + part).min(text.len() - 1);
        break_off(&system, &path, at, text.len() - at, &text[at..to]).await;
        if turn == 3 {
            system.processes[0].kill();
            system.processes[0].restart().await;
        }
        let now = offset(&system, &path).await;
        assert!((at..=to).contains(&now), "{at} {now} {to}");
        at = now;
    }
    let patch = |offset: usize, body: Vec<u8>| {
        let request = system.api.request(Method::PATCH, &path).header("tus-resumable", "1.0.0");
        let request = request.header("content-type", "application/offset+octet-stream");
        request.header("upload-offset", offset).body(body).send()
    };
    assert_eq!(patch(at + 1, text[at + 1..].to_vec()).await.expect("an answer").status().as_u16(), 409);
    let sent = patch(at, text[at..].to_vec()).await.expect("an answer");
    assert_eq!(sent.status().as_u16(), 204);
    assert_eq!(sent.headers()["upload-offset"].to_str().ok(), Some(text.len().to_string().as_str()));
    let told = system.api.get(&path).await.ok();
    assert_eq!((&told["status"], &told["lines"]), (&json!("complete"), &json!(READINGS)));
    assert_eq!(told["refused"], 0, "{told:#}");
    let of_day = address(&clinic, patient).replace("/readings", "/readings/buckets");
    let of_day = format!("{of_day}&kind=heart-rate&seconds=86400");
    let of_day = format!("{of_day}&from=2026-01-05T00:00:00Z&until=2026-01-06T00:00:00Z");
    eventually("all are told to the log", Duration::from_secs(120), async || {
        let summed = system.api.get(&of_day).await.ok();
        summed["buckets"][0]["count"] == READINGS
    })
    .await;
    let again = send(&system.api, &address(&clinic, patient), NDJSON, text).await.ok();
    assert_eq!(counts(&again)[1..], [0, 0, u64::from(READINGS), 0], "{again:#}");
    assert_eq!(checked(&system), "0 faults");
}

/// By a client that others wrote.
#[tokio::test]
async fn a_client_of_tus_sends_a_file() {
    let system = System::embedded_with(&[]).await;
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic).await;
    assign(&clinic, patient, "W-1").await;
    let file = system.folder.path().join("readings.ndjson");
    std::fs::write(&file, pulse("W-1", 5_000)).expect("written");
    let program = "
        import fs from 'node:fs';
        import * as tus from 'tus-js-client';
        const [file, endpoint, token, trial] = process.argv.slice(1);
        const upload = new tus.Upload(fs.createReadStream(file), {
            endpoint, headers: {authorization: `Bearer ${token}`}, chunkSize: 70001, uploadSize: fs.statSync(file).size,
            metadata: {trial_id: trial, format: 'ndjson', filename: 'readings.ndjson'}, retryDelays: [100, 100],
            onError: (error) => { console.error(String(error)); process.exit(1); },
            onSuccess: () => console.log(upload.url),
        });
        upload.start();";
    let endpoint = format!("{}/v1/patients/{patient}/readings", system.processes[0].url);
    let token = system.api.token().expect("a token").to_owned();
    let arguments = [file.to_string_lossy().into_owned(), endpoint, token, clinic.trial.to_string()];
    let sent = tokio::task::spawn_blocking(move || {
        let folder = xtask::tools::npm_folder().expect("the tools");
        let mut node = Command::new("node");
        node.args(["--input-type=module", "--eval", program]).args(arguments).current_dir(folder);
        node.stdin(Stdio::null()).output().expect("node runs")
    });
    let output = sent.await.expect("no panic");
    assert!(output.status.success(), "{}", crate::program::text(&output.stderr));
    let url = crate::program::text(&output.stdout);
    let id = url.trim().rsplit('/').next().expect("an id").to_owned();
    let told = system.api.get(&format!("/v1/uploads/{id}")).await.ok();
    assert_eq!((counts(&told), &told["status"]), ([5_000, 5_000, 0, 0, 0], &json!("complete")), "{told:#}");
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_as_a_whole_ends_it() {
    let system = System::embedded_with(&[]).await;
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic).await;
    assign(&clinic, patient, "W-1").await;
    let path = format!("{}&device=W-1", address(&clinic, patient));
    send(&system.api, &path, "text/csv", "a;b\n1;2\n").await.refused(400, "columns");
    send(&system.api, &path, "text/csv", "kind,at,value\rheart-rate,2026-01-05T00:00:00Z,61\r")
        .await
        .refused(400, "columns");
    for (ahead, status) in [("%2B262142-12-31T23:59:59Z", 400), ("1970-01-01T00:00:00Z", 200)] {
        let answer = send(&system.api, &format!("{path}&device_time={ahead}"), NDJSON, "").await;
        assert_eq!(answer.status.as_u16(), status, "{ahead} {:#}", answer.body);
    }
    let read = format!("{}&kind=heart-rate&from=-200000-01-01T00:00:00Z", address(&clinic, patient));
    system.api.get(&read).await.refused(400, "out-of-range");
    // More than was announced, packed, and once more at the end.
    let text = pulse("W-1", 3);
    let upload = begin(&system, &clinic, patient, text.len()).await;
    let patch = async |offset: usize, body: &str, encoding: &str| {
        patched_in_pieces(&system, &upload, &format!("Upload-Offset: {offset}\r\nContent-Encoding: {encoding}"), body)
            .await
    };
    assert_eq!(patch(0, &text, "gzip").await, 415);
    assert_eq!(patch(0, &[text.clone(), pulse("W-1", 2)].concat(), "identity").await, 413);
    assert_eq!(offset(&system, &upload).await, text.len(), "what there may be was taken");
    assert_eq!(patch(text.len(), "", "identity").await, 204);
    let empty = system.api.request(Method::POST, &format!("{path}&format=ndjson")).header("tus-resumable", "1.0.0");
    let empty = empty.header("upload-length", 0).send().await.expect("an answer");
    assert_eq!(empty.status().as_u16(), 400);
}
