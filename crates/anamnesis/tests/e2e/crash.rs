//! The server is killed at random moments under load; nothing acknowledged may be lost or doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::api::Api;
use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

/// Rounds of `kill -9`; the long form is asked for by environment.
fn rounds() -> usize {
    std::env::var("ANAMNESIS_TEST_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

#[tokio::test]
async fn kill_under_load_embedded() {
    kill_under_load(System::embedded().await).await;
}

#[tokio::test]
async fn kill_under_load_on_postgres() {
    kill_under_load(System::on_postgres().await).await;
}

/// An acknowledged command: what was sent and what was answered.
struct Acknowledged {
    path: String,
    key: String,
    body: Value,
    answer: Value,
}

async fn kill_under_load(mut system: System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let acknowledged: Arc<Mutex<Vec<Acknowledged>>> = Arc::default();
    let mut patients = Vec::new();
    for round in 0..rounds() {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(load(system.api.clone(), clinic.trial, clinic.site, stop.clone(), acknowledged.clone()))
            })
            .collect();
        // The moment differs from round to round: after so many more acknowledgements.
        let goal = acknowledged.lock().await.len() + 40 + 37 * round;
        let enough = async || acknowledged.lock().await.len() >= goal;
        testkit::eventually("the load runs", Duration::from_secs(60), enough).await;
        system.processes[0].kill();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            patients.extend(writer.await.expect("the load ends"));
        }
        system.processes[0].restart().await;
    }
    every_acknowledged_command_is_in_the_log_once(&system.api, &acknowledged.lock().await).await;
    every_saga_ends(&clinic, &patients).await;
    views_equal_rebuilt_ones(&system, &clinic).await;
}

/// Registers patients and signs consents until told to stop or the server is gone;
/// gives the patients whose consent was signed for certain.
async fn load(
    api: Api,
    trial: Uuid,
    site: Uuid,
    stop: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<Acknowledged>>>,
) -> Vec<Uuid> {
    let mut signed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let patient = fresh();
        let form = json!({"trial_id": trial, "site_id": site, "form_version": "1.0", "language": "en"});
        let commands = [
            ("register-patient", json!({"sex": "F", "site_id": site})),
            ("record-observation", json!({"code": "AGE", "value": 12})),
            ("present-consent-form", form),
            ("sign-consent", json!({"trial_id": trial, "form_version": "1.0", "language": "en"})),
        ];
        for (command, body) in commands {
            let (path, key) = (format!("/v1/patients/{patient}/{command}"), fresh().to_string());
            let Ok(answer) = api.try_post(&path, body.clone(), &[("Idempotency-Key", &key)]).await else {
                return signed;
            };
            if !answer.status.is_success() {
                return signed;
            }
            log.lock().await.push(Acknowledged { path, key, body, answer: answer.body });
        }
        signed.push(patient);
    }
    signed
}

async fn every_acknowledged_command_is_in_the_log_once(api: &Api, acknowledged: &[Acknowledged]) {
    let mut positions = BTreeMap::new();
    for command in acknowledged {
        let again = api.post_with(&command.path, command.body.clone(), &[("Idempotency-Key", &command.key)]).await;
        assert_eq!(again.ok(), command.answer, "a repeated command gives its first answer");
        let position = command.answer["position"].as_u64().expect("a position");
        assert!(positions.insert(position, &command.path).is_none(), "two commands at position {position}");
        let event_id = command.answer["events"][0]["event_id"].as_str().expect("an event");
        let stored = api.get(&format!("/v1/events/{event_id}")).await.ok();
        assert_eq!(stored["position"], position, "{stored:#}");
    }
}

/// Every consent that was signed for certain ends as if nothing had happened: screened once and failed for age.
async fn every_saga_ends(clinic: &Clinic, patients: &[Uuid]) {
    for patient in patients {
        let subject = format!("/v1/subjects/{}", clinic.subject(*patient));
        clinic.api.until(&subject, "failed for age", |subject| subject["status"] == "screen-failed").await;
        let history = clinic.api.get(&format!("/v1/patients/{patient}/history")).await.ok();
        let of_type = |name: &str| {
            let events = history["items"].as_array().expect("events");
            events.iter().filter(|event| event["type"] == name).count()
        };
        assert_eq!((of_type("PatientScreened"), of_type("ScreeningFailed")), (1, 1), "{history:#}");
    }
    let letters = clinic.api.get("/v1/dead-letters").await.ok();
    assert_eq!(letters["items"], json!([]), "no step was given up");
}

/// The views that lived through the crashes equal views rebuilt from the log.
async fn views_equal_rebuilt_ones(system: &System, clinic: &Clinic) {
    // Each view has a place of its own: this one may be behind the one that was waited for.
    let position = clinic.api.get("/v1/subjects?limit=1").await.ok()["position"].clone();
    let path = format!("/v1/trials/{}/enrolment?at_least={position}", clinic.trial);
    clinic.api.until(&path, "as far as the subjects", |_| true).await;
    let before = clinic.enrolment().await;
    let mut arguments = vec!["rebuild", "trial_enrolment"];
    let database = system.database_arguments();
    arguments.extend(database.iter().map(String::as_str));
    let rebuilt = crate::system::run(&arguments, system.folder.path());
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert_eq!(clinic.enrolment().await, before);
}
