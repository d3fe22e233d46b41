//! A small trial with one site and one participant of whom everything is on record, and every command spoken to it: for
//! tests that walk the list of commands.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::commands::{COMMANDS, CommandSpec};
use events::ids::{AccountId, AlertId, DeviceId, PatientId, StreamKey as _, StreamType, SubjectId, TrialId};
use serde_json::{Value, json};
use uuid::Uuid;

/// The bodies that the interface document shows, by command.
static EXAMPLES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../codegen/examples/commands.json")).expect("examples are JSON")
});

/// The rule of PHQ-9 by which what the participant says raises an alert.
const RULE: &str = "phq9-item9";

/// Ids of everything at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trial.
    pub trial: Uuid,
    /// The site.
    pub site: Uuid,
    /// The participant, as a person.
    pub patient: Uuid,
    /// A report of theirs.
    pub report: Uuid,
    /// An adverse event of theirs.
    pub adverse_event: Uuid,
    /// A visit of theirs.
    pub visit: Uuid,
    /// An alert about them.
    pub alert: Uuid,
    /// An account that holds nothing there.
    pub account: Uuid,
}

/// A command that was spoken to something.
pub struct Spoken {
    /// The command.
    pub spec: &'static CommandSpec,
    /// To what.
    pub target: Uuid,
    /// Its body.
    pub body: Value,
}

impl Place {
    /// A place, its ids made by `id`.
    pub fn new(mut id: impl FnMut() -> Uuid) -> Self {
        let (trial, site, patient, report) = (id(), id(), id(), id());
        let account = AccountId::of(&format!("bystander-{site}")).stream().id;
        // The report stands for the event that tells of it.
        let alert = AlertId::of(report, RULE).stream().id;
        Self { trial, site, patient, report, adverse_event: id(), visit: id(), alert, account }
    }

    /// A further site of the trial, with a participant of its own.
    #[must_use]
    pub fn sibling(&self, id: impl FnMut() -> Uuid) -> Self {
        Self { trial: self.trial, ..Self::new(id) }
    }

    /// The participant, as subject of the trial.
    pub fn subject(&self) -> Uuid {
        SubjectId::of(PatientId::from(self.patient), TrialId::from(self.trial)).stream().id
    }

    /// The wearable that the participant has, by the name that the examples give it.
    pub fn device(&self) -> Uuid {
        DeviceId::of(TrialId::from(self.trial), &self.device_name()).stream().id
    }

    fn device_name(&self) -> String {
        format!("W-{}", self.patient.simple())
    }

    /// The person's national id.
    pub fn national_id(&self) -> String {
        format!("N{}", self.patient.simple())
    }

    /// The username of the account there.
    pub fn username(&self) -> String {
        format!("bystander-{}", self.site)
    }

    /// What of this kind is there; some id where nothing is.
    pub fn of_kind(&self, kind: StreamType) -> Uuid {
        match kind {
            StreamType::Trial => self.trial,
            StreamType::Site => self.site,
            StreamType::Patient | StreamType::Consent => self.patient,
            StreamType::Subject => self.subject(),
            StreamType::Report => self.report,
            StreamType::AdverseEvent => self.adverse_event,
            StreamType::Visit => self.visit,
            StreamType::Alert => self.alert,
            StreamType::Account => self.account,
            StreamType::Device => self.device(),
            StreamType::ProtocolNumber
            | StreamType::NationalId
            | StreamType::Enrolment
            | StreamType::Casebook
            | StreamType::Notification
            | StreamType::Message
            | StreamType::Article
            | StreamType::Identity
            | StreamType::Incident
            | StreamType::Disclosure
            | StreamType::DeadLetter => self.alert,
        }
    }

    /// A command's body as the interface document shows it, about what is there.
    ///
    /// # Panics
    /// Where the command has no example.
    pub fn body(&self, command: &str) -> Value {
        let mut body = EXAMPLES.get(command).unwrap_or_else(|| panic!("{command} has no example")).clone();
        self.settle(&mut body);
        match command {
            "RegisterPatient" => {
                body["site_id"] = json!(self.site);
                body["national_id"] = json!(self.national_id());
            }
            "AdmitPatient" => body["national_id"] = json!(self.national_id()),
            "RegisterAccount" => body = json!({"username": self.username()}),
            "RegisterTrial" => {
                body["protocol"] = json!(format!("P-{}", self.trial.simple()));
                body["enrolment_mode"] = json!("manual");
            }
            "RegisterSite" => body["code"] = json!(format!("S{}", self.site.simple())),
            "AssignDevice" => body["device"] = json!(self.device_name()),
            "RaiseAlert" => {
                body["source_event_id"] = json!(self.report);
                body["source"]["id"] = json!(self.report);
                body["rule"] = json!(RULE);
            }
            _ => {}
        }
        body
    }

    /// Has the ids in a body be those of the place.
    fn settle(&self, body: &mut Value) {
        let Some(fields) = body.as_object_mut() else { return };
        for (name, value) in fields {
            match name.as_str() {
                "trial_id" => *value = json!(self.trial),
                "site_id" => *value = json!(self.site),
                "patient_id" => *value = json!(self.patient),
                "subject_id" => *value = json!(self.subject()),
                _ => self.settle(value),
            }
        }
    }

    /// A command to what is there.
    ///
    /// # Panics
    /// Where there is no such command.
    pub fn spoken(&self, command: &str) -> Spoken {
        let spec = COMMANDS.iter().find(|spec| spec.name == command);
        let spec = spec.unwrap_or_else(|| panic!("there is no command {command}"));
        Spoken { spec, target: self.of_kind(spec.target), body: self.body(command) }
    }

    fn spoken_with(&self, command: &str, body: Value) -> Spoken {
        Spoken { body, ..self.spoken(command) }
    }

    /// Registers and opens the trial, with this place as its first site.
    pub fn opening(&self) -> Vec<Spoken> {
        let criterion = json!({"code": "INCL01", "text": "At least 18 years old", "category": "inclusion",
            "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}});
        let mut all = vec![self.spoken("RegisterTrial"), self.spoken("AddArm")];
        all.push(self.spoken_with("DefineEligibility", json!({"criteria": [criterion]})));
        let form = super::given::with(self.body("PublishConsentForm"), &json!({"effective_on": "2020-01-01"}));
        all.push(self.spoken_with("PublishConsentForm", form));
        let instrument = json!({"questionnaire": {"instrument": "PHQ-9"}});
        all.push(self.spoken_with("DefineQuestionnaire", instrument));
        all.push(self.spoken("DefineReadingRules"));
        all.extend([self.spoken("RegisterSite"), self.spoken("ActivateSite"), self.spoken("OpenEnrolment")]);
        all
    }

    /// Registers the place as a further site of a trial that is open.
    pub fn joining(&self) -> Vec<Spoken> {
        vec![self.spoken("RegisterSite"), self.spoken("ActivateSite")]
    }

    /// Has somebody take part: what is said of them raises an alert.
    pub fn populating(&self) -> Vec<Spoken> {
        let age = json!({"code": "AGE", "value": 40});
        let report = json!({"subject_id": self.subject(), "instrument": "PHQ-9",
            "answers": {"PHQ0101": 3, "PHQ0109": 2}});
        let came = json!({"subject_id": self.subject(), "visit": "WEEK 2", "attended_on": "2026-01-20"});
        let sick = json!({"subject_id": self.subject(), "term": "Headache", "severity": "mild", "serious": false});
        vec![
            self.spoken("RegisterAccount"),
            self.spoken("RegisterPatient"),
            self.spoken_with("RecordObservation", age),
            self.spoken("PresentConsentForm"),
            self.spoken("SignConsent"),
            self.spoken("ScreenPatient"),
            self.spoken_with("RecordEligibility", json!({})),
            self.spoken("EnrolSubject"),
            self.spoken_with("SubmitReport", report),
            self.spoken_with("RecordVisit", came),
            self.spoken_with("ReportAdverseEvent", sick),
            self.spoken("AssignDevice"),
        ]
    }
}

impl Spoken {
    /// The command's address.
    pub fn path(&self) -> String {
        format!("/v1/{}/{}/{}", self.spec.collection, self.target, self.spec.path)
    }
}
