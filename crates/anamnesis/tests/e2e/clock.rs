//! A clock that ran ahead and was set right.

use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::clinic::fresh;
use crate::system::System;

#[tokio::test]
async fn events_recorded_ahead_of_the_clock_are_shown() {
    let mut system = System::embedded().await;
    let register = format!("/v1/patients/{}/register-patient", fresh());
    system.api.post(&register, json!({})).await.ok();
    assert_eq!(clock(&system).await["ok"], true);
    system.processes[0].terminate().await;
    // As if the last event had been stored while the clock was a month ahead.
    let file = SqliteConnectOptions::new().filename(system.folder.path().join("data/log.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.expect("the file");
    let ahead = sqlx::query("UPDATE log_head SET recorded_at = recorded_at + 2592000000000");
    assert_eq!(ahead.execute(&mut connection).await.expect("it is changed").rows_affected(), 1);
    connection.close().await.expect("it closes");
    system.processes[0].restart().await;
    let register = format!("/v1/patients/{}/register-patient", fresh());
    system.api.post(&register, json!({})).await.ok();
    system.processes[0].terminate().await;
    system.processes[0].restart().await;
    let shown = async || clock(&system).await["ok"] == false;
    testkit::eventually("it is shown", std::time::Duration::from_secs(60), shown).await;
    assert_eq!(clock(&system).await["decides"], false);
    let seconds = system.processes[0].metric("anamnesis_clock_behind_log_seconds").await.expect("the gauge");
    assert!((2_500_000.0..2_600_000.0).contains(&seconds), "{seconds}");
    assert_eq!(system.processes[0].told().matches("the clock is behind the log").count(), 1);
}

async fn get(system: &System, path: &str) -> String {
    let answer = system.api.get_raw(path).await;
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.text().await.expect("text")
}

/// What readiness tells of the clock; the process is ready all the same.
async fn clock(system: &System) -> Value {
    let ready: Value = serde_json::from_str(&get(system, "/readyz").await).expect("JSON");
    let checks = ready["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == "clock").expect("a check of the clock").clone()
}
