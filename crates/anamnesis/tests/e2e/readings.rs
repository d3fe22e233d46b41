//! Readings of wearables: sent all at once or resumed, through failures, and read back.

use std::io::Write as _;
use std::time::Duration;

use events::ids::{DeviceId, StreamKey as _, TrialId};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;

use crate::api::{Answer, Api};
use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

pub const NDJSON: &str = "application/x-ndjson";

/// A participant who signed long ago, in a trial that looks at the pulse.
pub async fn participant(clinic: &Clinic) -> Uuid {
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

pub async fn clinic(api: &Api) -> Clinic {
    let clinic = Clinic::open(api, Plan { enrolment_mode: "manual", ..Plan::default() }).await;
    let rules = json!({"rules": [{"code": "pulse-high", "test": {"kind": "out-of-range", "of": "heart-rate", "high": 130},
        "severity": "critical", "recipients": ["investigator"], "acknowledge_within_minutes": 60}]});
    api.post(&format!("/v1/trials/{}/define-reading-rules", clinic.trial), rules).await.ok();
    clinic
}

pub async fn assign(clinic: &Clinic, patient: Uuid, device: &str) {
    let body = json!({"device": device, "from": "2026-01-02T00:00:00Z", "serial_number": "SN-77-secret"});
    clinic.subject_command(clinic.subject(patient), "assign-device", body).await.ok();
}

/// Readings of the pulse, a second apart.
pub fn pulse(device: &str, count: u32) -> String {
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

pub fn address(clinic: &Clinic, patient: Uuid) -> String {
    format!("/v1/patients/{patient}/readings?trial_id={}", clinic.trial)
}

pub async fn send(api: &Api, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let response = api.request(Method::POST, path).header("content-type", kind).body(body).send().await;
    let response = response.expect("an answer");
    Answer { status: response.status(), body: response.json().await.unwrap_or_default() }
}

pub fn counts(told: &Value) -> [u64; 5] {
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
pub fn checked(system: &System) -> String {
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
