//! Adverse events as they are known now.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::adverse_event::{AdverseEventEvent, AdverseEventSeverity};
use events::any::AnyEvent;
use events::envelope::Envelope;
use events::ids::{AdverseEventId, PatientId, SiteId, SubjectId, TrialId};
use events::values::PartialDate;
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct AdverseEvents;

/// An adverse event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    adverse_event_id: AdverseEventId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    term: String,
    severity: AdverseEventSeverity,
    ctcae_grade: Option<u8>,
    serious: bool,
    relatedness: Option<String>,
    onset: Option<PartialDate>,
    ended: Option<PartialDate>,
    outcome: Option<String>,
    reported_at: DateTime<Utc>,
    updates: u32,
}

impl View for AdverseEvents {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "adverse_events",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site_id", ColumnKind::Uuid),
            column("patient_id", ColumnKind::Uuid),
            column("subject_id", ColumnKind::Uuid),
            column("severity", ColumnKind::Text),
            column("serious", ColumnKind::Boolean),
            column("reported_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::AdverseEvent(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::AdverseEvent(event) = event else { return document };
        match event {
            AdverseEventEvent::AdverseEventReported(reported) => Some(Document {
                adverse_event_id: AdverseEventId::from(envelope.stream.id),
                subject_id: reported.subject_id,
                patient_id: reported.patient_id,
                trial_id: reported.trial_id,
                site_id: reported.site_id,
                term: reported.term.clone(),
                severity: reported.severity,
                ctcae_grade: reported.ctcae_grade,
                serious: reported.serious,
                relatedness: reported.relatedness.clone(),
                onset: reported.onset.clone(),
                ended: reported.ended.clone(),
                outcome: reported.outcome.clone(),
                reported_at: envelope.occurred_at,
                updates: 0,
            }),
            AdverseEventEvent::AdverseEventUpdated(updated) => {
                let document = document?;
                Some(Document {
                    severity: updated.severity.unwrap_or(document.severity),
                    ctcae_grade: updated.ctcae_grade.or(document.ctcae_grade),
                    serious: updated.serious.unwrap_or(document.serious),
                    relatedness: updated.relatedness.clone().or(document.relatedness),
                    ended: updated.ended.clone().or(document.ended),
                    outcome: updated.outcome.clone().or(document.outcome),
                    updates: document.updates + 1,
                    ..document
                })
            }
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        let severity = match document.severity {
            AdverseEventSeverity::Mild => "mild",
            AdverseEventSeverity::Moderate => "moderate",
            AdverseEventSeverity::Severe => "severe",
        };
        vec![
            document.trial_id.uuid().into(),
            document.site_id.uuid().into(),
            document.patient_id.uuid().into(),
            document.subject_id.uuid().into(),
            severity.into(),
            document.serious.into(),
            document.reported_at.into(),
        ]
    }
}
