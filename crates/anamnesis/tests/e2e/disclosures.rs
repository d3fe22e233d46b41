//! Who a person is: masked everywhere, shown for a stated purpose to who may see it, and recorded before it is.

use events::ids::{AccountId, StreamKey as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Answer, Api};
use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

const NAME: &str = "Solveig Markerud";
const NATIONAL_ID: &str = "09034812345";
const MOBILE: &str = "+4791234567";
const PURPOSE: &str = "Call the participant about the visit of tomorrow";

struct Scene {
    system: System,
    clinic: Clinic,
    patient: Uuid,
}

impl Scene {
    async fn new() -> Self {
        let system = System::embedded().await;
        let clinic = Clinic::open(&system.api, Plan::default()).await;
        let patient = fresh();
        let person = json!({"name": NAME, "national_id": NATIONAL_ID, "mobile": MOBILE, "birth_date": "1948-03-09",
            "sex": "F", "site_id": clinic.site});
        clinic.patient_command(patient, "register-patient", person).await.ok();
        Self { system, clinic, patient }
    }

    fn member(&self, username: &str, role: &str) -> Api {
        let (trial, site) = (self.clinic.trial.to_string(), self.clinic.site.to_string());
        self.system.as_member(username, role, &["--trial", &trial, "--site", &site])
    }

    async fn disclosures(&self, count: usize) -> Vec<Value> {
        let path = format!("/v1/disclosures?patient_id={}&sort=-disclosed_at", self.patient);
        let auditor = self.system.as_role("auditor");
        let all = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() >= count);
        let page = auditor.until(&path, "every disclosure is listed", all).await;
        page["items"].as_array().expect("disclosures").clone()
    }
}

async fn asked(api: &Api, path: &str, purpose: Option<&str>) -> Answer {
    let mut request = api.request(reqwest::Method::GET, path);
    if let Some(purpose) = purpose {
        request = request.header("anamnesis-purpose", purpose);
    }
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

#[tokio::test]
async fn r14_r26_who_a_person_is_is_shown_for_a_purpose_and_that_it_was_is_listed() {
    let scene = Scene::new().await;
    let path = format!("/v1/patients/{}/identity", scene.patient);
    let nurse = scene.member("nurse-701", "coordinator");
    asked(&nurse, &path, None).await.refused(400, "missing");
    let identity = asked(&nurse, &path, Some(PURPOSE)).await.ok();
    assert_eq!((&identity["name"], &identity["national_id"]), (&json!(NAME), &json!(NATIONAL_ID)), "{identity:#}");
    let listed = scene.disclosures(1).await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!((&listed[0]["username"], &listed[0]["purpose"]), (&json!("nurse-701"), &json!(PURPOSE)), "{listed:#?}");
    assert_eq!((&listed[0]["role"], &listed[0]["kind"]), (&json!("coordinator"), &json!("identity")), "{listed:#?}");

    // Whose work does not need it is not shown it, and nothing is recorded as if it were.
    for role in ["monitor", "sponsor", "auditor", "medical-monitor", "unblinded-statistician", "administrator"] {
        asked(&scene.system.as_role(role), &path, Some(PURPOSE)).await.refused(403, "not-unmasked");
    }
    let stranger = scene.system.as_participant(scene.clinic.patient(None).await);
    asked(&stranger, &path, Some(PURPOSE)).await.refused(404, "not-found");
    asked(&scene.system.as_participant(scene.patient), &path, Some("My own data")).await.ok();
    assert_eq!(scene.disclosures(2).await.len(), 2);
}

#[tokio::test]
async fn histories_are_masked_unless_a_purpose_is_said_and_copies_are_listed() {
    let scene = Scene::new().await;
    let path = format!("/v1/patients/{}/history", scene.patient);
    let doctor = scene.member("doctor-701", "investigator");
    let masked = asked(&doctor, &path, None).await.ok();
    let person = &masked["items"][0]["payload"];
    let shown = [&person["name"], &person["national_id"], &person["mobile"], &person["birth_date"], &person["sex"]];
    assert_eq!(shown, [&json!("S*"), &json!("*"), &json!("+479****567"), &json!("1948"), &json!("F")], "{person:#}");
    for (path, who) in [(path.clone(), "history"), (format!("/v1/patients/{}/state", scene.patient), "state")] {
        for api in [&doctor, &scene.system.as_administrator(), &scene.system.as_role("auditor")] {
            let text = asked(api, &path, None).await.ok().to_string();
            for marker in [NAME, NATIONAL_ID, MOBILE, "1948-03-09"] {
                assert!(!text.contains(marker), "{who}: {text}");
            }
        }
    }
    asked(&doctor, &format!("{path}?unmasked=true"), None).await.refused(400, "missing");
    let unmasked = asked(&doctor, &format!("{path}?unmasked=true"), Some("Transfer to another site")).await.ok();
    assert_eq!(unmasked["items"][0]["payload"]["name"], NAME);
    asked(&scene.system.as_role("sponsor"), &format!("{path}?unmasked=true"), Some("x"))
        .await
        .refused(403, "not-unmasked");

    // A copy is listed also where it is masked.
    let copy = asked(&scene.system.as_role("monitor"), &format!("{path}/export"), None).await;
    assert!(copy.status.is_success() && !copy.body.to_string().contains(NAME), "{:#}", copy.body);
    let listed = scene.disclosures(2).await;
    let told: Vec<_> = listed.iter().map(|one| (one["kind"].clone(), one["unmasked"].clone())).collect();
    assert_eq!(told, [(json!("export"), json!(false)), (json!("history"), json!(true))], "{listed:#?}");
}

#[tokio::test]
async fn a_person_is_registered_once_and_found_by_who_admits_them() {
    let scene = Scene::new().await;
    let twin = json!({"national_id": "090348-12345", "site_id": scene.clinic.site});
    let refused = scene.clinic.patient_command(fresh(), "register-patient", twin).await;
    refused.refused(422, "national-id-registered");
    // Whoever tries out who is registered is on record.
    let told = |page: &Value| {
        page["items"].as_array().is_some_and(|items| items.iter().any(|one| one["rule"] == "national-id-registered"))
    };
    scene.system.as_administrator().until("/v1/incidents?kind=telling-refusal", "it is recorded", told).await;
    let elsewhere = Clinic::open(&scene.system.api, Plan::default()).await;
    let (trial, site) = (elsewhere.trial.to_string(), elsewhere.site.to_string());
    let nurse = scene.system.as_member("nurse-elsewhere", "coordinator", &["--trial", &trial, "--site", &site]);
    let found = async |api: &Api, number: &str, purpose: Option<&str>| {
        let mut request = api.request(reqwest::Method::GET, "/v1/patients/by-national-id");
        request = request.header("anamnesis-national-id", number);
        if let Some(purpose) = purpose {
            request = request.header("anamnesis-purpose", purpose);
        }
        let response = request.send().await.expect("an answer");
        let (status, text) = (response.status(), response.text().await.expect("a body"));
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    };
    found(&nurse, NATIONAL_ID, None).await.refused(400, "missing");
    found(&nurse, "--", Some("Admission")).await.refused(400, "malformed");
    found(&nurse, "11111111111", Some("Admission")).await.refused(404, "not-found");
    found(&scene.system.as_role("sponsor"), NATIONAL_ID, Some("Curious")).await.refused(403, "not-unmasked");
    let participant = scene.system.as_participant(scene.patient);
    found(&participant, NATIONAL_ID, Some("Myself")).await.refused(403, "not-unmasked");
    let answer = found(&nurse, "090348 12345", Some("Admission")).await.ok();
    assert_eq!(answer["patient_id"], scene.patient.to_string());
    let listed = scene.disclosures(1).await;
    assert_eq!(
        (&listed[0]["kind"], &listed[0]["username"]),
        (&json!("search"), &json!("nurse-elsewhere")),
        "{listed:#?}"
    );
    // Out of sight until the person is admitted there.
    let path = format!("/v1/patients/{}/history", scene.patient);
    asked(&nurse, &path, None).await.refused(404, "not-found");
    let admit = json!({"site_id": elsewhere.site, "national_id": NATIONAL_ID});
    nurse.post(&format!("/v1/patients/{}/admit-patient", scene.patient), admit).await.ok();
    asked(&nurse, &path, None).await.ok();
    // By whom they were registered is not told there.
    let person = nurse.get(&format!("/v1/patients/{}", scene.patient)).await.ok();
    assert_eq!((&person["patient_id"], &person["site_id"]), (&json!(scene.patient), &Value::Null), "{person:#}");
    let text = person.to_string();
    assert!(
        !text.contains(&scene.clinic.site.to_string()) && !text.contains(&scene.clinic.trial.to_string()),
        "{text}"
    );

    // A number that was recorded by mistake is free again.
    let corrected = json!({"national_id": "09034854321", "reason": "Two digits were swapped"});
    scene.clinic.patient_command(scene.patient, "correct-demographics", corrected).await.ok();
    found(&nurse, NATIONAL_ID, Some("Admission")).await.refused(404, "not-found");
    let other = json!({"national_id": NATIONAL_ID, "site_id": scene.clinic.site});
    scene.clinic.patient_command(fresh(), "register-patient", other).await.ok();
}

#[tokio::test]
async fn to_whom_less_than_care_is_delegated_nobody_is_shown() {
    let scene = Scene::new().await;
    let doctor = scene.member("doctor-701", "investigator");
    scene.system.open_account("helper-701", &[]);
    let helper = scene.system.api.with_token(Some(scene.system.token("helper-701", &[])));
    let account = AccountId::of("helper-701").stream().id;
    let path = format!("/v1/patients/{}/identity", scene.patient);
    for (duty, status) in [("safety", 403), ("site-work", 200)] {
        let duties = json!({"site_id": scene.clinic.site, "duties": [duty]});
        doctor.post(&format!("/v1/accounts/{account}/delegate-duties"), duties).await.ok();
        assert_eq!(asked(&helper, &path, Some(PURPOSE)).await.status, status, "{duty}");
    }
    // Who has another role is no site's staff, whoever says so.
    let sponsor = AccountId::of("test-sponsor").stream().id;
    scene.system.as_role("sponsor");
    let duties = json!({"site_id": scene.clinic.site, "duties": ["site-work"]});
    let refused = doctor.post(&format!("/v1/accounts/{sponsor}/delegate-duties"), duties).await;
    refused.refused(422, "account-not-of-a-site");
}
