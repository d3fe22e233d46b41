//! Instances of process managers, as whoever runs them keeps them: what each waits for and what it did.

use authority::Area;
use chrono::{DateTime, Utc};
use events::ids::{PatientId, TrialId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::column::{Column, name_of, text, time, uuid};
use crate::table::{Collection, PATIENT, Place, STATUS, Scope, Sort, TRIAL, Table, is};

/// The table.
pub struct ProcessManagers;

/// An instance of a process manager.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProcessManagerInstance {
    saga_id: Uuid,
    /// The process manager.
    saga: String,
    /// What it is about: a subject, an alert, or the event that raises some.
    key: Uuid,
    status: ProcessManagerStatus,
    /// Why it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    waiting_for: String,
    waiting_since: DateTime<Utc>,
    /// When it wants to be woken.
    due_at: Option<DateTime<Utc>>,
    /// For which time it was woken last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    woken_for: Option<DateTime<Utc>>,
    trial_id: Option<TrialId>,
    patient_id: Option<PatientId>,
    /// The first command of the conversation that it belongs to.
    correlation_id: Uuid,
    /// Its latest steps with what became of them.
    steps: Vec<ProcessManagerStep>,
    /// What it knows, in the process manager's own form.
    state: Value,
}

/// Whether a process manager has something left to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ProcessManagerStatus {
    /// It has.
    Running,
    /// It is done.
    Finished,
    /// It cannot be folded: a new version of the process manager takes it up again.
    Stuck,
}

/// A step that a process manager took.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct ProcessManagerStep {
    name: String,
    command: String,
    command_id: Uuid,
    status: StepStatus,
    /// The rule that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// When it came to where it stands.
    since: DateTime<Utc>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum StepStatus {
    /// It is to be carried out.
    Pending,
    /// Carried out.
    Done,
    /// A rule refused it; the process manager was told.
    Refused,
    /// It could not be carried out and waits for an operator.
    Dead,
    /// An operator asked for another try.
    Retried,
    /// An operator gave it up.
    Dropped,
}

impl Table for ProcessManagers {
    type Document = ProcessManagerInstance;
    const NAME: &'static str = "sagas";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<ProcessManagerInstance>] = &[
        text("saga", |instance| instance.saga.clone().into()),
        text("status", |instance| name_of(&instance.status)),
        uuid("trial_id", |instance| instance.trial_id.map(TrialId::uuid)),
        uuid("patient_id", |instance| instance.patient_id.map(PatientId::uuid)),
        time("waiting_since", |instance| instance.waiting_since.into()),
        time("due_at", |instance| instance.due_at),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["saga", "waiting_since"],
        &["saga", "due_at"],
        &["status", "waiting_since"],
        &["trial_id", "waiting_since"],
        &["patient_id", "waiting_since"],
        &["waiting_since"],
        &["due_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "sagas",
        "instance of a process manager",
        &[is("saga"), STATUS, TRIAL, PATIENT],
        &[Sort::by_greatest("waiting_since")],
    );
    const AREA: Area = Area::Operation;
    const SCOPE: Scope = Scope {
        trial: Some(Place::Column("trial_id")),
        patient: Some(Place::Column("patient_id")),
        ..Scope::INSTALLATION
    };
}
