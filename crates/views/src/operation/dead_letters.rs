//! Steps of process managers that wait for an operator, and what became of them.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::dead_letter::DeadLetterEvent;
use events::envelope::Envelope;
use events::ids::{DeadLetterId, StreamId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::column;
use crate::view::View;

/// The view.
pub struct DeadLetters;

/// A dead letter. `status` is `waiting`, `retried` or `dropped`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    dead_letter_id: DeadLetterId,
    saga: String,
    saga_id: Uuid,
    step: String,
    command: String,
    target: StreamId,
    rule: String,
    cause: String,
    attempts: u32,
    status: String,
    failed_at: DateTime<Utc>,
    reason: Option<String>,
}

impl View for DeadLetters {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "dead_letters",
        version: 1,
        columns: &[
            column("saga", ColumnKind::Text),
            column("status", ColumnKind::Text),
            column("failed_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::DeadLetter(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::DeadLetter(event) = event else { return document };
        match event {
            DeadLetterEvent::StepDeadLettered(lettered) => Some(Document {
                dead_letter_id: DeadLetterId::from(envelope.stream.id),
                saga: lettered.saga.clone(),
                saga_id: lettered.saga_id,
                step: lettered.step.clone(),
                command: lettered.command.clone(),
                target: lettered.target,
                rule: lettered.rule.clone(),
                cause: lettered.cause.clone(),
                attempts: lettered.attempts,
                status: "waiting".to_owned(),
                failed_at: envelope.occurred_at,
                reason: None,
            }),
            DeadLetterEvent::DeadLetterRetried(retried) => document.map(|document| Document {
                status: "retried".to_owned(),
                reason: Some(retried.reason.clone()),
                ..document
            }),
            DeadLetterEvent::DeadLetterDropped(dropped) => document.map(|document| Document {
                status: "dropped".to_owned(),
                reason: Some(dropped.reason.clone()),
                ..document
            }),
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![document.saga.clone().into(), document.status.clone().into(), document.failed_at.into()]
    }
}
