//! Readings of wearables: sent all at once or resumed, through failures, and read back.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use events::ids::{DeviceId, StreamKey as _, TrialId};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::api::{Answer, Api};
use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

const NDJSON: &str = "application/x-ndjson";

/// A participant who signed long ago, in a trial that looks at the pulse.
async fn participant(clinic: &Clinic) -> Uuid {
    let patient = fresh();
    let command = async |command: &str, body: Value| clinic.patient_command(patient, command, body).await.ok();
    command("register-patient", json!({"sex": "F", "site_id": clinic.site})).await;
    let form = json!({"trial_id": clinic.trial, "site_id": clinic.site, "form_version": "1.0", "language": "en",
        "occurred_at": "2026-01-01T08:00:00Z"});
    command("present-consent-form", form).await;
    let signed = json!({"trial_id": clinic.trial, "form_version": "1.0", "language": "en",
        "signed_at": "2026-01-01T09:00:00Z"});
    command("sign-consent", signed).await;
    command("screen-patient", json!({"trial_id": clinic.trial})).await;
    patient
}

async fn clinic(api: &Api) -> Clinic {
    let clinic = Clinic::open(api, Plan { enrolment_mode: "manual", ..Plan::default() }).await;
    let rules = json!({"rules": [{"code": "pulse-high", "test": {"kind": "out-of-range", "of": "heart-rate", "high": 130},
        "severity": "critical", "recipients": ["investigator"], "acknowledge_within_minutes": 60}]});
    api.post(&format!("/v1/trials/{}/define-reading-rules", clinic.trial), rules).await.ok();
    clinic
}

async fn assign(clinic: &Clinic, patient: Uuid, device: &str) {
    let body = json!({"device": device, "from": "2026-01-02T00:00:00Z", "serial_number": "SN-77-secret"});
    clinic.subject_command(clinic.subject(patient), "assign-device", body).await.ok();
}

/// Readings of the pulse, a second apart.
fn pulse(device: &str, count: u32) -> String {
    let begin = "2026-01-05T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
    (0..count)
        .map(|second| {
            let (at, value) = (begin + chrono::TimeDelta::seconds(second.into()), 60 + second % 40);
            let at = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            format!("{{\"device\":\"{device}\",\"kind\":\"heart-rate\",\"at\":\"{at}\",\"value\":{value}}}\n")
        })
        .collect()
}

/// Has readings of somebody stored, and read back.
pub async fn sent_by_somebody(clinic: &Clinic) {
    let patient = participant(clinic).await;
    assign(clinic, patient, "W-7").await;
    let path = address(clinic, patient);
    let told = send(&clinic.api, &path, NDJSON, pulse("W-7", 10)).await.ok();
    assert_eq!(counts(&told), [10, 10, 0, 0, 0], "{told:#}");
    let read = clinic.api.get(&format!("{path}&kind=heart-rate&at_least={}", told["position"])).await.ok();
    assert_eq!(read["items"].as_array().map(Vec::len), Some(10));
}

fn address(clinic: &Clinic, patient: Uuid) -> String {
    format!("/v1/patients/{patient}/readings?trial_id={}", clinic.trial)
}

async fn send(api: &Api, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let response = api.request(Method::POST, path).header("content-type", kind).body(body).send().await;
    let response = response.expect("an answer");
    Answer { status: response.status(), body: response.json().await.unwrap_or_default() }
}

fn counts(told: &Value) -> [u64; 5] {
    ["lines", "stored", "apart", "known", "refused"].map(|name| told[name].as_u64().expect("a number"))
}

async fn good_lines_are_taken_and_told_of_on(system: System) {
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic).await;
    assign(&clinic, patient, "W-1").await;
    let path = address(&clinic, patient);
    let lines = [
        pulse("W-1", 3),
        "{\"device\":\"W-1\",\"kind\":\"heart-rate\",\"at\":\"2026-01-06T10:00:00Z\",\"value\":141}\n".to_owned(),
        "no reading\n".to_owned(),
        "{\"device\":\"W-1\",\"kind\":\"heart-rate\",\"at\":\"2025-06-01T10:00:00Z\",\"value\":60}\n".to_owned(),
        "{\"device\":\"W-1\",\"kind\":\"body-temperature\",\"at\":\"2026-01-06T10:00:00Z\",\"value\":98.6,\"unit\":\"[degF]\"}"
            .to_owned(),
    ]
    .concat();
    let told = send(&system.api, &path, NDJSON, lines.clone()).await.ok();
    assert_eq!(counts(&told), [7, 5, 0, 0, 2], "{told:#}");
    let faults: Vec<_> =
        told["errors"].as_array().expect("faults").iter().map(|it| (&it["line"], &it["rule"])).collect();
    assert_eq!(faults, [(&json!(5), &json!("malformed")), (&json!(6), &json!("consent-not-in-force"))]);
    // The same again, packed.
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(lines.as_bytes()).expect("packed");
    let request = system.api.request(Method::POST, &path).header("content-type", NDJSON);
    let request = request.header("content-encoding", "gzip").body(packed.finish().expect("packed"));
    let again: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(counts(&again), [7, 0, 0, 5, 2], "{again:#}");
    // As a report.
    let report = told["refused_lines"].as_str().expect("an address");
    let csv = system.api.get_raw(&format!("{report}?format=csv")).await.text().await.expect("text");
    assert!(csv.starts_with("line,field,rule,message\r\n5,\"\",\"malformed\""), "{csv}");
    assert_eq!(csv.lines().count(), 3);
    // By their times, and summed up.
    let at_least = format!("at_least={}", told["position"]);
    let read = system.api.get(&format!("{path}&kind=heart-rate&limit=2&{at_least}")).await.ok();
    assert_eq!((read["items"].as_array().map(Vec::len), &read["items"][1]["value"]), (Some(2), &json!(61.0)));
    let next = read["next"].as_str().expect("a further page");
    let rest = system.api.get(&format!("{path}&kind=heart-rate&limit=2&after={next}")).await.ok();
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["next"]), (Some(2), &Value::Null));
    let span = "kind=heart-rate&seconds=86400&from=2026-01-05T00:00:00Z&until=2026-01-08T00:00:00Z";
    let summed = system.api.get(&format!("{}&{span}", path.replace("/readings", "/readings/buckets"))).await.ok();
    let told_of: Vec<_> =
        summed["buckets"].as_array().expect("buckets").iter().map(|it| (&it["count"], &it["mean"])).collect();
    assert_eq!(told_of, [(&json!(3), &json!(61.0)), (&json!(1), &json!(141.0))]);
    // Each day, and what has to be looked at.
    let of_patient = format!("/v1/readings-daily?patient_id={patient}&kind=heart-rate&{at_least}");
    let days = system.api.get(&of_patient).await.ok();
    let days: Vec<_> = days["items"].as_array().expect("days").iter().map(|day| (&day["day"], &day["mean"])).collect();
    assert_eq!(days, [(&json!("2026-01-06"), &json!(141)), (&json!("2026-01-05"), &json!(61))]);
    let alerts = format!("/v1/alerts?patient_id={patient}");
    let alerts = system.api.until(&alerts, "raised", |alerts| alerts["items"].get(0).is_some()).await;
    assert_eq!(alerts["items"][0]["rule"], "pulse-high");
    assert_eq!(alerts["items"].as_array().map(Vec::len), Some(1), "what came again raises nothing");
    let device = DeviceId::of(TrialId::from(clinic.trial), "W-1").stream().id;
    let device = system.api.get(&format!("/v1/devices/{device}?{at_least}")).await.ok();
    assert_eq!((&device["readings"], &device["status"]), (&json!(5), &json!("assigned")));
    assert!(!device.to_string().contains("secret"), "{device:#}");
    // As comma-separated lines, in another order of columns.
    let csv = "value,at,kind,unit\r\n5.2,2026-01-05T07:00:00Z,blood-glucose,mmol/L\r\n95,2026-01-05T08:00:00Z,blood-glucose,mg/dL\r\n";
    let told = send(&system.api, &format!("{path}&device=W-1"), "text/csv", csv).await.ok();
    assert_eq!(counts(&told), [3, 2, 0, 0, 0], "{told:#}");
    assert_eq!(checked(&system), "0 faults");
}

#[tokio::test]
async fn good_lines_are_taken_and_told_of() {
    good_lines_are_taken_and_told_of_on(System::embedded_with(&[]).await).await;
    good_lines_are_taken_and_told_of_on(System::on_postgres().await).await;
    good_lines_are_taken_and_told_of_on(System::apart().await).await;
}

/// What `check-readings` says.
fn checked(system: &System) -> String {
    let arguments = system.database_arguments();
    let mut words = vec!["check-readings", "--json"];
    words.extend(arguments.iter().map(String::as_str));
    let output = crate::program::run(&words, system.folder.path());
    let told: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", crate::program::text(&output.stderr)));
    match told["faults"].as_array().map(Vec::as_slice) {
        Some([]) if output.status.success() => "0 faults".to_owned(),
        faults => format!("{faults:?}"),
    }
}

#[tokio::test]
async fn r07_readings_tell_their_device_and_those_of_an_unknown_one_wait_until_somebody_knows_it() {
    let system = System::embedded_with(&[]).await;
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic).await;
    let path = address(&clinic, patient);
    // Two devices of one person are told apart, and when each came is on record.
    for device in ["W-7", "W-8"] {
        assign(&clinic, patient, device).await;
        let told = send(&system.api, &path, NDJSON, pulse(device, 1)).await.ok();
        let read = system.api.get(&format!("{path}&kind=heart-rate&at_least={}", told["position"])).await.ok();
        let of_device = json!(DeviceId::of(TrialId::from(clinic.trial), device));
        let items = read["items"].as_array().expect("readings");
        assert_eq!(items.iter().filter(|item| item["device_id"] == of_device).count(), 1, "{read:#}");
    }
    let history = system.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let received: Vec<_> =
        history["items"].as_array().expect("events").iter().filter(|it| it["type"] == "ReadingsReceived").collect();
    assert_eq!((received.len(), &received[1]["payload"]["device"]), (2, &json!("W-8")));
    assert!(received.iter().all(|event| event["recorded_at"].is_string() && event["actor"]["id"].is_string()));
    let told = send(&system.api, &path, NDJSON, pulse("W-9", 4)).await.ok();
    assert_eq!(counts(&told), [4, 0, 4, 0, 0], "{told:#}");
    let count = async |api: &Api| {
        let read = api.get(&format!("{path}&kind=heart-rate&at_least={}", told["position"])).await.ok();
        read["items"].as_array().map(Vec::len)
    };
    assert_eq!(count(&system.api).await, Some(2));
    let device = DeviceId::of(TrialId::from(clinic.trial), "W-9").stream().id;
    let waiting = format!("/v1/readings-apart?patient_id={patient}&at_least={}", told["position"]);
    let waiting = system.api.get(&waiting).await.ok();
    let told_of = (&waiting["items"][0]["device"], &waiting["items"][0]["readings"]);
    assert_eq!(told_of, (&json!("W-9"), &json!(4)), "{waiting:#}");
    let release = json!({"subject_id": clinic.subject(patient), "reason": "In use before it was recorded"});
    let path_of = |command: &str| format!("/v1/devices/{device}/{command}");
    system.api.post(&path_of("release-readings"), release.clone()).await.refused(422, "device-not-assigned");
    assign(&clinic, patient, "W-9").await;
    system.api.post(&path_of("release-readings"), release).await.ok();
    let waiting = format!("/v1/readings-apart?patient_id={patient}");
    system.api.until(&waiting, "nothing waits", |waiting| waiting["items"].as_array().is_some_and(Vec::is_empty)).await;
    eventually("they are read", Duration::from_secs(30), async || count(&system.api).await == Some(6)).await;
    // Those of another device turn out to be nobody's.
    let told = send(&system.api, &path, NDJSON, pulse("W-10", 2)).await.ok();
    assert_eq!(counts(&told), [2, 0, 2, 0, 0]);
    let other = DeviceId::of(TrialId::from(clinic.trial), "W-10").stream().id;
    let discard = json!({"subject_id": clinic.subject(patient), "reason": "A relative's"});
    system.api.post(&format!("/v1/devices/{other}/discard-readings"), discard).await.ok();
    eventually("they are deleted, and can come again", Duration::from_secs(30), async || {
        counts(&send(&system.api, &path, NDJSON, pulse("W-10", 2)).await.ok()) == [2, 0, 2, 0, 0]
    })
    .await;
    assert_eq!(checked(&system), "0 faults");
}

#[tokio::test]
async fn what_somebody_elses_device_says_is_kept_apart_and_holds_nothing_else_up() {
    let system = System::embedded_with(&[]).await;
    let clinic = clinic(&system.api).await;
    let (patient, other) = (participant(&clinic).await, participant(&clinic).await);
    assign(&clinic, patient, "W-1").await;
    assign(&clinic, other, "W-2").await;
    let oneself = system.as_participant(patient);
    let both = [pulse("W-2", 1), pulse("W-1", 3)].concat();
    let told = send(&oneself, &address(&clinic, patient), NDJSON, both).await.ok();
    assert_eq!(counts(&told), [4, 3, 1, 0, 0], "{told:#}");
    let waiting = async |of: Uuid| {
        let path = format!("/v1/readings-apart?patient_id={of}&at_least={}", told["position"]);
        system.api.get(&path).await.ok()["items"].as_array().map(Vec::len)
    };
    assert_eq!((waiting(patient).await, waiting(other).await), (Some(1), Some(0)));
    // By whom, and without a last line feed: its position is told as well.
    let line = pulse("W-1", 4);
    let last = line.lines().last().expect("a line").to_owned();
    let told = send(&oneself, &address(&clinic, patient), NDJSON, last).await.ok();
    assert!(told["position"].as_u64() > Some(0) && counts(&told)[1] == 1, "{told:#}");
    let history = system.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let items = history["items"].as_array().expect("events");
    let senders = items.iter().filter(|event| event["type"].as_str().is_some_and(|it| it.starts_with("Readings")));
    let senders: std::collections::BTreeSet<_> = senders.filter_map(|event| event["actor"]["id"].as_str()).collect();
    assert_eq!(senders.into_iter().collect::<Vec<_>>(), [format!("participant-{patient}")]);
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

#[tokio::test]
async fn readings_are_sent_and_seen_by_who_may() {
    let system = System::embedded_with(&[]).await;
    let clinic = clinic(&system.api).await;
    let (patient, other) = (participant(&clinic).await, participant(&clinic).await);
    assign(&clinic, patient, "W-1").await;
    let oneself = system.as_participant(patient);
    let told = send(&oneself, &address(&clinic, patient), NDJSON, pulse("W-1", 2)).await.ok();
    assert_eq!(counts(&told), [2, 2, 0, 0, 0]);
    let upload = format!("/v1/uploads/{}", told["upload_id"].as_str().expect("an id"));
    assert_eq!(oneself.get(&upload).await.ok()["stored"], 2);
    let stranger = system.as_participant(other);
    for path in [upload.clone(), format!("{upload}/refused")] {
        stranger.get(&path).await.refused(404, "upload-not-found");
        oneself.with_token(None).get(&path).await.refused(401, "unauthenticated");
    }
    let foreign = send(&stranger, &address(&clinic, patient), NDJSON, pulse("W-1", 1)).await;
    assert!(foreign.status == 404 || foreign.status == 422, "{} {:#}", foreign.status, foreign.body);
    let read = format!("{}&kind=heart-rate", address(&clinic, patient));
    stranger.get(&read).await.refused(404, "not-found");
    // Who pays for the trial, or looks over it, sends nothing and sees what is of the trial.
    for role in ["sponsor", "monitor"] {
        let member = system.as_role(role);
        send(&member, &address(&clinic, patient), NDJSON, pulse("W-1", 1)).await.refused(403, "not-a-duty");
        member.get(&read).await.ok();
        member.get(&upload).await.ok();
    }
    send(&oneself.with_token(None), &address(&clinic, patient), NDJSON, "").await.refused(401, "unauthenticated");
    // What is asked for wrongly is told.
    let path = format!("/v1/patients/{patient}/readings");
    send(&system.api, &path, NDJSON, "").await.refused(400, "missing");
    send(&system.api, &format!("{path}?trial_id={}&color=red", clinic.trial), NDJSON, "")
        .await
        .refused(400, "unknown-parameter");
    send(&system.api, &address(&clinic, patient), "application/json", "{}")
        .await
        .refused(415, "unsupported-media-type");
    system.api.get(&format!("{path}?trial_id={}", clinic.trial)).await.refused(400, "missing");
    let buckets = format!("{}&from=2000-01-01T00:00:00Z", read.replace("/readings", "/readings/buckets"));
    system.api.get(&format!("{buckets}&seconds=1")).await.refused(400, "out-of-range");
    stranger.get(&format!("{buckets}&seconds=86400000")).await.refused(400, "out-of-range");
    stranger.get(&format!("{buckets}&seconds=31000000")).await.refused(404, "not-found");
    let gzip = system.api.request(Method::POST, &address(&clinic, patient)).header("content-type", NDJSON);
    let broken = gzip.header("content-encoding", "gzip").body("no gzip").send().await.expect("an answer");
    assert_eq!(broken.status().as_u16(), 400);
}

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
