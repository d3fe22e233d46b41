//! What must hold whichever way the system runs.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

pub async fn a_signed_consent_becomes_an_enrolled_subject(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let child = clinic.patient(Some(12)).await;
    clinic.present(child).await;
    clinic.sign(child).await.ok();
    // The observation that decides comes later: the process manager waits for it.
    let late = clinic.patient(None).await;
    clinic.present(late).await;
    clinic.sign(late).await.ok();
    let late_subject = format!("/v1/subjects/{}", clinic.subject(late));
    clinic.api.until(&late_subject, "screened", |subject| subject["status"] == "screened").await;
    clinic.patient_command(late, "record-observation", json!({"code": "AGE", "value": 30})).await.ok();
    clinic.api.until(&late_subject, "enrolled", |subject| subject["status"] == "enrolled").await;
    clinic.randomised_subject("ARMACTIVE").await;

    let figures = clinic.enrolment_until("complete", |figures| figures["randomised"] == 1).await;
    assert_eq!(figures["consented"], 3, "{figures:#}");
    assert_eq!(figures["screened"], 3);
    assert_eq!(figures["enrolled"], 2);
    let figures = clinic.enrolment_until("failed", |figures| figures["screen_failed"] == 1).await;
    assert_eq!(figures["by_site"][0]["site"], "701", "{figures:#}");
    assert_eq!(figures["by_site"][0]["screened"], 3);
    let arms = figures["by_arm"].as_array().expect("an administrator sees the arms");
    let active = arms.iter().find(|arm| arm["arm"] == "ARMACTIVE").expect("the arm");
    assert_eq!(active["randomised"], 1);
}

pub async fn an_alert_stands_in_the_inbox_until_it_is_resolved(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 1]).await.ok();
    let inbox = format!("/v1/alerts?trial_id={}&open=true&acknowledged=false", clinic.trial);
    let alerts = clinic.api.until(&inbox, "an alert", |alerts| alerts["items"][0].is_object()).await;
    let alert = &alerts["items"][0];
    assert_eq!(alert["severity"], "critical", "{alert:#}");
    let address = format!("/v1/alerts/{}", alert["alert_id"].as_str().expect("an id"));
    let answer = clinic.api.post(&format!("{address}/acknowledge"), json!({"note": "called"})).await.ok();
    let position = answer["position"].as_u64().expect("a position");
    let seen = clinic.api.get(&format!("{address}?at_least={position}")).await.ok();
    assert_eq!(seen["status"], "acknowledged", "{seen:#}");
    // Nothing to do is answered with where the alert stands.
    let again = clinic.api.post(&format!("{address}/acknowledge"), json!({})).await.ok();
    assert_eq!((&again["version"], &again["events"]), (&answer["version"], &json!([])));
    let answer = clinic.api.post(&format!("{address}/resolve"), json!({"action_taken": "seen today"})).await.ok();
    let position = answer["position"].as_u64().expect("a position");
    let seen = clinic.api.get(&format!("{address}?at_least={position}")).await.ok();
    assert_eq!(seen["status"], "resolved", "{seen:#}");
}

pub async fn a_withdrawal_ends_participation_and_gives_the_place_back(system: &System) {
    let clinic = Clinic::open(&system.api, Plan { enrolment_cap: 1, ..Plan::default() }).await;
    let (patient, subject) = clinic.enrolled_subject().await;
    let body = json!({"trial_id": clinic.trial, "scope": "further-data"});
    clinic.patient_command(patient, "withdraw-consent", body).await.ok();
    let address = format!("/v1/subjects/{subject}");
    clinic.api.until(&address, "discontinued", |subject| subject["status"] == "discontinued").await;
    clinic.phq9(subject, [0; 9]).await.refused(422, "consent-not-in-force");
    // The place is free again.
    clinic.enrolled_subject().await;
    let figures = clinic.enrolment_until("counted", |figures| figures["enrolled"] == 2).await;
    assert_eq!(figures["discontinued"]["WITHDRAWAL BY SUBJECT"], 1, "{figures:#}");
}

pub async fn the_last_places_go_to_exactly_as_many_as_there_are(system: &System) {
    let clinic = Clinic::open(&system.api, Plan { enrolment_cap: 3, ..Plan::default() }).await;
    let patients = join_all((0..50).map(|_| async {
        let patient = clinic.patient(Some(50)).await;
        clinic.present(patient).await;
        patient
    }))
    .await;
    join_all(patients.iter().map(|patient| async { clinic.sign(*patient).await.ok() })).await;
    let settled = |figures: &Value| figures["enrolled"] == 3 && figures["screen_failed"] == 47;
    clinic.enrolment_until("3 enrolled and 47 told", settled).await;
    let failed = format!("/v1/subjects?trial_id={}&status=screen-failed&limit=100", clinic.trial);
    let failed = clinic.api.get(&failed).await.ok();
    let failed = failed["items"].as_array().expect("subjects");
    assert_eq!(failed.len(), 47);
    for subject in failed {
        assert_eq!(subject["screen_failure_reasons"], json!(["site-cap-reached"]), "{subject:#}");
    }
}

pub async fn a_view_never_shows_less_than_asked_for(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    for round in 1..=long_form("ANAMNESIS_E2E_READS", 100) {
        let patient = fresh();
        let answer = clinic.patient_command(patient, "register-patient", json!({})).await.ok();
        let position = answer["position"].as_u64().expect("a position");
        let seen = clinic.api.get(&format!("/v1/patients/{patient}?at_least={position}")).await.ok();
        assert!(seen["position"].as_u64() >= Some(position), "round {round}: {seen:#}");
    }
}

/// How much of something; the environment asks for the long form.
pub fn long_form(variable: &str, short: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(short)
}

pub async fn a_report_stands_before_the_withdrawal_or_is_refused(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..5 {
        let (patient, subject) = clinic.enrolled_subject().await;
        let withdraw = async {
            let body = json!({"trial_id": clinic.trial, "scope": "further-data"});
            clinic.patient_command(patient, "withdraw-consent", body).await.ok()
        };
        let before = join_all((0..4).map(|_| clinic.phq9(subject, [1; 9])));
        let ((early, _), late) = tokio::join!(
            async { tokio::join!(before, withdraw) },
            join_all((0..8).map(|_| clinic.phq9(subject, [1; 9])))
        );
        for report in early.into_iter().chain(late) {
            if report.status.is_success() {
                taken += 1;
            } else {
                refused += 1;
                report.refused(422, "consent-not-in-force");
            }
        }
        clinic.phq9(subject, [1; 9]).await.refused(422, "consent-not-in-force");
        let history = clinic.api.get(&format!("/v1/patients/{patient}/history")).await.ok();
        // Before it in the log, or by its own time: one that was completed before may be stored after.
        let told = |event_type: &str, field: &str| -> Vec<(u64, chrono::DateTime<chrono::Utc>)> {
            let items = history["items"].as_array().expect("events").iter();
            let told = items.filter(|event| event["type"] == event_type);
            let time = |event: &Value| event["payload"][field].as_str().and_then(|time| time.parse().ok());
            told.map(|event| (event["position"].as_u64().expect("a position"), time(event).expect("a time"))).collect()
        };
        let (withdrawn, withdrawn_at) = told("ConsentWithdrawn", "withdrawn_at")[0];
        let reports = told("ReportSubmitted", "completed_at");
        let stands_before = |(position, time): &(u64, _)| *position < withdrawn || *time < withdrawn_at;
        assert!(reports.iter().all(stands_before), "{history:#}");
    }
    assert_eq!(taken + refused, 60);
}

pub async fn pages_stay_whole_while_patients_come(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let register = async |count: usize| -> BTreeSet<String> {
        let patients = join_all((0..count).map(|_| clinic.patient(None))).await;
        patients.iter().map(ToString::to_string).collect()
    };
    let first = register(30).await;
    for patient in &first {
        clinic.api.until(&format!("/v1/patients/{patient}"), "shown", |_| true).await;
    }
    let coming = register(30);
    let paging = async {
        let mut seen: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let page = clinic.api.get(&format!("/v1/patients?limit=7{after}")).await.ok();
            let items = page["items"].as_array().expect("patients");
            seen.extend(items.iter().map(|patient| patient["patient_id"].as_str().expect("an id").to_owned()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return seen,
            }
        }
    };
    let (_, seen) = tokio::join!(coming, paging);
    let distinct: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "nobody twice");
    assert!(first.is_subset(&distinct), "nobody who was there is missing");
}

pub async fn a_history_has_three_forms(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    clinic.phq9(subject, [1; 9]).await.ok();
    let path = format!("/v1/patients/{patient}/history");
    let head = clinic.api.get(&path).await.ok()["position"].as_u64().expect("a position");
    let path = format!("{path}?at_position={head}");
    let whole = clinic.api.get(&path).await.ok();
    let items = whole["items"].as_array().expect("events");
    let mut paged = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = clinic.api.get(&format!("{path}&limit=3&after={after}")).await.ok();
        paged.extend(page["items"].as_array().expect("events").iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(&paged, items, "page by page");
    let text = |form: &'static str| {
        let (api, path) = (clinic.api.clone(), path.clone());
        async move {
            let response = api.get_raw(&format!("{path}&format={form}")).await;
            let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
            (kind, response.text().await.expect("a body"))
        }
    };
    let (kind, ndjson) = text("ndjson").await;
    assert_eq!(kind, "application/x-ndjson");
    let lines: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(&lines, items, "line by line");
    let (kind, csv) = text("csv").await;
    assert!(kind.starts_with("text/csv"), "{kind}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let payload = reader.headers().expect("a header").iter().position(|name| name == "payload").expect("a column");
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), items.len());
    for (row, item) in rows.iter().zip(items) {
        assert_eq!((row[0].to_owned(), &row[3]), (item["position"].to_string(), item["type"].as_str().expect("text")));
        assert_eq!(row[2], *item["occurred_at"].as_str().expect("a time"), "times have one form");
        let payload: Value = serde_json::from_str(&row[payload]).expect("JSON");
        assert_eq!(payload, item["payload"]);
    }
    clinic.api.get(&format!("{path}&format=pdf")).await.refused(400, "malformed");
}

pub async fn a_repeated_command_gets_its_first_answer(system: &System) {
    let api = &system.api;
    let (patient, key) = (fresh(), fresh().to_string());
    let headers = [("Idempotency-Key", key.as_str())];
    let path = format!("/v1/patients/{patient}/register-patient");
    let answers = join_all((0..20).map(|_| api.post_with(&path, json!({"sex": "M"}), &headers))).await;
    let bodies: BTreeSet<String> = answers.into_iter().map(|answer| answer.ok().to_string()).collect();
    assert_eq!(bodies.len(), 1, "one answer for all: {bodies:?}");
    api.post_with(&path, json!({"sex": "F"}), &headers).await.refused(422, "idempotency-key-reused");
}

pub async fn an_event_stream_resumes_where_it_broke_off(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let path = format!("/v1/events?trial_id={}", clinic.trial);
    // The trial's set-up: register, two arms, criteria, form, questionnaire, site joined and registered, …
    let first = read_stream(&clinic, &path, None, 4).await;
    let rest = read_stream(&clinic, &path, first.last().cloned(), 5).await;
    let whole = read_stream(&clinic, &path, None, 9).await;
    assert_eq!([first, rest].concat(), whole, "nothing lost, nothing twice");
}

/// Reads ids of an event stream until there are `count`.
async fn read_stream(clinic: &Clinic, path: &str, after: Option<String>, count: usize) -> Vec<String> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut request = clinic.api.request(reqwest::Method::GET, &format!("{path}{separator}after=0"));
    if let Some(after) = after {
        request = clinic.api.request(reqwest::Method::GET, path).header("Last-Event-ID", after);
    }
    let mut response = request.send().await.expect("a stream");
    assert!(response.status().is_success(), "{}", response.status());
    let (mut text, mut ids) = (String::new(), Vec::new());
    while ids.len() < count {
        let piece = tokio::time::timeout(Duration::from_secs(30), response.chunk()).await;
        let piece = piece.expect("the stream goes on").expect("the stream is whole").expect("the stream has not ended");
        text.push_str(&String::from_utf8_lossy(&piece));
        let complete = text.rfind("\n\n").map_or("", |end| &text[..end + 2]);
        ids = complete.lines().filter_map(|line| line.strip_prefix("id:")).map(|id| id.trim().to_owned()).collect();
    }
    ids.truncate(count);
    ids
}

pub async fn a_history_tells_what_was_known_at_a_time(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let before = clinic.phq9(subject, [1; 9]).await.ok()["position"].as_u64().expect("a position");
    let report = clinic.phq9(subject, [2; 9]).await.ok();
    let path = format!("/v1/patients/{patient}/history");
    let now = clinic.api.get(&path).await.ok();
    let then = clinic.api.get(&format!("{path}?at_position={before}")).await.ok();
    let positions = |history: &Value| -> Vec<u64> {
        history["items"]
            .as_array()
            .expect("events")
            .iter()
            .map(|event| event["position"].as_u64().expect("a position"))
            .collect()
    };
    let (now, then) = (positions(&now), positions(&then));
    assert!(now.is_sorted() && now.contains(&report["position"].as_u64().expect("a position")));
    assert_eq!(then.last(), Some(&before), "nothing later is known");
    assert_eq!(then, now[..then.len()], "the past does not change");
    let state = clinic.api.get(&format!("/v1/patients/{patient}/state?at_position={before}")).await.ok();
    let streams = state["streams"].as_array().expect("streams");
    let reports = streams.iter().filter(|stream| stream["stream"]["type"] == "report").collect::<Vec<_>>();
    assert_eq!((reports.len(), &state["position"]), (1, &json!(before)), "{state:#}");
    assert_eq!(reports[0]["fields"]["answers"]["PHQ0101"], 1, "{state:#}");
}

pub async fn a_timeline_is_read_from_either_end(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, _) = clinic.randomised_subject("ARMACTIVE").await;
    let history = clinic.api.get(&format!("/v1/patients/{patient}/history")).await.ok();
    let told = |event: &Value| (event["position"].clone(), event["type"].clone(), event["stream"].clone());
    let expected: Vec<_> = history["items"].as_array().expect("events").iter().map(told).collect();
    assert!(expected.len() > 5, "{history:#}");
    for (sort, newest_first) in [("", true), ("&sort=-position", true), ("&sort=position", false)] {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/patients/{patient}/timeline?limit=3{sort}{after}");
            let page = clinic.api.get(&path).await.ok();
            seen.extend(page["items"].as_array().expect("lines").iter().map(told));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        if newest_first {
            seen.reverse();
        }
        assert_eq!(seen, expected, "{sort}");
    }
    clinic.api.get(&format!("/v1/patients/{}/timeline", fresh())).await.refused(404, "not-found");
}

pub async fn blinded_roles_never_see_the_arm(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let (trial, site) = (clinic.trial, clinic.site);
    clinic.enrolment_until("randomised", |figures| figures["randomised"] == 1).await;
    // Each view comes at its own time.
    clinic.api.until(&format!("/v1/sites/{site}"), "listed", |_| true).await;
    for role in ["investigator", "monitor", "sponsor", "auditor"] {
        let api = system.as_role(role);
        for path in [
            format!("/v1/subjects/{subject}"),
            format!("/v1/subjects?trial_id={trial}"),
            format!("/v1/patients/{patient}/history"),
            format!("/v1/patients/{patient}/timeline"),
            format!("/v1/patients/{patient}/state"),
            format!("/v1/sites/{site}"),
            "/v1/sagas".to_owned(),
        ] {
            let response = api.get_raw(&path).await;
            assert!(response.status().is_success(), "{role} {path}: {}", response.status());
            let text = response.text().await.expect("a body");
            assert!(!text.contains("ARMACTIVE"), "{role} {path}: {text}");
        }
        let figures = api.get(&format!("/v1/trials/{trial}/enrolment")).await.ok();
        assert_eq!(figures["by_arm"], Value::Null, "{role}: {figures:#}");
        assert_eq!(figures["randomised"], 1);
    }
}

pub async fn a_request_without_a_token_is_refused(system: &System) {
    let nobody = system.api.with_token(None);
    for path in ["/v1/trials", "/v1/patients", "/v1/alerts", "/v1/events", "/v1/sagas", "/v1/dead-letters"] {
        nobody.get(path).await.refused(401, "unauthenticated");
    }
    nobody.post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.refused(401, "unauthenticated");
    let forger =
        system.api.with_token(Some("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4Iiwicm9sZSI6ImFkbWluaXN0cmF0b3IifQ.".to_owned()));
    forger.get("/v1/trials").await.refused(401, "unauthenticated");
}

pub async fn the_same_report_twice_without_an_id_is_one(system: &System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let address = format!("/v1/subjects/{subject}");
    let subject_now = clinic.api.until(&address, "randomised", |subject| subject["status"] == "randomised").await;
    let completed_at = subject_now["randomised_at"].as_str().expect("a time");
    let body = json!({
        "subject_id": subject, "instrument": "PHQ-9", "answers": {"PHQ0101": 2}, "completed_at": completed_at
    });
    let first = clinic.api.post("/v1/reports", body.clone()).await.ok();
    let second = clinic.api.post("/v1/reports", body).await;
    let id = first["stream"]["id"].as_str().expect("an id");
    assert!(second.body["detail"].as_str().is_some_and(|detail| detail.contains(id)), "{:#}", second.body);
    second.refused(422, "report-already-submitted");
    let visit = json!({"subject_id": subject, "visit": "WEEK 2", "attended_on": &completed_at[..10]});
    clinic.api.post("/v1/visits", visit.clone()).await.ok();
    clinic.api.post("/v1/visits", visit).await.refused(422, "visit-already-recorded");
}
