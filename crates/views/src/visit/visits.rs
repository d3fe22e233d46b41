//! Attended visits.

use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::envelope::Envelope;
use events::ids::{PatientId, SiteId, SubjectId, TrialId, VisitId};
use events::values::{PartialDate, Quantity};
use events::visit::VisitEvent;
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Visits;

/// A visit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    visit_id: VisitId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    visit: String,
    visit_number: Option<Quantity>,
    attended_on: PartialDate,
}

impl View for Visits {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "visits",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site_id", ColumnKind::Uuid),
            column("patient_id", ColumnKind::Uuid),
            column("subject_id", ColumnKind::Uuid),
            column("attended_on", ColumnKind::Text),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Visit(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::Visit(event) = event else { return document };
        match event {
            VisitEvent::VisitAttended(attended) => Some(Document {
                visit_id: VisitId::from(envelope.stream.id),
                subject_id: attended.subject_id,
                patient_id: attended.patient_id,
                trial_id: attended.trial_id,
                site_id: attended.site_id,
                visit: attended.visit.clone(),
                visit_number: attended.visit_number,
                attended_on: attended.attended_on.clone(),
            }),
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![
            document.trial_id.uuid().into(),
            document.site_id.uuid().into(),
            document.patient_id.uuid().into(),
            document.subject_id.uuid().into(),
            document.attended_on.as_str().into(),
        ]
    }
}
