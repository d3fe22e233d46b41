//! Rights that end while they are used, and what is told of those who try all the same.

use chrono::TimeDelta;
use events::access::account::Scope;
use events::envelope::Role;
use events::ids::{AccountId, StreamKey as _};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::clinic::{Clinic, Plan, fresh};
use crate::stage::{PATIENCE, word};
use crate::system::System;

/// Who write at once.
const WRITERS: usize = 64;
/// How often each right ends.
const ROUNDS: usize = 3;

/// An account of somebody, as the administrator sees it.
struct Somebody {
    administrator: Api,
    account: String,
    api: Api,
    username: String,
}

impl Somebody {
    async fn new(system: &System) -> Self {
        let username = format!("somebody-{}", fresh());
        let account = format!("/v1/accounts/{}", AccountId::of(&username).stream().id);
        let administrator = system.as_administrator();
        let api = system.api.with_token(Some(system.token(&username, &[])));
        let somebody = Self { administrator, account, api, username };
        somebody.command("register-account", json!({"username": somebody.username})).await;
        somebody
    }

    async fn command(&self, command: &str, body: Value) -> Value {
        self.administrator.post(&format!("{}/{command}", self.account), body).await.ok()
    }

    /// Grants a role; the grant's id.
    async fn grant(&self, role: Role, scope: Scope) -> Value {
        self.command("grant-role", json!({"role": word(role), "scope": scope})).await;
        let path = format!("{}?at_least={}", self.account, self.administrator.head().await);
        self.administrator.get(&path).await.ok()["grants"][0]["grant_id"].clone()
    }

    /// Has the right end.
    async fn end(&self, how: &str, grant_id: &Value) -> u64 {
        let mut body = json!({"reason": "Left"});
        if how == "revoke-role" {
            body["grant_id"] = grant_id.clone();
        }
        self.command(how, body).await["position"].as_u64().expect("a position")
    }

    /// What was recorded of those of this kind.
    async fn incidents(&self, condition: impl Fn(&Value) -> bool) -> Value {
        let id = self.account.trim_start_matches("/v1/accounts/");
        self.administrator.until(&format!("/v1/incidents?account_id={id}&limit=200"), "recorded", condition).await
    }
}

impl Api {
    /// How far the log has come.
    async fn head(&self) -> u64 {
        self.get("/v1/views").await.ok()["position"].as_u64().expect("a position")
    }
}

/// Writes until a command is refused.
async fn write_until_refused(api: &Api, patient: Uuid) {
    loop {
        let path = format!("/v1/patients/{patient}/record-observation");
        let answer = api.post(&path, json!({"code": "AGE", "value": 40})).await;
        match answer.status.as_u16() {
            403 => return,
            // Others were first too often.
            200 | 409 | 503 => {}
            _ => panic!("{} {:#}", answer.status, answer.body),
        }
    }
}

/// One right that ends under many writers and an open stream.
async fn round(system: &System, clinic: &Clinic, patient: Uuid, how: &str) {
    let somebody = Somebody::new(system).await;
    let scope = Scope::Site { trial_id: clinic.trial.into(), site_id: clinic.site.into() };
    let grant_id = somebody.grant(Role::Coordinator, scope).await;
    let stream = somebody.api.get_raw("/v1/events").await;
    assert!(stream.status().is_success(), "{}", stream.status());
    let history = format!("/v1/patients/{patient}/history/export?format=ndjson");
    let of_somebody = |text: &Value| text.as_str().map_or(0, |text| text.matches(&somebody.username).count());
    let ending = async {
        let written = async || of_somebody(&system.api.get(&history).await.ok()) >= WRITERS / 2;
        testkit::eventually("some have written", PATIENCE, written).await;
        somebody.end(how, &grant_id).await
    };
    let writers = join_all((0..WRITERS).map(|_| write_until_refused(&somebody.api, patient)));
    let (_, ended_at) = tokio::join!(writers, ending);
    let told = system.api.get(&history).await.ok();
    let lines = told.as_str().expect("lines").lines();
    let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let late = events.filter(|event| event["actor"]["id"] == somebody.username.as_str());
    let late: Vec<Value> = late.filter(|event| event["position"].as_u64().is_some_and(|at| at >= ended_at)).collect();
    assert!(late.is_empty(), "behind {how} at {ended_at}: {late:#?}");
    let rest = tokio::time::timeout(PATIENCE, stream.text()).await.expect("the stream ends");
    assert!(rest.is_ok(), "{rest:?}");
    assert_eq!(somebody.api.get(&format!("/v1/patients/{patient}")).await.status, 403);
    assert_eq!(somebody.api.get_raw("/v1/events").await.status(), 403);
    let of_the_command = |incident: &Value| {
        incident["operation"] == "POST /v1/patients/{id}/record-observation"
            && incident["username"] == somebody.username.as_str()
            && incident["kind"] == "authority-refused"
            && incident["address"] == "127.0.0.1"
            && incident["count"].as_u64().is_some_and(|count| count > 0)
    };
    let is_told = |told: &Value| told["items"].as_array().is_some_and(|items| items.iter().any(of_the_command));
    somebody.incidents(is_told).await;
}

async fn rights_end_while_they_are_used(system: System) {
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let patient = clinic.patient(Some(40)).await;
    clinic.present(patient).await;
    for _ in 0..ROUNDS {
        for how in ["revoke-role", "suspend-account", "close-account"] {
            round(&system, &clinic, patient, how).await;
        }
    }
}

/// R6 (21 CFR 11.10(d), (g)): whoever lost a right does nothing with it from then on, whatever their token says.
#[tokio::test(flavor = "multi_thread")]
async fn r06_rights_end_while_they_are_used_embedded() {
    rights_end_while_they_are_used(System::embedded_with(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_rights_end_while_they_are_used_on_postgres() {
    rights_end_while_they_are_used(System::on_postgres().await).await;
}

#[tokio::test]
async fn r06_whoever_has_no_role_any_more_reads_nothing() {
    let system = System::embedded_with(&[]).await;
    let somebody = Somebody::new(&system).await;
    assert_eq!(somebody.api.get("/v1/trials").await.status, 403, "no role yet");
    let grant_id = somebody.grant(Role::Auditor, Scope::Installation).await;
    let stream = somebody.api.get_raw("/v1/events?after=0").await;
    assert_eq!((stream.status().as_u16(), somebody.api.get("/v1/trials").await.status.as_u16()), (200, 200));
    somebody.end("revoke-role", &grant_id).await;
    somebody.api.get("/v1/trials").await.refused(403, "no-role");
    assert_eq!(somebody.api.get_raw("/v1/events").await.status(), 403);
    let text = tokio::time::timeout(PATIENCE, stream.text()).await.expect("it ends").expect("text");
    assert!(text.contains("RoleGranted") && !text.contains("\nevent: RoleRevoked"), "{text}");
}

#[tokio::test]
async fn a_stream_ends_with_the_grant() {
    let system = System::embedded_with(&[]).await;
    let somebody = Somebody::new(&system).await;
    let until = event_store::clock::now() + TimeDelta::seconds(4);
    let grant = json!({"role": "auditor", "scope": {"kind": "installation"}, "until": until});
    somebody.command("grant-role", grant).await;
    let stream = somebody.api.get_raw("/v1/events?after=0").await;
    assert!(stream.status().is_success(), "{}", stream.status());
    let text = tokio::time::timeout(PATIENCE, stream.text()).await.expect("it ends").expect("text");
    assert!(text.contains("RoleGranted") && event_store::clock::now() >= until, "{text}");
    somebody.api.get("/v1/trials").await.refused(403, "no-role");
}

/// R11 (21 CFR 11.100(a)): what identified somebody identifies nobody else, ever.
#[tokio::test]
async fn r11_a_username_is_never_given_again() {
    let system = System::embedded_with(&[]).await;
    let somebody = Somebody::new(&system).await;
    somebody.command("close-account", json!({"reason": "Left"})).await;
    for username in [somebody.username.clone(), somebody.username.to_uppercase()] {
        let path = format!("/v1/accounts/{}/register-account", fresh());
        let again = somebody.administrator.post(&path, json!({"username": username})).await;
        again.refused(422, "username-taken");
    }
    let same = format!("{}/register-account", somebody.account);
    let again = somebody.administrator.post(&same, json!({"username": "another"})).await;
    again.refused(422, "account-already-registered");
    let reinstate = format!("{}/reinstate-account", somebody.account);
    somebody.administrator.post(&reinstate, json!({"reason": "Came back"})).await.refused(422, "account-closed");
    somebody.api.get("/v1/trials").await.refused(403, "account-may-not-act");
}

/// R11 (21 CFR 11.300(d)): an account that asks for too much of what it may not is locked, and that is told.
#[tokio::test]
async fn r11_an_account_that_tries_too_much_is_locked_until_it_is_reinstated() {
    let system = System::embedded_with(&[]).await;
    let somebody = Somebody::new(&system).await;
    somebody.grant(Role::Auditor, Scope::Installation).await;
    let path = format!("/v1/patients/{}/register-patient", fresh());
    for _ in 0..20 {
        assert_eq!(somebody.api.get("/v1/trials").await.status, 200);
        somebody.api.post(&path, json!({"sex": "F"})).await.refused(403, "not-a-duty");
    }
    somebody.api.get("/v1/trials").await.refused(403, "account-may-not-act");
    let is_locked = |account: &Value| account["locked_until"].is_string();
    somebody.administrator.until(&somebody.account, "locked", is_locked).await;
    let events = "/v1/events?after=0&type=AccountLocked";
    let mut stream = somebody.administrator.get_raw(events).await;
    let mut told = String::new();
    while !told.contains("AccountLocked") {
        let piece = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("it is told").expect("a piece");
        told.push_str(&String::from_utf8_lossy(&piece.expect("the stream goes on")));
    }
    let command = |told: &Value| {
        told["items"].as_array().is_some_and(|items| {
            items.iter().any(|incident| incident["operation"] == "POST /v1/patients/{id}/register-patient")
        })
    };
    somebody.incidents(command).await;
    somebody.command("reinstate-account", json!({"reason": "It was a script"})).await;
    assert_eq!(somebody.api.get("/v1/trials").await.status, 200);
}

#[tokio::test]
async fn failed_authentication_is_counted_and_told() {
    let mut system = System::embedded_with(&[]).await;
    const TRIES: u64 = 7;
    let forger = system.api.with_token(Some("a.b.c".to_owned()));
    for _ in 0..TRIES {
        assert_eq!(forger.get("/v1/trials").await.status, 401);
    }
    // The first is told at once, the others together, at the latest when the program ends.
    let count = |told: &Value| {
        let tries = told["items"].as_array().into_iter().flatten();
        let tries = tries.filter(|one| one["operation"] == "GET /v1/trials" && one["address"] == "127.0.0.1");
        tries.filter_map(|one| one["count"].as_u64()).sum::<u64>()
    };
    let path = "/v1/incidents?kind=authentication-failed";
    let administrator = system.as_administrator();
    administrator.until(path, "told", |told| count(told) == 1).await;
    assert!(system.processes[0].terminate().await.success());
    system.processes[0].restart().await;
    let told = administrator.until(path, "counted", |told| count(told) == TRIES).await;
    assert!(told["items"][0]["username"].is_null() && !told.to_string().contains("a.b.c"), "{told:#}");
}
