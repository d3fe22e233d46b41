//! The clinic that the courses play in.

use chrono::{DateTime, Utc};
use domain::commands::COMMANDS;
use event_store::Store;
use event_store::execute::{Executor, Precondition, Request};
use event_store::log::{Expected, Write};
use events::envelope::{Actor, NewEvent, References, Role};
use events::ids::{AlertId, PatientId, SiteId, StreamKey, SubjectId, TrialId};
use events::safety::alert::{AlertEvent, AlertRaised, Severity};
use serde_json::{Value, json};
use testkit::appends::{of_writes, some_time};
use testkit::stores;
use uuid::Uuid;

const TRIAL: u128 = 0x10;
pub const SITE: u128 = 0x20;
/// The trace that people's commands belong to.
pub const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A trial with a site that has one place, and what people do there.
pub struct Clinic {
    store: Store,
    /// What carries the commands out.
    pub executor: Executor,
}

impl Clinic {
    pub async fn new(store: Store) -> Self {
        let executor = stores::executor(&store).await;
        Self::with(store, executor)
    }

    /// With what carries commands out, and keeps what it wrote.
    pub const fn with(store: Store, executor: Executor) -> Self {
        Self { store, executor }
    }

    pub async fn open_trial(&self) {
        let trial = json!({"protocol": "T-1", "title": "T", "blinding": "open-label", "planned_enrolment": 10});
        self.send("RegisterTrial", TRIAL, trial).await;
        self.send("AddArm", TRIAL, json!({"code": "A", "name": "Arm"})).await;
        let adult = json!({"code": "I1", "text": "Adult", "category": "inclusion",
            "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}});
        self.send("DefineEligibility", TRIAL, json!({"criteria": [adult]})).await;
        let text_sha256 = "0".repeat(64);
        let form =
            json!({"form_version": "1", "language": "en", "text_sha256": text_sha256, "effective_on": "2020-01-01"});
        self.send("PublishConsentForm", TRIAL, form).await;
        self.send("DefineQuestionnaire", TRIAL, json!({"questionnaire": {"instrument": "PHQ-9"}})).await;
        let site = json!({"trial_id": trial_id(), "code": "701", "name": "Hospital"});
        self.send("RegisterSite", SITE, site).await;
        self.send("ActivateSite", SITE, json!({"enrolment_cap": 1, "investigator": "dr"})).await;
        self.send("OpenEnrolment", TRIAL, json!({})).await;
    }

    async fn prepare(&self, patient: u128, age: Option<u32>) {
        self.send("RegisterPatient", patient, json!({})).await;
        if let Some(age) = age {
            self.send("RecordObservation", patient, json!({"code": "AGE", "value": age})).await;
        }
        let site_id = SiteId::from(Uuid::from_u128(SITE));
        let present = json!({"trial_id": trial(), "site_id": site_id, "form_version": "1", "language": "en"});
        self.send("PresentConsentForm", patient, present).await;
    }

    pub async fn sign(&self, patient: u128, age: Option<u32>) {
        self.prepare(patient, age).await;
        self.send("SignConsent", patient, json!({"trial_id": trial(), "form_version": "1", "language": "en"})).await;
    }

    /// Has somebody sign at a time that has gone by.
    pub async fn sign_at(&self, patient: u128, time: DateTime<Utc>) {
        self.send("RegisterPatient", patient, json!({})).await;
        let site_id = SiteId::from(Uuid::from_u128(SITE));
        let form = json!({"trial_id": trial(), "form_version": "1", "language": "en"});
        let (mut present, mut sign) = (form.clone(), form);
        (present["site_id"], present["occurred_at"], sign["signed_at"]) = (json!(site_id), json!(time), json!(time));
        self.send("PresentConsentForm", patient, present).await;
        self.send("SignConsent", patient, sign).await;
    }

    /// Screens and enrols a patient who has signed, as people do where nothing follows by itself.
    pub async fn enrol(&self, patient: u128) {
        self.screen(patient, None).await;
        let subject = subject(patient).uuid().as_u128();
        self.send("RecordEligibility", subject, json!({})).await;
        self.send("EnrolSubject", subject, json!({})).await;
    }

    /// Screens a patient who has signed, now or at a time.
    pub async fn screen(&self, patient: u128, occurred_at: Option<DateTime<Utc>>) {
        self.send("ScreenPatient", patient, json!({"trial_id": trial(), "occurred_at": occurred_at})).await;
    }

    /// An alert whose time to be acknowledged has run out.
    pub async fn overdue_alert(&self, patient: u128) {
        let source = PatientId::from(Uuid::from_u128(patient)).stream();
        let source_event_id = Uuid::from_u128(0x40);
        let (site_id, patient_id) = (SiteId::from(Uuid::from_u128(SITE)), PatientId::from(Uuid::from_u128(patient)));
        let raised = AlertEvent::from(AlertRaised {
            source_event_id,
            source,
            rule: "overdue".to_owned(),
            severity: Severity::High,
            finding: "Something".to_owned(),
            subject_id: subject(patient),
            trial_id: trial_id(),
            site_id,
            patient_id,
            recipients: vec![Role::Investigator],
            acknowledge_by: Some(some_time()),
            acknowledge_within_minutes: 60,
            historical: false,
        });
        let references = References::subject(trial_id(), site_id, patient_id);
        let event = NewEvent::of(&raised, some_time(), references);
        let stream = AlertId::of(source_event_id, "overdue").stream();
        let write = Write { stream, expected: Expected::NoStream, events: vec![event] };
        self.store.log.append(of_writes(vec![write])).await.expect("an alert");
    }

    pub async fn send(&self, name: &str, target: u128, body: Value) {
        let spec = COMMANDS.iter().find(|spec| spec.name == name).expect("a command");
        let command = (spec.parse)(Uuid::from_u128(target), body.to_string().as_bytes()).expect("a body");
        let request = Request {
            command_id: Uuid::now_v7(),
            fingerprint: [0; 32],
            actor: Actor::system("course"),
            target: command.target(),
            creates: false,
            if_match: Precondition::None,
            correlation_id: None,
            causation_id: None,
            trace_context: Some(TRACE.to_owned()),
            keep_refusal: false,
            target_named: true,
        };
        self.executor.execute(&request, &command).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

pub fn trial_id() -> TrialId {
    TrialId::from(Uuid::from_u128(TRIAL))
}

pub fn trial() -> Value {
    json!(trial_id())
}

pub fn subject(patient: u128) -> SubjectId {
    SubjectId::of(PatientId::from(Uuid::from_u128(patient)), trial_id())
}
