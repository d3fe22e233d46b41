//! Breaking the blind for one subject; and what people sign, for which they have to have signed in lately.

use std::time::Duration;

use authority::signing::SIGNED_WITHIN;
use chrono::{DateTime, TimeDelta, Utc};
use event_store::clock;
use serde_json::{Value, json};
use service::identity::SigningKeys;

use crate::api::{Answer, Api};
use crate::clinic::{Clinic, Plan};
use crate::system::System;

/// An arm of the plan.
const ARM: &str = "ARMACTIVE";

/// The same account by a token that says that its owner signed in then.
fn signed_in(system: &System, username: &str, at: Option<DateTime<Utc>>) -> Api {
    let keys = SigningKeys::load(&system.key_file).expect("the key");
    let token = keys.signing().issue(username, Duration::from_secs(600), at).expect("a token");
    system.api.with_token(Some(token))
}

fn long_ago() -> DateTime<Utc> {
    clock::now() - SIGNED_WITHIN - TimeDelta::minutes(1)
}

fn told_to_sign_in(answer: Answer) {
    answer.refused(401, "sign-in-again");
}

fn emergency() -> Value {
    json!({"category": "emergency", "reason": "Unconscious after a fall; the antidote depends on it"})
}

struct Scene {
    system: System,
    clinic: Clinic,
    subject: uuid::Uuid,
    patient: uuid::Uuid,
}

impl Scene {
    async fn new() -> Self {
        let system = System::embedded().await;
        let clinic = Clinic::open(&system.api, Plan::default()).await;
        let (patient, subject) = clinic.randomised_subject(ARM).await;
        Self { system, clinic, subject, patient }
    }

    fn member(&self, username: &str, role: &str) -> Api {
        let (trial, site) = (self.clinic.trial.to_string(), self.clinic.site.to_string());
        self.system.as_member(username, role, &["--trial", &trial, "--site", &site])
    }

    async fn unblind(&self, api: &Api, body: Value) -> Answer {
        api.post(&format!("/v1/subjects/{}/unblind-subject", self.subject), body).await
    }

    async fn allocation(&self, api: &Api) -> Answer {
        api.get(&format!("/v1/subjects/{}/allocation", self.subject)).await
    }
}

#[tokio::test]
async fn r20_who_breaks_the_blind_is_told_the_arm_of_that_subject_and_nobody_else_is() {
    let scene = Scene::new().await;
    let doctor = scene.member("doctor-701", "investigator");
    let colleague = scene.member("doctor-702", "investigator");
    scene.allocation(&doctor).await.refused(403, "not-unblinded");
    for (role, rule) in [("monitor", "not-a-duty"), ("sponsor", "not-a-duty"), ("coordinator", "not-a-duty")] {
        scene.unblind(&scene.system.as_role(role), emergency()).await.refused(403, rule);
    }
    scene.unblind(&doctor, json!({"category": "emergency", "reason": ""})).await.refused(400, "blank");
    scene.unblind(&doctor, json!({"category": "curiosity", "reason": "x"})).await.refused(400, "malformed");
    scene.allocation(&doctor).await.refused(403, "not-unblinded");

    let unblinded = scene.unblind(&doctor, emergency()).await.ok();
    let told = scene.allocation(&doctor).await.ok();
    assert_eq!((&told["arm"], &told["unblinded_by"]), (&json!(ARM), &unblinded["events"][0]["event_id"]), "{told:#}");
    let response = doctor.get_raw(&format!("/v1/subjects/{}/allocation", scene.subject)).await;
    assert_eq!(response.headers()["cache-control"], "no-store");

    // Nobody else, and of nobody else; a mistake that is recorded tells nobody anything.
    scene.allocation(&colleague).await.refused(403, "not-unblinded");
    scene.unblind(&colleague, json!({"category": "inadvertent", "reason": "A label was read"})).await.ok();
    scene.allocation(&colleague).await.refused(403, "not-unblinded");
    let (_, other) = scene.clinic.randomised_subject(ARM).await;
    doctor.get(&format!("/v1/subjects/{other}/allocation")).await.refused(403, "not-unblinded");
    let stranger = scene.system.as_participant(scene.clinic.patient(None).await);
    scene.allocation(&stranger).await.refused(404, "not-found");

    // Who, when and why is told to everybody who reads the history, and the arm to none of them.
    let path = format!("/v1/patients/{}/history?limit=1000", scene.patient);
    let auditor = scene.system.as_role("auditor");
    for api in [&doctor, &colleague, &auditor, &scene.member("coordinator-701", "coordinator")] {
        let history = api.get(&path).await.ok();
        let events = history["items"].as_array().expect("events");
        let of_type = |name: &str| events.iter().filter(|event| event["type"] == name).collect::<Vec<_>>();
        let unblinded = of_type("SubjectUnblinded");
        assert_eq!(unblinded.len(), 2, "{history:#}");
        assert_eq!((&unblinded[0]["actor"]["id"], &unblinded[0]["payload"]), (&json!("doctor-701"), &emergency()));
        assert!(!history.to_string().contains(ARM), "{history:#}");
    }
    let subject = doctor.get(&format!("/v1/subjects/{}", scene.subject)).await.ok();
    assert!(subject.get("arm").is_none(), "{subject:#}");
    let listed = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 2);
    let disclosed = format!("/v1/disclosures?patient_id={}", scene.patient);
    let disclosed = auditor.until(&disclosed, "each look is listed", listed).await;
    assert!(disclosed["items"].as_array().expect("looks").iter().all(|look| {
        look["kind"] == "allocation" && look["username"] == "doctor-701" && look["role"] == "investigator"
    }));
}

#[tokio::test]
async fn r20_those_whom_an_unblinding_concerns_are_told_of_it() {
    let scene = Scene::new().await;
    scene.unblind(&scene.member("doctor-701", "investigator"), emergency()).await.ok();
    let auditor = scene.system.as_role("auditor");
    let path = format!("/v1/patients/{}/history?limit=1000", scene.patient);
    let messages = |history: &Value| {
        let events = history["items"].as_array().expect("events").iter();
        let messages = events.filter(|event| {
            event["type"] == "NotificationRequested" && event["payload"]["template"] == "subject-unblinded"
        });
        messages
            .map(|event| event["payload"]["audience"]["role"].as_str().expect("a role").to_owned())
            .collect::<Vec<_>>()
    };
    let all = |history: &Value| messages(history).len() == 3;
    let history = auditor.until(&path, "three are told", all).await;
    let mut recipients = messages(&history);
    recipients.sort();
    assert_eq!(recipients, ["investigator", "medical-monitor", "sponsor"]);
}

#[tokio::test]
async fn in_an_open_label_trial_there_is_nothing_to_unblind() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan { blinding: "open-label", ..Plan::default() }).await;
    let (patient, subject) = clinic.randomised_subject(ARM).await;
    let scene = Scene { system, clinic, subject, patient };
    scene.unblind(&scene.member("doctor-701", "investigator"), emergency()).await.refused(422, "trial-not-blinded");
}

/// 21 CFR 11.200(a)(1): the first signature takes all components, those that follow in a while the token alone, and after
/// that all of them again.
#[tokio::test]
async fn r10_a_signature_takes_a_sign_in_of_late() {
    let scene = Scene::new().await;
    let patient = scene.clinic.patient(Some(40)).await;
    scene.clinic.present(patient).await;
    let username = format!("participant-{patient}");
    scene.system.as_participant(patient);
    let sign = async |api: &Api| {
        let body = json!({"trial_id": scene.clinic.trial, "form_version": "1.0", "language": "en"});
        api.post(&format!("/v1/patients/{patient}/sign-consent"), body).await
    };
    // A session alone, whatever else it may do, signs nothing; neither does one that idled.
    for at in [None, Some(long_ago())] {
        let session = signed_in(&scene.system, &username, at);
        session.get(&format!("/v1/patients/{patient}")).await.ok();
        let response = session.request(reqwest::Method::POST, &format!("/v1/patients/{patient}/sign-consent"));
        let body = json!({"trial_id": scene.clinic.trial, "form_version": "1.0", "language": "en"});
        let response = response.json(&body).send().await.expect("an answer");
        let challenge = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
        assert!(challenge.contains(&format!("max_age={}", SIGNED_WITHIN.num_seconds())), "{challenge}");
        told_to_sign_in(sign(&session).await);
    }
    let history = format!("/v1/patients/{patient}/history?limit=1000");
    let is_signed = |history: &Value| history.to_string().contains("ConsentSigned");
    assert!(!is_signed(&scene.system.api.get(&history).await.ok()), "nothing was signed");

    // Signed in, one signs.
    let fresh = signed_in(&scene.system, &username, Some(clock::now()));
    sign(&fresh).await.ok();
    assert!(is_signed(&scene.system.api.get(&history).await.ok()));

    // To look at an allocation takes one, too, also where the blind was broken by it.
    let doctor = scene.member("doctor-701", "investigator");
    told_to_sign_in(scene.unblind(&signed_in(&scene.system, "doctor-701", Some(long_ago())), emergency()).await);
    scene.unblind(&doctor, emergency()).await.ok();
    // And once more in the same session, within the time.
    let within = signed_in(&scene.system, "doctor-701", Some(clock::now() - SIGNED_WITHIN + TimeDelta::minutes(1)));
    scene.unblind(&within, emergency()).await.ok();
    told_to_sign_in(scene.allocation(&signed_in(&scene.system, "doctor-701", Some(long_ago()))).await);
    scene.allocation(&doctor).await.ok();

    // That somebody tried is kept.
    let told = |page: &Value| {
        page["items"].as_array().is_some_and(|items| items.iter().any(|one| one["rule"] == "sign-in-again"))
    };
    scene.system.as_administrator().until("/v1/incidents", "the tries are listed", told).await;
}
