//! A small trial to play scenarios in.

use events::ids::{PatientId, StreamKey, SubjectId, TrialId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Answer, Api};

/// SHA-256 of the consent form's text; any 64 hexadecimal digits do.
const FORM_SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// An open trial with one active site.
pub struct Clinic {
    pub api: Api,
    pub trial: Uuid,
    pub site: Uuid,
}

/// How a clinic is set up.
pub struct Plan {
    pub planned_enrolment: u32,
    pub enrolment_cap: u32,
    pub enrolment_mode: &'static str,
    pub blinding: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self { planned_enrolment: 100, enrolment_cap: 100, enrolment_mode: "automatic", blinding: "double-blind" }
    }
}

/// A fresh id; made at the edge, as a client does.
#[expect(clippy::disallowed_methods, reason = "a test's client makes its own ids")]
pub fn fresh() -> Uuid {
    Uuid::new_v4()
}

impl Clinic {
    /// Registers and opens a trial whose participants must be at least 18 years old by observation.
    pub async fn open(api: &Api, plan: Plan) -> Self {
        let clinic = Self { api: api.clone(), trial: fresh(), site: fresh() };
        let protocol = clinic.protocol();
        let trial = |command: &str| format!("/v1/trials/{}/{command}", clinic.trial);
        let site = |command: &str| format!("/v1/sites/{}/{command}", clinic.site);
        let post = async |path: String, body: Value| api.post(&path, body).await.ok();
        post(
            trial("register-trial"),
            json!({"protocol": protocol, "title": "A trial of trials", "blinding": plan.blinding,
                   "planned_enrolment": plan.planned_enrolment, "enrolment_mode": plan.enrolment_mode}),
        )
        .await;
        post(trial("add-arm"), json!({"code": "ARMPLACEBO", "name": "Placebo"})).await;
        post(trial("add-arm"), json!({"code": "ARMACTIVE", "name": "Active"})).await;
        let adult = json!({"code": "INCL01", "text": "At least 18 years old", "category": "inclusion",
            "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}});
        post(trial("define-eligibility"), json!({"criteria": [adult]})).await;
        post(
            trial("publish-consent-form"),
            json!({"form_version": "1.0", "language": "en", "text_sha256": FORM_SHA256, "effective_on": "2020-01-01"}),
        )
        .await;
        post(trial("define-questionnaire"), json!({"questionnaire": {"instrument": "PHQ-9"}})).await;
        post(
            site("register-site"),
            json!({"trial_id": clinic.trial, "code": "701", "name": "General Hospital", "country": "NOR"}),
        )
        .await;
        post(site("activate-site"), json!({"enrolment_cap": plan.enrolment_cap, "investigator": "dr-701"})).await;
        post(trial("open-enrolment"), json!({})).await;
        clinic
    }

    /// The trial's protocol number.
    pub fn protocol(&self) -> String {
        format!("E2E-{}", self.trial.simple())
    }

    /// Registers a patient of this age, by observation.
    pub async fn patient(&self, age: Option<u32>) -> Uuid {
        let patient = fresh();
        let body = json!({"sex": "F", "site_id": self.site});
        self.patient_command(patient, "register-patient", body).await.ok();
        if let Some(age) = age {
            self.patient_command(patient, "record-observation", json!({"code": "AGE", "value": age, "unit": "a"}))
                .await
                .ok();
        }
        patient
    }

    /// Presents the consent form.
    pub async fn present(&self, patient: Uuid) -> Value {
        let body = json!({"trial_id": self.trial, "site_id": self.site, "form_version": "1.0", "language": "en"});
        self.patient_command(patient, "present-consent-form", body).await.ok()
    }

    /// Signs the consent form.
    pub async fn sign(&self, patient: Uuid) -> Answer {
        let body = json!({"trial_id": self.trial, "form_version": "1.0", "language": "en"});
        self.patient_command(patient, "sign-consent", body).await
    }

    /// Registers a patient, has the consent signed, and waits until the process manager enrolled the subject.
    pub async fn enrolled_subject(&self) -> (Uuid, Uuid) {
        let patient = self.patient(Some(40)).await;
        self.present(patient).await;
        self.sign(patient).await.ok();
        let subject = self.subject(patient);
        self.api.until(&format!("/v1/subjects/{subject}"), "enrolled", |subject| subject["status"] == "enrolled").await;
        (patient, subject)
    }

    /// Enrols and randomises a subject.
    pub async fn randomised_subject(&self, arm: &str) -> (Uuid, Uuid) {
        let (patient, subject) = self.enrolled_subject().await;
        self.subject_command(subject, "randomise-subject", json!({"arm": arm})).await.ok();
        (patient, subject)
    }

    /// The subject that the patient is in this trial.
    pub fn subject(&self, patient: Uuid) -> Uuid {
        SubjectId::of(PatientId::from(patient), TrialId::from(self.trial)).stream().id
    }

    /// Sends a command to a patient.
    pub async fn patient_command(&self, patient: Uuid, command: &str, body: Value) -> Answer {
        self.api.post(&format!("/v1/patients/{patient}/{command}"), body).await
    }

    /// Sends a command to a subject.
    pub async fn subject_command(&self, subject: Uuid, command: &str, body: Value) -> Answer {
        self.api.post(&format!("/v1/subjects/{subject}/{command}"), body).await
    }

    /// Submits a PHQ-9 whose nine answers are given.
    pub async fn phq9(&self, subject: Uuid, answers: [u8; 9]) -> Answer {
        let answers: serde_json::Map<String, Value> =
            answers.iter().enumerate().map(|(index, answer)| (format!("PHQ010{}", index + 1), json!(answer))).collect();
        let body = json!({"subject_id": subject, "instrument": "PHQ-9", "answers": answers});
        self.api.post(&format!("/v1/reports/{}/submit-report", fresh()), body).await
    }

    /// The trial's enrolment figures.
    pub async fn enrolment(&self) -> Value {
        self.api.get(&format!("/v1/trials/{}/enrolment", self.trial)).await.ok()
    }

    /// Waits until the enrolment figures satisfy `condition`, and the subjects' view is as far: none waits for another.
    pub async fn enrolment_until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let figures = self.api.until(&format!("/v1/trials/{}/enrolment", self.trial), what, condition).await;
        let position = self.api.get("/v1/trials?limit=1").await.ok()["position"].clone();
        self.api.get(&format!("/v1/subjects?limit=1&at_least={position}")).await.ok();
        figures
    }
}
