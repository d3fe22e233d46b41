//! What happened to a patient, one line an event.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::envelope::{Envelope, Role};
use events::ids::{PatientId, SiteId, StreamId, TrialId};
use events::registry::AnyEvent;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::column;
use crate::view::View;

/// The view.
pub struct PatientTimeline;

/// An event about a patient, without its payload: the history has that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    event_id: Uuid,
    position: u64,
    patient_id: PatientId,
    trial_id: Option<TrialId>,
    site_id: Option<SiteId>,
    #[serde(rename = "type")]
    event_type: String,
    stream: StreamId,
    actor: String,
    role: Role,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
}

impl View for PatientTimeline {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "patient_timeline",
        version: 1,
        columns: &[
            column("patient_id", ColumnKind::Uuid),
            column("trial_id", ColumnKind::Uuid),
            column("event_type", ColumnKind::Text),
            column("event_position", ColumnKind::Integer),
            column("occurred_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    const OF_ONE_EVENT: bool = true;
    type Document = Document;

    fn keys(_event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match envelope.references.patient_id {
            Some(_) => vec![envelope.event_id.to_string()],
            None => Vec::new(),
        }
    }

    fn fold(_document: Option<Document>, _key: &str, _event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        Some(Document {
            event_id: envelope.event_id,
            position: envelope.position,
            patient_id: envelope.references.patient_id?,
            trial_id: envelope.references.trial_id,
            site_id: envelope.references.site_id,
            event_type: envelope.event_type.clone(),
            stream: envelope.stream,
            actor: envelope.actor.id.clone(),
            role: envelope.actor.role,
            occurred_at: envelope.occurred_at,
            recorded_at: envelope.recorded_at,
        })
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![
            document.patient_id.uuid().into(),
            document.trial_id.map(TrialId::uuid).into(),
            document.event_type.clone().into(),
            ColumnValue::Integer(i64::try_from(document.position).unwrap_or(i64::MAX)),
            document.occurred_at.into(),
        ]
    }
}
