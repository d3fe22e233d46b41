//! What keeps a server from being held up, read over a shoulder or listened to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use service::interface::OPENAPI;
use tempfile::TempDir;
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clinic::{Clinic, Plan, fresh};
use crate::system::{Process, System, text};

const PATIENCE: Duration = Duration::from_secs(60);
/// The same for everybody: what caches may keep, and compare before they use it.
const PUBLIC: [&str; 2] = ["/docs", "/openapi.json"];

#[track_caller]
fn has_headers(path: &str, response: &Response) {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_an_article = path.starts_with("/v1/knowledge/") && response.status().is_success();
    let kept = match is_an_article {
        true => "public, max-age=60",
        false if PUBLIC.contains(&path) => "no-cache",
        false => "no-store",
    };
    assert_eq!(header("cache-control"), kept, "{path}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
        "{path}: {policy}"
    );
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
}

/// Something that each collection holds.
async fn ids(clinic: &Clinic, patient: &Value) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for collection in ["trials", "sites", "patients", "subjects", "consents", "reports", "alerts"] {
        let page = clinic.api.get(&format!("/v1/{collection}?limit=1")).await;
        let first = &page.body["items"][0];
        let id = &first[format!("{}_id", collection.trim_end_matches('s'))];
        let id = id.as_str().unwrap_or_else(|| panic!("an id of {collection}: {first:#}"));
        ids.insert(collection.to_owned(), id.to_owned());
    }
    ids.insert("events".to_owned(), patient["items"][0]["event_id"].as_str().expect("an event").to_owned());
    ids
}

#[tokio::test]
async fn no_answer_of_any_route_is_kept_sniffed_or_framed() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 3]).await.ok();
    let raised = async || clinic.api.get("/v1/alerts?open=true").await.body["items"][0].is_object();
    eventually("there is an alert", PATIENCE, raised).await;
    let history = clinic.api.get(&format!("/v1/patients/{patient}/history")).await.ok();
    let ids = ids(&clinic, &history).await;
    let api: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let (mut read, mut walked) = (0, 0);
    for (path, operations) in api["paths"].as_object().expect("paths") {
        let collection = path.split('/').nth(2).unwrap_or_default();
        let id = ids.get(collection).cloned().unwrap_or_else(|| fresh().to_string());
        let address = path.replace("{id}", &id).replace("{instrument}", "PHQ-9");
        for method in operations.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let request = clinic.api.request(method.clone(), &address);
            let request = if method == Method::POST { request.json(&json!({})) } else { request };
            let response = request.send().await.expect("an answer");
            has_headers(path, &response);
            assert_ne!(response.status().as_u16(), 500, "{path}");
            walked += 1;
            read += usize::from(method == Method::GET && response.status().is_success());
        }
    }
    assert!(walked > 70 && read > 30, "{walked} operations, {read} of them showed something");
    for path in ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/nowhere"] {
        has_headers(path, &clinic.api.get_raw(path).await);
    }
    for more in ["?format=csv", "?format=ndjson"] {
        let path = format!("/v1/patients/{patient}/history{more}");
        has_headers(&path, &clinic.api.get_raw(&path).await);
    }
    let stranger = clinic.api.with_token(None).get_raw("/v1/patients").await;
    assert_eq!(stranger.status().as_u16(), 401);
    has_headers("/v1/patients", &stranger);
    // Whoever keeps an answer all the same is told by its tag that it still holds.
    let path = format!("/v1/patients/{patient}");
    let tag = clinic.api.get_raw(&path).await.headers()["etag"].to_str().expect("text").to_owned();
    let same = clinic.api.request(Method::GET, &path).header("if-none-match", &tag).send().await.expect("an answer");
    assert_eq!(same.status().as_u16(), 304);
    has_headers(&path, &same);
}

/// Opens a connection and sends this.
async fn send(address: &str, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(sent.as_bytes()).await.expect("it is sent");
    stream
}

#[tokio::test]
async fn who_sends_no_token_or_no_body_or_waits_holds_nobody_up() {
    let few = ["--requests-max", "64", "--account-requests-max", "16", "--account-event-streams-max", "4"];
    let system = System::embedded_with(&[&few[..], &["--body-seconds-max", "2"]].concat()).await;
    let address = system.processes[0].url.trim_start_matches("http://").to_owned();
    let other = system.as_role("investigator");
    let served = async |what: &str| {
        let begun = Instant::now();
        assert_eq!(other.get("/v1/trials").await.status.as_u16(), 200, "{what}");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(other.get(path).await.status.as_u16(), 200, "{what}");
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{what}: {:?}", begun.elapsed());
    };
    let patient = crate::clinic::fresh();
    system.api.post(&format!("/v1/patients/{patient}/register-patient"), serde_json::json!({})).await.ok();
    let participant = system.as_participant(patient);
    let bearer = participant.token().expect("a token");
    let head = |token: &str| {
        format!(
            "POST /v1/patients HTTP/1.1\r\nHost: x\r\n{token}Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n"
        )
    };
    let (without, with) = (head(""), head(&format!("Authorization: Bearer {bearer}\r\n")));
    let strangers = join_all((0..200).map(|_| send(&address, &without))).await;
    served("200 without a token and without a body").await;
    let mut slow = join_all((0..200).map(|_| send(&address, &with))).await;
    served("200 of one account without a body").await;
    let mut answers = BTreeMap::new();
    for stream in &mut slow {
        let mut told = vec![0; 12];
        stream.read_exact(&mut told).await.expect("an answer");
        *answers.entry(text(&told)[9..].to_owned()).or_insert(0) += 1;
    }
    assert_eq!(answers, BTreeMap::from([("408".to_owned(), 16), ("429".to_owned(), 184)]));
    drop((strangers, slow));
    let following = join_all((0..10).map(|_| participant.get_raw("/v1/events"))).await;
    let refused = following.iter().filter(|answer| answer.status().as_u16() == 429);
    assert_eq!(refused.filter(|answer| answer.headers().contains_key("retry-after")).count(), 6);
    served("streams of one account").await;
    assert_eq!(system.as_role("auditor").get_raw("/v1/events").await.status().as_u16(), 200);
}

/// Writes a certificate for this machine and its key; gives their files.
fn certificate(folder: &Path, name: &str) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    [("crt", made.cert.pem()), ("key", made.signing_key.serialize_pem())].map(|(end, content)| {
        let file = folder.join(format!("{name}.{end}"));
        std::fs::write(&file, content).expect("it is written");
        file.to_string_lossy().into_owned()
    })
}

/// What curl is answered that believes this certificate; the status and the header.
fn curl(certificate: &str, url: &str) -> String {
    let output = Command::new("curl").args(["-s", "-i", "--cacert", certificate, url]).output().expect("curl");
    text(&output.stdout)
}

/// Whether it is answered well, in whichever version of HTTP was agreed on.
fn is_ok(told: &str) -> bool {
    told.starts_with("HTTP/") && told.split(' ').nth(1) == Some("200")
}

#[tokio::test]
async fn a_server_with_a_certificate_speaks_tls_and_shows_a_renewed_one() {
    let folder = TempDir::new().expect("a folder");
    let [cert, key] = certificate(folder.path(), "server");
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let arguments = ["--data-dir", &data, "--tls-cert", &cert, "--tls-key", &key].map(str::to_owned);
    let process = Process::start("serve", folder.path(), &arguments);
    let url = process.url.replace("http://", "https://");
    let ready = async || is_ok(&curl(&cert, &format!("{url}/readyz")));
    eventually("it is ready", PATIENCE, ready).await;
    let told = curl(&cert, &format!("{url}/docs"));
    assert!(told.contains("strict-transport-security: max-age="), "{told}");
    assert!(process.told().contains(&format!("listens on {url}")), "{}", process.told());

    let [new_cert, new_key] = certificate(folder.path(), "renewed");
    assert_eq!(curl(&new_cert, &url), "", "it is not shown yet");
    std::fs::copy(&new_key, &key).expect("copied");
    std::fs::copy(&new_cert, &cert).expect("copied");
    kill_process(Pid::from_raw(process.id()).expect("an id"), Signal::HUP).expect("the process is there");
    let renewed = async || is_ok(&curl(&new_cert, &format!("{url}/healthz")));
    eventually("the renewed one is shown", PATIENCE, renewed).await;
}
