//! `anamnesis recover`: everything that is derived is made again from the log, and nothing is done twice.

use events::ids::{AlertId, StreamKey};
use serde_json::{Value, json};
use testkit::eventually;

use crate::api::Api;
use crate::bus::positions as stream_positions;
use crate::clinic::{Clinic, Plan};
use crate::system::{System, run};

/// Documents of every list, without where the views stood when they were read.
async fn documents(system: &System) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for address in views::tables().map(|table| table.collection().address) {
        let page = system.api.get(&format!("/v1/{address}?limit=500")).await.ok();
        documents.push((address.to_owned(), page["items"].clone()));
    }
    documents
}

/// Where every view stands, by name.
pub async fn positions(system: &System) -> Vec<(String, u64)> {
    let catalogue = system.api.get("/v1/views").await.ok();
    let views = catalogue["items"].as_array().expect("views").clone();
    views.iter().map(|view| (view["name"].to_string(), view["position"].as_u64().expect("a position"))).collect()
}

pub async fn all_stand_at(system: &System, head: u64) {
    let stands = |catalogue: &Value| {
        let views = catalogue["items"].as_array().expect("views");
        views.len() > views::ALL.len() && views.iter().all(|view| view["position"] == head)
    };
    system.api.until("/v1/views", "with every view at the head", stands).await;
}

/// Runs `recover` with these further arguments.
pub fn recover(system: &System, more: &[&str]) -> String {
    let database = system.database_arguments();
    let nats = system.nats.as_ref().map(|nats| ["--nats-url".to_owned(), nats.url()]);
    let arguments: Vec<&str> = ["recover"].into_iter().chain(more.iter().copied()).collect();
    let arguments = arguments.into_iter().chain(database.iter().map(String::as_str));
    let arguments: Vec<&str> = arguments.chain(nats.iter().flatten().map(String::as_str)).collect();
    let output = run(&arguments, system.folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// How what is derived is lost.
enum Loss {
    Recover,
    Removed,
}

async fn what_is_derived_comes_back(mut system: System, loss: Loss) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let at = process_managers_in_every_state(&clinic).await;
    all_are_quiet(&system.api, at).await;
    let (head, before) = (positions(&system).await[0].1, documents(&system).await);

    for process in &mut system.processes {
        process.kill();
    }
    match loss {
        Loss::Recover => {
            assert!(recover(&system, &[]).contains("Nothing was changed"));
            assert!(recover(&system, &["--yes"]).contains("Epoch 2 has begun"));
        }
        Loss::Removed => system.remove_derived().await,
    }
    for process in &mut system.processes {
        process.restart().await;
    }
    all_stand_at(&system, head).await;
    let after = documents(&system).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after, "the same as undisturbed");
    }
    assert_eq!(positions(&system).await[0].1, head, "nothing was appended");
    if let Some(nats) = &system.nats {
        let client = async_nats::connect(nats.url()).await.expect("NATS");
        let once = async || stream_positions(&client, head).await == (1..=head).collect::<Vec<_>>();
        eventually("every event is published once", std::time::Duration::from_secs(60), once).await;
    }
}

/// Subjects before, in and after screening, enrolled and withdrawn; alerts that nobody saw, that somebody saw and that
/// are done with. Gives the position of the last of it.
async fn process_managers_in_every_state(clinic: &Clinic) -> u64 {
    for age in [None, Some(10)] {
        let patient = clinic.patient(age).await;
        clinic.present(patient).await;
        clinic.sign(patient).await.ok();
        let subject = format!("/v1/subjects/{}", clinic.subject(patient));
        let status = if age.is_some() { "screen-failed" } else { "screened" };
        clinic.api.until(&subject, status, |subject| subject["status"] == status).await;
    }
    clinic.enrolled_subject().await;
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    for steps in [[].as_slice(), &["acknowledge"], &["acknowledge", "resolve"]] {
        let report = clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 3]).await.ok();
        let source = report["events"][0]["event_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let alert = format!("/v1/alerts/{}", AlertId::of(source, "phq9-item9").stream().id);
        clinic.api.until(&alert, "raised", |alert| alert["status"] == "raised").await;
        for step in steps {
            let body = if *step == "resolve" { json!({"action_taken": "Called."}) } else { json!({}) };
            clinic.api.post(&format!("{alert}/{step}"), body).await.ok();
        }
    }
    let (patient, _) = clinic.randomised_subject("ARMPLACEBO").await;
    let withdrawal = json!({"trial_id": clinic.trial, "scope": "further-data"});
    let answer = clinic.patient_command(patient, "withdraw-consent", withdrawal).await.ok();
    let subject = format!("/v1/subjects/{}", clinic.subject(patient));
    clinic.api.until(&subject, "discontinued", |subject| subject["status"] == "discontinued").await;
    answer["position"].as_u64().expect("a position")
}

/// Waits until all views stand at one place beyond `at`, and everybody who is told something was looked up.
pub async fn all_are_quiet(api: &Api, at: u64) {
    let mut stood_at = all_stand_together(api, at).await;
    loop {
        let none = |page: &Value| page["items"].as_array().is_some_and(Vec::is_empty);
        api.until("/v1/notifications?status=requested", "with everybody addressed", none).await;
        let stand_at = all_stand_together(api, at).await;
        if stand_at == stood_at {
            return;
        }
        stood_at = stand_at;
    }
}

/// Waits until all views stand at one place beyond `at`; gives it.
async fn all_stand_together(api: &Api, at: u64) -> u64 {
    let quiet = |catalogue: &Value| {
        let views = catalogue["items"].as_array().expect("views");
        let position = views[0]["position"].as_u64();
        position > Some(at) && views.iter().all(|view| view["position"].as_u64() == position)
    };
    let catalogue = api.until("/v1/views", "with all views at one place", quiet).await;
    catalogue["items"][0]["position"].as_u64().expect("a position")
}

#[tokio::test]
async fn what_is_derived_comes_back_embedded() {
    what_is_derived_comes_back(System::embedded_with(&[]).await, Loss::Recover).await;
}

#[tokio::test]
async fn what_is_derived_comes_back_on_postgres() {
    what_is_derived_comes_back(System::on_postgres().await, Loss::Recover).await;
}

#[tokio::test]
async fn a_removed_file_of_derived_data_comes_back() {
    what_is_derived_comes_back(System::embedded_with(&[]).await, Loss::Removed).await;
}

#[tokio::test]
async fn a_dropped_schema_of_derived_data_comes_back() {
    what_is_derived_comes_back(System::on_postgres().await, Loss::Removed).await;
}
