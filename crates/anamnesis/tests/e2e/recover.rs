//! `anamnesis recover`: everything that is derived is made again from the log, and nothing is done twice.

use serde_json::Value;
use testkit::eventually;

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
    // One subject on the way, one enrolled, one who withdraws: process managers in several states.
    clinic.randomised_subject("ARMACTIVE").await;
    let (patient, _) = clinic.randomised_subject("ARMPLACEBO").await;
    let withdrawal = serde_json::json!({"trial_id": clinic.trial, "scope": "further-data"});
    let answer = system.api.post(&format!("/v1/patients/{patient}/withdraw-consent"), withdrawal).await.ok();
    let at = answer["position"].as_u64().expect("a position");
    let subject = format!("/v1/subjects/{}", clinic.subject(patient));
    system.api.until(&subject, "discontinued", |subject| subject["status"] == "discontinued").await;
    all_are_quiet(&system, at).await;
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

/// Waits until all views stand at one place beyond `at`.
pub async fn all_are_quiet(system: &System, at: u64) {
    let quiet = |catalogue: &Value| {
        let views = catalogue["items"].as_array().expect("views");
        let position = views[0]["position"].as_u64();
        position > Some(at) && views.iter().all(|view| view["position"].as_u64() == position)
    };
    system.api.until("/v1/views", "with all views at one place", quiet).await;
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
