//! Finding what people named, and guarding a command by what was read.

use serde_json::{Value, json};

use crate::clinic::{Clinic, Plan};
use crate::system::System;

#[tokio::test]
async fn what_people_name_is_found_however_they_write_it() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (_, subject) = clinic.enrolled_subject().await;
    let submitted = clinic.phq9(subject, [1; 9]).await.ok();
    let at = &submitted["position"];
    let get = async |path: String| clinic.api.get(&path).await.ok();
    let number = get(format!("/v1/subjects/{subject}?at_least={at}")).await["subject_number"].clone();
    let number = number.as_str().expect("a number").to_owned();
    // Another case, and a blank that nobody sees.
    let written = [number.clone(), number.to_lowercase(), format!("{}%E2%80%8B{}", &number[..2], &number[2..])];
    for number in written {
        let found = get(format!("/v1/subjects?subject_number={number}&at_least={at}")).await;
        assert_eq!(found["items"][0]["subject_id"], json!(subject), "{number}");
    }
    assert_eq!(get(format!("/v1/subjects?subject_number=X{number}")).await["items"], json!([]));
    let found = get(format!("/v1/reports?instrument=phq-9&at_least={at}")).await;
    assert_eq!(found["items"][0]["instrument"], "PHQ-9");
    let trial = format!("/v1/trials/{}", clinic.trial);
    assert_eq!(get(format!("{trial}/questionnaires/phq-9")).await["instrument"], "PHQ-9");
    assert_eq!(get(format!("{trial}/questionnaires?instrument=Phq-9")).await["items"][0]["instrument"], "PHQ-9");
    let protocol = clinic.protocol().to_lowercase();
    for list in ["trials", "protocols"] {
        let found = get(format!("/v1/{list}?protocol={protocol}&at_least={at}")).await;
        assert_eq!(found["items"][0]["trial_id"], json!(clinic.trial), "{list}");
    }
}

#[tokio::test]
async fn an_act_of_consent_is_guarded_by_the_patients_tag_or_the_consents() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, other) = (clinic.patient(Some(40)).await, clinic.patient(Some(40)).await);
    let tag = async |path: String| {
        let response = clinic.api.get_raw(&path).await;
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.headers()["etag"].to_str().expect("text").to_owned()
    };
    for known in [patient, other] {
        clinic.api.until(&format!("/v1/patients/{known}"), "observed", |document| document["version"] == 2).await;
    }
    let of_patient = tag(format!("/v1/patients/{patient}")).await;
    let of_other = tag(format!("/v1/patients/{other}")).await;
    let form = json!({"trial_id": clinic.trial, "site_id": clinic.site, "form_version": "1.0", "language": "en"});
    let act = async |command: &str, body: &Value, tag: &str| {
        clinic.api.post_with(&format!("/v1/patients/{patient}/{command}"), body.clone(), &[("if-match", tag)]).await
    };
    act("present-consent-form", &form, &of_other).await.refused(412, "version-mismatch");
    let presented = act("present-consent-form", &form, &of_patient).await.ok();
    let consent = presented["stream"]["id"].as_str().expect("an id").to_owned();
    let of_consent = tag(format!("/v1/consents/{consent}?at_least={}", presented["position"])).await;
    let sign = json!({"trial_id": clinic.trial, "form_version": "1.0", "language": "en"});
    for stale in [of_other.as_str(), "\"1-ffffffffffff-0\"", "\"1-zzz\"", "\"9\""] {
        act("sign-consent", &sign, stale).await.refused(412, "version-mismatch");
    }
    act("sign-consent", &sign, &of_consent).await.ok();
    let withdraw = json!({"trial_id": clinic.trial, "scope": "further-data"});
    act("withdraw-consent", &withdraw, &of_consent).await.refused(412, "version-mismatch");
    // Nothing happened to the patient's own record meanwhile.
    act("withdraw-consent", &withdraw, &of_patient).await.ok();
}
