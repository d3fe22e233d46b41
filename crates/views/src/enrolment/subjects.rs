//! Subjects: where everybody in a trial stands.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::envelope::Envelope;
use events::ids::{PatientId, SiteId, SubjectId, TrialId};
use events::subject::{EligibilityOutcome, SubjectEvent};
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Subjects;

/// A subject. `arm` is for roles that may see allocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    subject_number: String,
    status: String,
    eligibility: Option<EligibilityOutcome>,
    missing_observations: Vec<String>,
    screen_failure_reasons: Vec<String>,
    arm: Option<String>,
    discontinuation_reason: Option<String>,
    screened_at: DateTime<Utc>,
    enrolled_at: Option<DateTime<Utc>>,
    randomised_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

impl View for Subjects {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "subjects",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site_id", ColumnKind::Uuid),
            column("patient_id", ColumnKind::Uuid),
            column("subject_number", ColumnKind::Text),
            column("status", ColumnKind::Text),
            column("screened_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Subject(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::Subject(event) = event else { return document };
        let at = envelope.occurred_at;
        let Some(mut document) = document else { return screened(event, envelope) };
        match event {
            SubjectEvent::PatientScreened(_) => {}
            SubjectEvent::EligibilityRecorded(recorded) => {
                document.eligibility = Some(recorded.outcome);
                document.missing_observations = recorded.missing_observations.clone();
            }
            SubjectEvent::ScreeningFailed(failed) => {
                document.status = "screen-failed".to_owned();
                document.screen_failure_reasons = failed.reasons.clone();
                document.ended_at = Some(at);
            }
            SubjectEvent::SubjectEnrolled(_) => {
                document.status = "enrolled".to_owned();
                document.enrolled_at = Some(at);
            }
            SubjectEvent::SubjectRandomised(randomised) => {
                document.status = "randomised".to_owned();
                document.arm = Some(randomised.arm.clone());
                document.randomised_at = Some(at);
            }
            SubjectEvent::SubjectDiscontinued(discontinued) => {
                document.status = "discontinued".to_owned();
                document.discontinuation_reason = Some(discontinued.reason.clone());
                document.ended_at = Some(at);
            }
            SubjectEvent::SubjectCompleted(_) => {
                document.status = "completed".to_owned();
                document.ended_at = Some(at);
            }
        }
        Some(document)
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![
            document.trial_id.uuid().into(),
            document.site_id.uuid().into(),
            document.patient_id.uuid().into(),
            document.subject_number.clone().into(),
            document.status.clone().into(),
            document.screened_at.into(),
        ]
    }
}

fn screened(event: &SubjectEvent, envelope: &Envelope) -> Option<Document> {
    let SubjectEvent::PatientScreened(screened) = event else { return None };
    Some(Document {
        subject_id: SubjectId::from(envelope.stream.id),
        patient_id: screened.patient_id,
        trial_id: screened.trial_id,
        site_id: screened.site_id,
        subject_number: screened.subject_number.clone(),
        status: "screened".to_owned(),
        eligibility: None,
        missing_observations: Vec::new(),
        screen_failure_reasons: Vec::new(),
        arm: None,
        discontinuation_reason: None,
        screened_at: envelope.occurred_at,
        enrolled_at: None,
        randomised_at: None,
        ended_at: None,
    })
}
