//! The event stream at its edges: ids that the log does not have, filters that let nothing
//! through, tokens that run out, more clients than there is room for.

use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use reqwest::{Method, Response};
use serde_json::json;

use crate::api::Api;
use crate::clinic::fresh;
use crate::system::System;

/// Long enough for any answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn register_patients(api: &Api, count: usize) {
    let register = |_| async {
        let path = format!("/v1/patients/{}/register-patient", fresh());
        api.post(&path, json!({"sex": "F"})).await.ok();
    };
    // Not more at once than the server takes.
    stream::iter((0..count).map(register)).buffer_unordered(64).collect::<()>().await;
}

/// Reads until the text has what is looked for; `None` where the stream ends before.
async fn read_until(response: &mut Response, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let mut text = String::new();
    let read = async {
        while !wanted(&text) {
            text.push_str(&String::from_utf8_lossy(&response.chunk().await.ok().flatten()?));
        }
        Some(text)
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the stream goes on or ends")
}

#[tokio::test]
async fn what_the_log_does_not_have_is_told() {
    let system = System::embedded().await;
    let resume = |id: String| system.api.request(Method::GET, "/v1/events").header("Last-Event-ID", id);
    for (id, status, rule) in [(fresh().to_string(), 409, "log-went-back"), ("17".to_owned(), 400, "malformed")] {
        let answer = resume(id).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
        let problem: serde_json::Value = answer.json().await.expect("a problem document");
        assert!(problem.to_string().contains(rule), "{problem:#}");
    }
    system.api.get("/v1/events?after=999999").await.refused(409, "position-beyond-head");
}

#[tokio::test]
async fn a_filter_that_lets_nothing_through_still_tells_how_far_it_has_come() {
    let system = System::embedded().await;
    register_patients(&system.api, 1_200).await;
    let path = "/v1/events?type=TrialRegistered";
    let mut stream = system.api.get_raw(&format!("{path}&after=0")).await;
    let text = read_until(&mut stream, |text| text.lines().any(|line| line.starts_with("id: "))).await;
    let text = text.expect("the stream goes on");
    assert!(!text.contains("\nevent:"), "nothing passes: {text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    let event = system.api.get(&format!("/v1/events/{id}")).await.ok();
    assert!(event["position"].as_u64().expect("a position") >= 1_000, "{event:#}");
    let resumed = system.api.request(Method::GET, path).header("Last-Event-ID", id).send().await.expect("an answer");
    assert!(resumed.status().is_success(), "{}", resumed.status());
}

#[tokio::test]
async fn all_clients_get_every_event_in_order_whether_they_are_behind_or_live() {
    let system = System::embedded().await;
    // Behind the accounts that were opened before.
    let begin = system.api.get("/v1/views").await.ok()["position"].as_u64().expect("a position");
    register_patients(&system.api, 20).await;
    let paths = [0, 10, 20].map(|missed| format!("/v1/events?after={}", begin + missed));
    let mut streams = join_all(paths.iter().map(|path| system.api.get_raw(path))).await;
    register_patients(&system.api, 20).await;
    for (stream, missed) in streams.iter_mut().zip([0, 10, 20]) {
        let count = 40 - missed;
        let all = |text: &str| text.matches("\n\n").count() > count;
        let text = read_until(stream, all).await.expect("the stream goes on");
        let positions: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str::<serde_json::Value>(data).expect("JSON")["position"].as_u64())
            .map(|position| position.expect("a position"))
            .collect();
        assert_eq!(positions, (begin + missed as u64 + 1..=begin + 40).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let system = System::embedded().await;
    let mut stream = system.for_a_time("3s").get_raw("/v1/events?after=0").await;
    assert!(stream.status().is_success(), "{}", stream.status());
    assert_eq!(read_until(&mut stream, |_| false).await, None, "it ends");
}

#[tokio::test]
async fn a_stream_without_room_is_refused_and_gets_room_when_another_ends() {
    let system = System::embedded_with(&["--event-streams-max", "1"]).await;
    let first = system.api.get_raw("/v1/events").await;
    assert!(first.status().is_success(), "{}", first.status());
    let second = system.api.get_raw("/v1/events").await;
    assert_eq!(second.status(), 503);
    assert!(second.headers().contains_key("retry-after"));
    drop(first);
    testkit::eventually("there is room again", PATIENCE, || async {
        system.api.get_raw("/v1/events").await.status().is_success()
    })
    .await;
}
