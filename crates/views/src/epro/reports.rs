//! Reports with their scores; earlier answers and scores stay in the history.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::envelope::Envelope;
use events::ids::{PatientId, ReportId, SiteId, SubjectId, TrialId};
use events::questionnaire::{Answers, Score};
use events::report::ReportEvent;
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Reports;

/// A report as it stands, and what was corrected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    report_id: ReportId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    instrument: String,
    questionnaire_version: String,
    visit: Option<String>,
    answers: Answers,
    scores: Vec<Score>,
    completed_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    corrections: Vec<Correction>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Correction {
    corrected_at: DateTime<Utc>,
    reason: String,
    previous_scores: Vec<Score>,
}

impl View for Reports {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "reports",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site_id", ColumnKind::Uuid),
            column("patient_id", ColumnKind::Uuid),
            column("subject_id", ColumnKind::Uuid),
            column("instrument", ColumnKind::Text),
            column("completed_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Report(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::Report(event) = event else { return document };
        match event {
            ReportEvent::ReportSubmitted(submitted) => Some(Document {
                report_id: ReportId::from(envelope.stream.id),
                subject_id: submitted.subject_id,
                patient_id: submitted.patient_id,
                trial_id: submitted.trial_id,
                site_id: submitted.site_id,
                instrument: submitted.instrument.clone(),
                questionnaire_version: submitted.questionnaire_version.clone(),
                visit: submitted.visit.clone(),
                answers: submitted.answers.clone(),
                scores: submitted.scores.clone(),
                completed_at: submitted.completed_at,
                recorded_at: envelope.recorded_at,
                corrections: Vec::new(),
            }),
            ReportEvent::ReportCorrected(corrected) => {
                let mut document = document?;
                document.corrections.push(Correction {
                    corrected_at: envelope.occurred_at,
                    reason: corrected.reason.clone(),
                    previous_scores: corrected.previous_scores.clone(),
                });
                document.answers = corrected.answers.clone();
                document.scores = corrected.scores.clone();
                Some(document)
            }
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![
            document.trial_id.uuid().into(),
            document.site_id.uuid().into(),
            document.patient_id.uuid().into(),
            document.subject_id.uuid().into(),
            document.instrument.clone().into(),
            document.completed_at.into(),
        ]
    }
}
