//! Role, scope and what is read: every query of the interface document, and the event stream, on both engines.

use std::collections::BTreeSet;

use authority::{Area, matrix};
use events::access::account::Scope;
use events::envelope::{References, Role};
use events::ids::{StreamId, StreamType};
use futures::{StreamExt as _, future::join_all, stream};
use reqwest::Method;
use serde_json::Value;
use testkit::place::Place;
use uuid::Uuid;

use crate::stage::{Actor, Stage, about};
use crate::system::System;

/// Accounts that read at once.
const AT_ONCE: usize = 4;

/// A query of the interface document.
struct Query {
    path: String,
    area: Area,
    /// Of what kind the thing is that the address names, where it names one.
    kind: Option<StreamType>,
}

/// The kind of what an address names by its collection.
fn kind_of(collection: &str) -> Option<StreamType> {
    Some(match collection {
        "trials" | "protocols" => StreamType::Trial,
        "sites" => StreamType::Site,
        "patients" => StreamType::Patient,
        "consents" => StreamType::Consent,
        "subjects" => StreamType::Subject,
        "reports" => StreamType::Report,
        "adverse-events" => StreamType::AdverseEvent,
        "alerts" => StreamType::Alert,
        "visits" => StreamType::Visit,
        "devices" => StreamType::Device,
        "accounts" => StreamType::Account,
        "incidents" => StreamType::Incident,
        "dead-letters" => StreamType::DeadLetter,
        _ => return None,
    })
}

/// Every query, but those of events, which are looked at one by one, and those that need no token.
async fn queries(stage: &Stage) -> Vec<Query> {
    let document = stage.system.api.get("/openapi.json").await.ok();
    let mut queries = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let is_asked = operations.get("get").is_some() && path.starts_with("/v1/");
        // Who a person is is shown for a purpose only: see below; an allocation to who broke the blind, see `unblinding`.
        let is_apart = ["/identity", "/by-national-id", "/allocation"].iter().any(|end| path.ends_with(end));
        let is_public = operations["get"]["security"] == serde_json::json!([]);
        // A drug is nobody's.
        let is_apart = is_apart || path.starts_with("/v1/drugs/");
        // There is an upload only where somebody sent something: see `readings`.
        let is_apart = is_apart || path.starts_with("/v1/uploads/");
        if !is_asked || is_apart || is_public || path.starts_with("/v1/events") || path.starts_with("/v1/schemas") {
            continue;
        }
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let table = views::tables().find(|table| table.collection().address == parts[0]);
        let area = match (parts[0], parts.get(2)) {
            ("views", _) => Area::Operation,
            ("trials", Some(part)) if *part != "enrolment" => Area::Protocol,
            _ => table.unwrap_or_else(|| panic!("{path} is no view's")).area(),
        };
        let kind = if path.contains("{id}") { kind_of(parts[0]) } else { None };
        // What has to be said besides the id is said of the same place.
        let parameters = operations["get"]["parameters"].as_array().into_iter().flatten();
        let required: Vec<&str> = parameters
            .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true)
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let query = match required.as_slice() {
            [] => "",
            ["trial_id"] => "?trial_id={trial}",
            ["trial_id", "kind"] => "?trial_id={trial}&kind=heart-rate",
            ["trial_id", "kind", "seconds"] => "?trial_id={trial}&kind=heart-rate&seconds=31000000",
            others => panic!("{path}: what is {others:?} of a place?"),
        };
        queries.push(Query { path: path.replace("{instrument}", "PHQ-9") + query, area, kind });
    }
    queries
}

/// The id in an address.
fn id_of(kind: StreamType, place: &Place) -> Uuid {
    match kind {
        StreamType::Consent => {
            let consent = events::ids::ConsentId::of(place.patient.into(), place.trial.into());
            consent.uuid()
        }
        _ => place.of_kind(kind),
    }
}

/// Whether somebody sees what is of the area and about these.
fn sees(actor: &Actor, own: &Place, area: Area, about: &References) -> bool {
    let is_own_trial = about.trial_id.is_some_and(|trial| trial.uuid() == own.trial);
    let is_of_all_sites = is_own_trial && about.site_id.is_none() && about.patient_id.is_none();
    matrix::reads(actor.role, area)
        && (actor.scope.covers(about)
            || is_of_all_sites && (matches!(actor.scope, Scope::Site { .. }) || area == Area::Protocol))
}

/// What a document of this kind at the place is about.
fn about_of(kind: StreamType, place: &Place) -> References {
    match kind {
        StreamType::Trial => References::trial(place.trial.into()),
        StreamType::Site => References::site(place.trial.into(), place.site.into()),
        StreamType::Account | StreamType::Incident | StreamType::DeadLetter => References::default(),
        _ => about(place),
    }
}

/// The ids that tell that something is of the place, and of none that is in sight.
fn marks(place: &Place, own: &Place) -> Vec<Uuid> {
    let mut marks = vec![place.patient, place.report, place.adverse_event, place.visit, place.alert, place.subject()];
    if place.trial != own.trial {
        marks.extend([place.trial, place.site]);
    }
    marks
}

/// What is wrong with the answers to somebody.
async fn read(stage: &Stage, actor: &Actor, queries: &[Query]) -> (usize, Vec<String>) {
    let (mut cells, mut wrong) = (0, Vec::new());
    let outside: Vec<&Place> = stage.places().into_iter().filter(|place| !actor.reaches(place)).collect();
    for query in queries {
        let cell = format!("{} {}", actor.username, query.path);
        let reads = matrix::reads(actor.role, query.area);
        let Some(kind) = query.kind.filter(|_| query.path.contains("{id}")) else {
            cells += 1;
            let path = query.path.replace("{id}", &Uuid::nil().to_string());
            let answer = actor.api.get(&path).await;
            let text = answer.body.to_string();
            for mark in outside.iter().flat_map(|place| marks(place, &stage.own)) {
                if text.contains(&mark.to_string()) {
                    wrong.push(format!("{cell} tells of {mark}"));
                }
            }
            let is_list = !query.path.contains("{id}") && query.path != "/v1/views";
            let is_well = match query.path.as_str() {
                "/v1/views" => (answer.status == 200) == reads && (reads || answer.status == 403),
                _ if is_list => answer.status == 200 && (reads || answer.body["items"] == serde_json::json!([])),
                _ => answer.status == 404,
            };
            if !is_well {
                wrong.push(format!("{cell}: {} {text:.200}", answer.status));
            }
            continue;
        };
        for place in stage.places() {
            cells += 1;
            let path = query.path.replace("{id}", &id_of(kind, place).to_string());
            let path = path.replace("{trial}", &place.trial.to_string());
            let is_absent = matches!(kind, StreamType::Incident | StreamType::DeadLetter)
                || (kind == StreamType::Account && *place == stage.neighbour);
            let expected = !is_absent && sees(actor, &stage.own, query.area, &about_of(kind, place));
            let answer = actor.api.get(&path).await;
            if answer.status.as_u16() != if expected { 200 } else { 404 } {
                wrong.push(format!("{cell} of {path}: {}, expected {expected}", answer.status));
            }
            let text = answer.body.to_string();
            for mark in outside.iter().filter(|other| **other != place).flat_map(|other| marks(other, &stage.own)) {
                if text.contains(&mark.to_string()) {
                    wrong.push(format!("{cell} of {path} tells of {mark}"));
                }
            }
        }
    }
    (cells, wrong)
}

/// What is wrong with who is shown who somebody is.
async fn unmask(stage: &Stage, actor: &Actor) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    for place in stage.places() {
        let path = format!("/v1/patients/{}/identity", place.patient);
        let asked = actor.api.request(Method::GET, &path).header("Anamnesis-Purpose", "treatment");
        let answer = asked.send().await.expect("an answer");
        let expected = match (actor.reaches(place) && matrix::reads(actor.role, Area::Clinical), actor.role) {
            (false, _) => 404,
            (true, role) if matrix::unmasks(role) => 200,
            (true, _) => 403,
        };
        if answer.status().as_u16() != expected {
            wrong.push(format!("{} {path}: {}, expected {expected}", actor.username, answer.status()));
        }
        // Whoever admits people finds them wherever they are cared for.
        let path = "/v1/patients/by-national-id";
        let asked = actor.api.request(Method::GET, path).header("Anamnesis-Purpose", "admission");
        let asked = asked.header("Anamnesis-National-Id", place.national_id());
        let answer = asked.send().await.expect("an answer");
        let may = matrix::unmasks(actor.role) && actor.role != Role::Participant;
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        if status != if may { 200 } else { 403 } || text.contains(&place.patient.to_string()) != may {
            wrong.push(format!("{} {path}: {status} {text}", actor.username));
        }
    }
    (stage.places().len() * 2, wrong)
}

/// An event as far as it decides who sees it.
struct Told {
    id: String,
    area: Area,
    about: References,
}

/// Every event, as whoever sees all of them is told.
async fn events(stage: &Stage) -> Vec<Told> {
    let text = followed(stage, "tester", "0").await;
    let told = |data: &str| {
        let event: Value = serde_json::from_str(data).expect("JSON");
        let stream: StreamId = serde_json::from_value(event["stream"].clone()).expect("a stream");
        let about: References = serde_json::from_value(event.clone()).expect("references");
        Told { id: event["event_id"].as_str().expect("an id").to_owned(), area: Area::of(stream.kind), about }
    };
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(told).collect()
}

/// What somebody is told until their token ends.
async fn followed(stage: &Stage, username: &str, after: &str) -> String {
    let api = stage.system.api.with_token(Some(stage.system.token(username, &["--ttl", "6s"])));
    let response = api.get_raw(&format!("/v1/events?after={after}")).await;
    assert!(response.status().is_success(), "{username}: {}", response.status());
    response.text().await.expect("a stream that ends")
}

/// Whether somebody sees an event: a person outside any trial is seen where they are cared for.
fn sees_event(stage: &Stage, actor: &Actor, event: &Told) -> bool {
    let person = match event.about {
        References { trial_id: None, patient_id: Some(patient), .. } => Some(patient),
        _ => None,
    };
    match person.and_then(|patient| stage.places().into_iter().find(|place| place.patient == patient.uuid())) {
        Some(place) => matrix::reads(actor.role, event.area) && actor.reaches(place),
        None => sees(actor, &stage.own, event.area, &event.about),
    }
}

/// What is wrong with what somebody is told of events.
async fn follow(stage: &Stage, actor: &Actor, all: &[Told]) -> (usize, Vec<String>) {
    let text = followed(stage, &actor.username, "0").await;
    let frames = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let id = |data: &str| serde_json::from_str::<Value>(data).expect("JSON")["event_id"].as_str().map(str::to_owned);
    let told: BTreeSet<String> = frames.filter_map(id).collect();
    let mut wrong = Vec::new();
    for event in all {
        let expected = sees_event(stage, actor, event);
        if told.contains(&event.id) != expected {
            wrong.push(format!("{} stream {:?} {:?}: expected {expected}", actor.username, event.area, event.about));
        }
    }
    // One of each kind of place and area by its own address, too.
    let mut seen = BTreeSet::new();
    let some = all.iter().filter(|event| seen.insert(format!("{:?} {:?}", event.area, event.about)));
    for event in some {
        let expected = if sees_event(stage, actor, event) { 200 } else { 404 };
        for path in [format!("/v1/events/{}", event.id), format!("/v1/events/{}/payload", event.id)] {
            let status = actor.api.get(&path).await.status;
            if status != expected {
                wrong.push(format!("{} {path} {:?} {:?}: {status}", actor.username, event.area, event.about));
            }
        }
    }
    (all.len(), wrong)
}

async fn everybody_reads_what_is_in_their_sight(system: System) {
    let stage = Stage::new(system).await;
    let actors = stage.actors().await;
    stage.settled().await;
    let all = events(&stage).await;
    let mut looked = join_all(actors.iter().map(|actor| follow(&stage, actor, &all))).await;
    let queries = queries(&stage).await;
    looked.extend(
        stream::iter(&actors)
            .map(|actor| read(&stage, actor, &queries))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await,
    );
    for actor in &actors {
        looked.push(unmask(&stage, actor).await);
    }
    let cells: usize = looked.iter().map(|(cells, _)| cells).sum();
    let wrong: Vec<&String> = looked.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{} of {cells} {wrong:#?}", wrong.len());
    assert!(queries.len() > 35 && all.len() > 100 && cells > 2_500, "{} {} {cells}", queries.len(), all.len());
}

#[tokio::test]
async fn everybody_reads_what_is_in_their_sight_embedded() {
    everybody_reads_what_is_in_their_sight(System::embedded_with(&[]).await).await;
}

#[tokio::test]
async fn everybody_reads_what_is_in_their_sight_on_postgres() {
    everybody_reads_what_is_in_their_sight(System::on_postgres().await).await;
}
