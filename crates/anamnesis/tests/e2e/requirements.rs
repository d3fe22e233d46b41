//! What regulators ask for, row by row (docs/requirements.md), where no other test shows it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clinic::{Clinic, Plan};
use crate::system::System;

/// The types of the events about a patient, but for messages, which the program asks for in its own time.
async fn told(clinic: &Clinic, patient: Uuid) -> Vec<String> {
    let history = clinic.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let items = history["items"].as_array().expect("events").clone();
    let types = items.iter().map(|event| event["type"].as_str().expect("a type").to_owned());
    types.filter(|event_type| event_type != "NotificationRequested").collect()
}

#[tokio::test]
async fn r05_what_must_follow_each_other_is_checked_and_what_is_refused_leaves_nothing() {
    let system = System::embedded().await;
    let plan = Plan { enrolment_mode: "manual", ..Plan::default() };
    let clinic = Clinic::open(&system.api, plan).await;
    let patient = clinic.patient(Some(40)).await;
    let subject = clinic.subject(patient);
    let refuses = async |command: &str, body: &Value| {
        let before = told(&clinic, patient).await;
        let answer = match command {
            "screen-patient" => clinic.patient_command(patient, command, body.clone()).await,
            _ => clinic.subject_command(subject, command, body.clone()).await,
        };
        assert!(matches!(answer.status.as_u16(), 404 | 422), "{command}: {:#}", answer.body);
        assert!(
            answer.body["type"].as_str().is_some_and(|rule| rule.starts_with("urn:anamnesis:problem:")),
            "{command}"
        );
        assert_eq!(told(&clinic, patient).await, before, "{command}");
    };
    let done = async |command: &str, body: Value| {
        clinic.subject_command(subject, command, body).await.ok();
    };
    let (randomise, nothing) = (json!({"arm": "ARMACTIVE"}), json!({}));
    let screen = json!({"trial_id": clinic.trial});
    // Before consent.
    refuses("screen-patient", &screen).await;
    refuses("randomise-subject", &randomise).await;
    clinic.present(patient).await;
    refuses("screen-patient", &screen).await;
    clinic.sign(patient).await.ok();
    // Before eligibility.
    refuses("randomise-subject", &randomise).await;
    clinic.patient_command(patient, "screen-patient", screen.clone()).await.ok();
    refuses("enrol-subject", &nothing).await;
    refuses("randomise-subject", &randomise).await;
    done("record-eligibility", json!({})).await;
    refuses("randomise-subject", &randomise).await;
    done("enrol-subject", json!({})).await;
    done("randomise-subject", randomise.clone()).await;
    // Twice, whichever arm.
    refuses("randomise-subject", &json!({"arm": "ARMPLACEBO"})).await;
    // After a withdrawal.
    let other = clinic.patient(Some(50)).await;
    clinic.present(other).await;
    clinic.sign(other).await.ok();
    let withdraw = json!({"trial_id": clinic.trial, "scope": "further-data", "reason": "Moves away"});
    clinic.patient_command(other, "withdraw-consent", withdraw).await.ok();
    let before = told(&clinic, other).await;
    let answer = clinic.patient_command(other, "screen-patient", screen).await;
    assert_eq!(answer.status, 422, "{:#}", answer.body);
    assert_eq!(told(&clinic, other).await, before);
}

#[tokio::test]
async fn r15_what_is_done_with_an_alert_and_that_a_copy_was_made_is_on_record() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.enrolled_subject().await;
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 2]).await.ok();
    let raised = |alerts: &Value| alerts["items"].get(0).is_some();
    let alerts = clinic.api.until(&format!("/v1/alerts?patient_id={patient}"), "raised", raised).await;
    let alert = alerts["items"][0]["alert_id"].as_str().expect("an id").to_owned();
    let post = async |command: &str, body: Value| clinic.api.post(&format!("/v1/alerts/{alert}/{command}"), body).await;
    post("acknowledge-alert", json!({"note": "The participant was called"})).await.ok();
    post("acknowledge-alert", json!({"note": "Called once more"})).await.ok();
    post("resolve-alert", json!({"action_taken": "Seen by the psychiatrist on call"})).await.ok();
    let history = clinic.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let of_alert = history["items"].as_array().expect("events").iter();
    let of_alert: Vec<&Value> = of_alert.filter(|event| event["stream"]["id"] == *alert).collect();
    let told: Vec<&str> = of_alert.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(told, ["AlertRaised", "AlertAcknowledged", "AlertNoteAdded", "AlertResolved"]);
    assert!(of_alert[1..].iter().all(|event| event["actor"]["id"] == "tester"), "{of_alert:#?}");
    assert_eq!(of_alert[3]["payload"]["action_taken"], "Seen by the psychiatrist on call");

    let auditor = system.as_role("auditor");
    auditor.get_raw(&format!("/v1/patients/{patient}/history/export")).await.error_for_status().expect("a copy");
    let listed = |page: &Value| page["items"].get(0).is_some_and(|copy| copy["kind"] == "export");
    let copies = auditor.until(&format!("/v1/disclosures?patient_id={patient}"), "the copy is listed", listed).await;
    assert_eq!(copies["items"][0]["username"], "test-auditor", "{copies:#}");
}
