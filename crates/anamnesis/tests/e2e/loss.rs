//! The log loses its newest events under a running system, as by a fail-over to a standby that was behind.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::eventually;

use crate::bus::positions as stream_positions;
use crate::clinic::{Clinic, Plan, fresh};
use crate::recover::{all_are_quiet, all_stand_at, positions, recover};
use crate::system::System;

const PATIENCE: Duration = Duration::from_secs(60);

/// What was there before the loss.
struct Before {
    clinic: Clinic,
    /// Where the log ended.
    head: u64,
    /// Where it ends afterwards, and the event there.
    kept: u64,
    kept_event: String,
    /// The last event that a follower of the event stream has seen.
    seen: String,
    /// The `next` of a page, and a page's tag.
    next: String,
    tag: String,
}

async fn a_busy_clinic(system: &System) -> Before {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    clinic.randomised_subject("ARMACTIVE").await;
    let kept = system.api.post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.ok();
    let kept_event = kept["events"][0]["event_id"].as_str().expect("an id").to_owned();
    let kept = kept["position"].as_u64().expect("a position");
    clinic.randomised_subject("ARMPLACEBO").await;
    let last = system.api.post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.ok();
    all_are_quiet(&system.api, last["position"].as_u64().expect("a position") - 1).await;
    let head = positions(system).await[0].1;
    let page = system.api.get("/v1/patients?limit=1").await.ok();
    let tagged = system.api.get_raw("/v1/patients").await;
    let tag = tagged.headers()["etag"].to_str().expect("text").to_owned();
    let client = async_nats::connect(system.nats.as_ref().expect("a server").url()).await.expect("NATS");
    let published = async || stream_positions(&client, head).await.last() == Some(&head);
    eventually("all is published", PATIENCE, published).await;
    Before {
        clinic,
        head,
        kept,
        kept_event,
        seen: last["events"][0]["event_id"].as_str().expect("an id").to_owned(),
        next: page["next"].as_str().expect("a second page").to_owned(),
        tag,
    }
}

/// The ids of the first `count` events that a stream brings, fewer where it ends before.
async fn ids(stream: &mut reqwest::Response, count: usize) -> Vec<String> {
    let mut text = String::new();
    let of = |text: &str| -> Vec<String> {
        let blocks = text.split("\n\n").filter(|block| block.contains("\ndata: "));
        blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned)).collect()
    };
    while of(&text).len() < count {
        match tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("it goes on or ends") {
            Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Ok(None) | Err(_) => break,
        }
    }
    of(&text)
}

async fn open(system: &System, last_seen: &str) -> reqwest::Response {
    let request = system.api.request(reqwest::Method::GET, "/v1/events").header("last-event-id", last_seen);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    response
}

async fn follow(system: &System, seen: &str) -> reqwest::StatusCode {
    let request = system.api.request(reqwest::Method::GET, "/v1/events");
    request.header("last-event-id", seen).send().await.expect("an answer").status()
}

/// Everything works again, in a log that ends where it was cut.
async fn goes_on(system: &System, before: &Before) {
    all_stand_at(system, before.kept).await;
    assert_eq!(follow(system, &before.seen).await, 409, "whoever saw what is gone is told");
    let page = format!("/v1/patients?limit=1&after={}", before.next);
    system.api.get(&page).await.refused(409, "log-went-back");
    let lost = format!("/v1/patients?at_least={}", before.seen);
    system.api.get(&lost).await.refused(409, "log-went-back");
    let again = system.api.request(reqwest::Method::GET, "/v1/patients").header("if-none-match", &before.tag);
    assert_eq!(again.send().await.expect("an answer").status(), 200, "what the tag was of is gone");
    // A writer that has not noticed yet is not sure of the first; a client sends it again.
    let path = format!("/v1/patients/{}/register-patient", fresh());
    let key = [("idempotency-key", "after-the-loss")];
    let taken = async || system.api.post_with(&path, json!({}), &key).await.status.is_success();
    eventually("commands are taken", PATIENCE, taken).await;
    // On the new facts.
    before.clinic.randomised_subject("ARMACTIVE").await;
    all_are_quiet(&system.api, before.kept).await;
    let head = positions(system).await[0].1;
    let client = async_nats::connect(system.nats.as_ref().expect("a server").url()).await.expect("NATS");
    let whole = async || stream_positions(&client, head).await == (1..=head).collect::<Vec<_>>();
    eventually("the stream is the log's again", PATIENCE, whole).await;
    let brought = ids(&mut open(system, &before.kept_event).await, (head - before.kept) as usize).await;
    assert_eq!(brought.len() as u64, head - before.kept);
    for id in brought {
        system.api.get(&format!("/v1/events/{id}")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_stops_and_says_why_until_it_is_recovered() {
    let system = System::on_postgres().await;
    let before = a_busy_clinic(&system).await;
    let (mut following, more) = (open(&system, &before.kept_event).await, (before.head - before.kept) as usize);
    assert_eq!(ids(&mut following, more).await.len(), more);
    system.database.as_ref().expect("a database").lose_behind(before.kept).await;
    assert!(ids(&mut following, 1).await.is_empty(), "it ends: whoever comes again is told");
    let told = |catalogue: &Value| {
        let views = catalogue["items"].as_array().expect("views");
        let failed = views.iter().filter(|view| view["failure"].as_str().is_some_and(|why| why.contains("recover")));
        failed.count() == views::ALL.len()
    };
    let stopped = system.api.until("/v1/views", "with every view stopped", told).await;
    for view in stopped["items"].as_array().expect("views") {
        assert_eq!(view["position"], before.head, "not folded on");
    }
    let ready = async || {
        let told = system.api.get("/readyz").await.body.to_string();
        ["process managers", "relay", "patients"].iter().all(|work| told.contains(work)) && told.contains("recover")
    };
    eventually("readiness tells of all of them", PATIENCE, ready).await;
    let shown = recover(&system, &[]);
    for what in ["view patients had seen", "process manager enrolment had seen", "lost: ", "Nothing was changed"] {
        assert!(shown.contains(what), "{what} in {shown}");
    }
    assert!(recover(&system, &["--yes"]).contains("Epoch 2 has begun"));
    goes_on(&system, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_by_itself_where_the_operator_wants_it_so() {
    let system = System::on_postgres_with(&["--on-loss", "continue"]).await;
    let before = a_busy_clinic(&system).await;
    system.database.as_ref().expect("a database").lose_behind(before.kept).await;
    goes_on(&system, &before).await;
    let shown = recover(&system, &[]);
    assert!(shown.contains("epoch 2") && shown.contains("Nobody knows of an event"), "{shown}");
}
