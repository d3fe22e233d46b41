//! An instance of a process manager, as it is kept and as it is shown.

use chrono::{DateTime, Utc};
use domain::process::Step;
use event_store::sagas::StoredStep;
use event_store::views::{Column, ColumnKind, ColumnValue, ViewRow, ViewSchema};
use events::envelope::References;
use events::ids::{PatientId, TrialId, derive_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Steps of an instance that are shown; older ones are in the log.
const SHOWN_STEPS_MAX: usize = 50;

/// The view that holds the instances.
pub const SCHEMA: ViewSchema = ViewSchema {
    name: "sagas",
    version: 1,
    columns: &[
        Column { name: "saga", kind: ColumnKind::Text },
        Column { name: "status", kind: ColumnKind::Text },
        Column { name: "trial_id", kind: ColumnKind::Uuid },
        Column { name: "patient_id", kind: ColumnKind::Uuid },
        Column { name: "waiting_since", kind: ColumnKind::Time },
        Column { name: "due_at", kind: ColumnKind::Time },
    ],
    access_paths: &[],
};

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Its id, derived from the process manager and what it is about.
    pub saga_id: Uuid,
    /// The process manager.
    pub saga: String,
    /// What it is about: a subject, an alert, or the event that raises some.
    pub key: Uuid,
    /// `running` or `finished`.
    pub status: String,
    /// What it waits for.
    pub waiting_for: String,
    /// Since when.
    pub waiting_since: DateTime<Utc>,
    /// When it wants to be woken.
    pub due_at: Option<DateTime<Utc>>,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name.
    pub name: String,
    /// The command's name.
    pub command: String,
    /// The command's id.
    pub command_id: Uuid,
    /// `pending`, `done`, `refused`, `dead` or `dropped`.
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
    /// Notes a step that is to be sent.
    pub fn note(&mut self, step: &Step, command_id: Uuid, now: DateTime<Utc>) {
        if self.steps.iter().any(|record| record.command_id == command_id) {
            return;
        }
        self.steps.push(StepRecord {
            name: step.name.clone(),
            command: step.command.name().to_owned(),
            command_id,
            status: "pending".to_owned(),
            rule: None,
            since: now,
        });
        let surplus = self.steps.len().saturating_sub(SHOWN_STEPS_MAX);
        self.steps.drain(..surplus);
    }

    /// Notes what became of a step.
    pub fn settle(&mut self, command_id: Uuid, status: &str, rule: Option<String>, now: DateTime<Utc>) {
        if let Some(record) = self.steps.iter_mut().find(|record| record.command_id == command_id) {
            record.status = status.to_owned();
            record.rule = rule;
            record.since = now;
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

/// The row of a step that is to be sent. `place` orders the steps of one trigger.
pub fn stored(
    instance: &Instance,
    step: &Step,
    command_id: Uuid,
    trigger_id: Uuid,
    causation_id: Option<Uuid>,
    sequence: i64,
) -> Result<StoredStep, serde_json::Error> {
    Ok(StoredStep {
        command_id,
        instance_id: instance.saga_id,
        sequence,
        name: step.name.clone(),
        trigger_id,
        causation_id,
        correlation_id: instance.correlation_id,
        command: serde_json::to_string(&step.command)?,
        attempts: 0,
    })
}
