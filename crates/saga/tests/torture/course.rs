//! A course in which every process manager has something to do, and every one of their ways is taken.

use std::collections::BTreeMap;

use domain::commands::COMMANDS;
use event_store::Store;
use event_store::execute::{Executor, ExecutorOptions, Request};
use event_store::log::{Expected, Write};
use events::envelope::{Actor, NewEvent, References, Role};
use events::ids::{AlertId, PatientId, SiteId, StreamKey, SubjectId, TrialId};
use events::safety::alert::{AlertEvent, AlertRaised, Severity};
use events::set::EventSet;
use serde_json::{Value, json};
use testkit::appends::{of_writes, some_time};
use uuid::Uuid;

const TRIAL: u128 = 0x10;
const SITE: u128 = 0x20;
const REPORT: u128 = 0x30;

/// The patients by what becomes of them.
const ENROLLED: u128 = 0x101;
const WITHOUT_PLACE: u128 = 0x102;
const TOO_YOUNG: u128 = 0x103;
const OF_UNKNOWN_AGE: u128 = 0x104;
const SIGNED_TOO_LATE: u128 = 0x105;

pub struct Course {
    store: Store,
    executor: Executor,
}

impl Course {
    pub const PHASES: usize = 4;
    /// The phase that the process managers only hear of when it is over.
    pub const BEHIND: usize = 3;

    pub fn new(store: Store) -> Self {
        let executor = Executor::new(store.log.clone(), ExecutorOptions::default());
        Self { store, executor }
    }

    /// Plays one phase; the next comes when the process managers are done with it.
    pub async fn play(&self, phase: usize) {
        match phase {
            0 => {
                self.open_trial().await;
                self.sign(ENROLLED, Some(40)).await;
                self.sign(TOO_YOUNG, Some(12)).await;
                self.sign(OF_UNKNOWN_AGE, None).await;
            }
            1 => {
                self.sign(WITHOUT_PLACE, Some(40)).await;
                let answers: BTreeMap<String, u8> = (1..=9).map(|item| (format!("PHQ9_{item}"), 3)).collect();
                let report = json!({"subject_id": subject(ENROLLED), "instrument": "PHQ-9", "answers": answers});
                self.send("SubmitReport", REPORT, report).await;
                let observed = json!({"code": "AGE", "value": 50});
                self.send("RecordObservation", OF_UNKNOWN_AGE, observed).await;
            }
            2 => {
                let withdraw = json!({"trial_id": trial(), "scope": "further-data"});
                self.send("WithdrawConsent", ENROLLED, withdraw).await;
                self.overdue_alert().await;
            }
            _ => {
                // The site is suspended between the signature and what follows from it.
                self.sign(SIGNED_TOO_LATE, Some(40)).await;
                self.send("SuspendSite", SITE, json!({"reason": "Audit"})).await;
            }
        }
    }

    async fn open_trial(&self) {
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

    async fn sign(&self, patient: u128, age: Option<u32>) {
        self.prepare(patient, age).await;
        self.send("SignConsent", patient, json!({"trial_id": trial(), "form_version": "1", "language": "en"})).await;
    }

    /// An alert whose time to be acknowledged has run out.
    async fn overdue_alert(&self) {
        let source = PatientId::from(Uuid::from_u128(ENROLLED)).stream();
        let source_event_id = Uuid::from_u128(0x40);
        let (site_id, patient_id) = (SiteId::from(Uuid::from_u128(SITE)), PatientId::from(Uuid::from_u128(ENROLLED)));
        let raised = AlertEvent::from(AlertRaised {
            source_event_id,
            source,
            rule: "overdue".to_owned(),
            severity: Severity::High,
            finding: "Something".to_owned(),
            subject_id: subject(ENROLLED),
            trial_id: trial_id(),
            site_id,
            patient_id,
            recipients: vec![Role::Investigator],
            acknowledge_by: some_time(),
            acknowledge_within_minutes: 60,
        });
        let event = NewEvent {
            event_type: raised.event_type(),
            schema_version: raised.schema_version(),
            payload: raised.encode(),
            occurred_at: some_time(),
            references: References::subject(trial_id(), site_id, patient_id),
            typed: None,
        };
        let stream = AlertId::of(source_event_id, "overdue").stream();
        let write = Write { stream, expected: Expected::NoStream, events: vec![event] };
        self.store.log.append(of_writes(vec![write])).await.expect("an alert");
    }

    async fn send(&self, name: &str, target: u128, body: Value) {
        let spec = COMMANDS.iter().find(|spec| spec.name == name).expect("a command");
        let command = (spec.parse)(Uuid::from_u128(target), body.to_string().as_bytes()).expect("a body");
        let request = Request {
            command_id: Uuid::now_v7(),
            fingerprint: [0; 32],
            actor: Actor::system("course"),
            target: command.target(),
            creates: false,
            if_match: None,
            correlation_id: None,
            causation_id: None,
            trace_context: None,
        };
        self.executor.execute(&request, &command).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

fn trial_id() -> TrialId {
    TrialId::from(Uuid::from_u128(TRIAL))
}

fn trial() -> Value {
    json!(trial_id())
}

fn subject(patient: u128) -> SubjectId {
    SubjectId::of(PatientId::from(Uuid::from_u128(patient)), trial_id())
}

/// That every way was taken.
pub fn check(events: &BTreeMap<String, usize>) {
    let count = |event_type: &str| events.get(event_type).copied().unwrap_or(0);
    assert_eq!((count("PatientScreened"), count("SubjectEnrolled")), (4, 1), "{events:?}");
    assert_eq!((count("ScreeningFailed"), count("EligibilityRecorded")), (3, 5), "{events:?}");
    assert_eq!((count("SubjectDiscontinued"), count("PlaceReleased")), (1, 1), "{events:?}");
    assert_eq!((count("AlertRaised"), count("AlertEscalated")), (3, 1), "{events:?}");
    // Three alerts, one escalation to two roles, one withdrawal, one enrolment on hold.
    assert_eq!(count("NotificationRequested"), 7, "{events:?}");
    assert_eq!(count("StepDeadLettered"), 0, "{events:?}");
}
