//! Steps of process managers that wait for an operator, and what became of them.

use authority::Area;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::{DeadLetterId, PatientId, StreamId, StreamType};
use events::operation::dead_letter::DeadLetterEvent;
use events::registry::AnyEvent;
use events::values::Prose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::column::{Column, boolean, name_of, text, time};
use crate::table::{Collection, STATUS, Scope, Sort, Table, is};
use crate::view::View;

/// The view.
pub struct DeadLetters;

/// A step of a process manager that could not be carried out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    dead_letter_id: DeadLetterId,
    saga: String,
    saga_id: Uuid,
    step: String,
    command: String,
    target: StreamId,
    rule: String,
    cause: String,
    attempts: u32,
    status: DeadLetterStatus,
    failed_at: DateTime<Utc>,
    reason: Option<Prose>,
    /// Whom the step was about, where it was about a person.
    patient_id: Option<PatientId>,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum DeadLetterStatus {
    /// It waits for an operator.
    Waiting,
    /// The step was tried again.
    Retried,
    /// The step was given up.
    Dropped,
}

impl Table for DeadLetters {
    type Document = DeadLetter;
    const NAME: &'static str = "dead_letters";
    const VERSION: u32 = 2;
    const COLUMNS: &'static [Column<DeadLetter>] = &[
        text("saga", |letter| letter.saga.clone().into()),
        text("status", |letter| name_of(&letter.status)),
        boolean("open", |letter| matches!(letter.status, DeadLetterStatus::Waiting).into()),
        time("failed_at", |letter| letter.failed_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["saga", "failed_at"], &["status", "failed_at"], &["open", "failed_at"], &["failed_at"]];
    const COLLECTION: Collection = Collection::new(
        "dead-letters",
        "step that waits for an operator",
        &[is("saga"), STATUS, is("open").meaning("Whether it waits for an operator")],
        &[Sort::by_greatest("failed_at")],
    );
    const AREA: Area = Area::Operation;
    const SCOPE: Scope = Scope::INSTALLATION;
}

impl View for DeadLetters {
    const OF: StreamType = StreamType::DeadLetter;

    fn fold(document: Option<DeadLetter>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<DeadLetter> {
        let AnyEvent::DeadLetter(event) = event else { return document };
        match event {
            DeadLetterEvent::StepDeadLettered(lettered) => Some(DeadLetter {
                dead_letter_id: DeadLetterId::from(envelope.stream.id),
                saga: lettered.saga.clone(),
                saga_id: lettered.saga_id,
                step: lettered.step.clone(),
                command: lettered.command.clone(),
                target: lettered.target,
                rule: lettered.rule.clone(),
                cause: lettered.cause.clone(),
                attempts: lettered.attempts,
                status: DeadLetterStatus::Waiting,
                failed_at: envelope.occurred_at,
                reason: None,
                patient_id: lettered.references.patient_id,
            }),
            DeadLetterEvent::DeadLetterRetried(retried) => document.map(|document| DeadLetter {
                status: DeadLetterStatus::Retried,
                reason: Some(retried.reason.clone()),
                ..document
            }),
            DeadLetterEvent::DeadLetterDropped(dropped) => document.map(|document| DeadLetter {
                status: DeadLetterStatus::Dropped,
                reason: Some(dropped.reason.clone()),
                ..document
            }),
        }
    }
}
