//! An instance of a process manager, as it is kept and as it is shown.

use chrono::{DateTime, Utc};
use event_store::sagas::VIEW;
use event_store::views::{Column, ColumnKind, ColumnValue, ViewRow, ViewSchema};
use events::Misfit;
use events::envelope::{Envelope, References};
use events::ids::{PatientId, TrialId, derive_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Steps of an instance that are shown; older ones are in the log.
const SHOWN_STEPS_MAX: usize = 50;

/// The status of an instance that goes on.
pub const RUNNING: &str = "running";
/// The status of one that has ended.
pub const FINISHED: &str = "finished";
/// The status of one that cannot be folded: a new version of its process manager takes it up again.
pub const STUCK: &str = "stuck";

/// The view that holds the instances.
pub const SCHEMA: ViewSchema = ViewSchema {
    name: VIEW,
    version: 1,
    columns: &[
        Column { name: "saga", kind: ColumnKind::Text },
        Column { name: "status", kind: ColumnKind::Text },
        Column { name: "trial_id", kind: ColumnKind::Uuid },
        Column { name: "patient_id", kind: ColumnKind::Uuid },
        Column { name: "waiting_since", kind: ColumnKind::Time },
        Column { name: "due_at", kind: ColumnKind::Time },
    ],
    access_paths: &[
        &["saga", "waiting_since"],
        &["saga", "due_at"],
        &["status", "waiting_since"],
        &["trial_id", "waiting_since"],
        &["patient_id", "waiting_since"],
        &["waiting_since"],
        &["due_at"],
    ],
};

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id, derived from the process manager and what it is about.
    pub saga_id: Uuid,
    /// The process manager.
    pub saga: String,
    /// What it is about: a subject, an alert, or the event that raises some.
    pub key: Uuid,
    /// `running`, `finished`, or `stuck` where it cannot be folded.
    pub status: String,
    /// Why it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What it waits for.
    pub waiting_for: String,
    /// Since when.
    pub waiting_since: DateTime<Utc>,
    /// When it wants to be woken.
    pub due_at: Option<DateTime<Utc>>,
    /// For which time it was woken last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woken_for: Option<DateTime<Utc>>,
    /// What it is about.
    pub trial_id: Option<TrialId>,
    /// What it is about.
    pub patient_id: Option<PatientId>,
    /// The first command of the conversation that it belongs to.
    pub correlation_id: Uuid,
    /// Its latest steps with what became of them.
    pub steps: Vec<StepRecord>,
    /// What it knows.
    pub state: Value,
}

/// A step as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name.
    pub name: String,
    /// The command's name.
    pub command: String,
    /// The command's id.
    pub command_id: Uuid,
    /// `pending`, `done`, `refused`, `dead`, `retried` or `dropped`.
    pub status: String,
    /// The rule that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// When it came to where it stands.
    pub since: DateTime<Utc>,
}

/// The id of the instance of `saga` about `key`.
pub fn instance_id(saga: &str, key: Uuid) -> Uuid {
    derive_id("saga-instance", &[saga.as_bytes(), key.as_bytes()])
}

impl Instance {
    /// One that begins with an event.
    pub fn begun(saga: &str, id: Uuid, key: Uuid, envelope: &Envelope) -> Self {
        Self {
            saga_id: id,
            saga: saga.to_owned(),
            key,
            status: RUNNING.to_owned(),
            cause: None,
            waiting_for: String::new(),
            waiting_since: envelope.recorded_at,
            due_at: None,
            woken_for: None,
            trial_id: None,
            patient_id: None,
            correlation_id: envelope.correlation_id,
            steps: Vec::new(),
            state: Value::Null,
        }
    }

    /// The instance that a document holds, and whether it could be read: one that cannot is stuck, with the document
    /// as its state.
    pub fn read(saga: &str, id: Uuid, document: &RawValue) -> (Self, bool) {
        match serde_json::from_str(document.get()) {
            Ok(instance) => (instance, true),
            Err(error) => (Self::unreadable(saga, id, document, &error), false),
        }
    }

    fn unreadable(saga: &str, id: Uuid, document: &RawValue, error: &serde_json::Error) -> Self {
        let state: Value = serde_json::from_str(document.get()).unwrap_or_default();
        let named = |name: &str| state.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Uuid>().ok());
        Self {
            saga_id: id,
            saga: saga.to_owned(),
            key: named("key").unwrap_or(id),
            status: STUCK.to_owned(),
            cause: Some(format!("the document cannot be read: {}", Misfit::from(error))),
            waiting_for: "a new version of the process manager".to_owned(),
            waiting_since: DateTime::UNIX_EPOCH,
            due_at: None,
            woken_for: None,
            trial_id: named("trial_id").map(TrialId::from),
            patient_id: named("patient_id").map(PatientId::from),
            correlation_id: named("correlation_id").unwrap_or(id),
            steps: Vec::new(),
            state,
        }
    }

    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.status == RUNNING
    }

    /// Marks it as one that cannot go on, and why.
    pub fn stick(&mut self, cause: String, at: DateTime<Utc>) {
        STUCK.clone_into(&mut self.status);
        self.cause = Some(cause);
        "a new version of the process manager".clone_into(&mut self.waiting_for);
        self.waiting_since = at;
        self.due_at = None;
    }

    /// Notes a step that is to be sent; tells whether it is new.
    pub fn note(&mut self, name: &str, command: &str, command_id: Uuid, at: DateTime<Utc>) -> bool {
        if self.steps.iter().any(|record| record.command_id == command_id) {
            return false;
        }
        self.steps.push(StepRecord {
            name: name.to_owned(),
            command: command.to_owned(),
            command_id,
            status: "pending".to_owned(),
            rule: None,
            since: at,
        });
        let surplus = self.steps.len().saturating_sub(SHOWN_STEPS_MAX);
        self.steps.drain(..surplus);
        true
    }

    /// Notes what became of a step.
    pub fn settle(&mut self, command_id: Uuid, status: &str, rule: Option<&str>, at: DateTime<Utc>) {
        if let Some(record) = self.steps.iter_mut().find(|record| record.command_id == command_id) {
            status.clone_into(&mut record.status);
            record.rule = rule.map(str::to_owned);
            record.since = at;
        }
    }

    /// Sets what it is about.
    pub const fn refer(&mut self, references: &References) {
        self.trial_id = references.trial_id;
        self.patient_id = references.patient_id;
    }

    /// The row that keeps it.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn row(&self) -> Result<ViewRow, serde_json::Error> {
        Ok(ViewRow {
            key: self.saga_id.to_string(),
            document: serde_json::value::to_raw_value(self)?,
            columns: vec![
                self.saga.clone().into(),
                self.status.clone().into(),
                self.trial_id.map(TrialId::uuid).into(),
                self.patient_id.map(PatientId::uuid).into(),
                ColumnValue::Time(self.waiting_since),
                self.due_at.into(),
            ],
            is_new: false,
        })
    }
}
