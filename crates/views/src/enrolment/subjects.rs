//! Subjects: where everybody in a trial stands.

use authority::Area;
use chrono::{DateTime, Utc};
use events::enrolment::subject::{EligibilityOutcome, PatientScreened, SubjectEnd, SubjectEndFields, SubjectEvent};
use events::envelope::Envelope;
use events::ids::{PatientId, SiteId, StreamType, SubjectId, TrialId};
use events::registry::AnyEvent;
use events::values::{Blinded, Prose};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, name_of, named, text, time, uuid};
use crate::table::{Collection, PATIENT, SITE, STATUS, Scope, Sort, TRIAL, Table, is};
use crate::view::View;

/// The view.
pub struct Subjects;

/// A patient in a trial.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    subject_number: String,
    /// Numbers of earlier screenings.
    earlier_subject_numbers: Vec<String>,
    status: SubjectStatus,
    eligibility: Option<EligibilityOutcome>,
    /// Codes of observations that eligibility waits for.
    missing_observations: Vec<String>,
    /// Codes of criteria that eligibility waits to be judged.
    missing_judgements: Vec<String>,
    screen_failure_reasons: Vec<Prose>,
    /// The arm that the subject was allocated to; only for roles that may see allocation.
    arm: Blinded<Option<String>>,
    discontinuation_reason: Option<String>,
    screened_at: DateTime<Utc>,
    enrolled_at: Option<DateTime<Utc>>,
    randomised_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// When the blind was last broken for this subject, where it was.
    unblinded_at: Option<DateTime<Utc>>,
}

/// How far a subject is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SubjectStatus {
    /// Screened; whether the criteria are met is in `eligibility`.
    Screened,
    /// Screening ended without enrolment.
    ScreenFailed,
    /// Enrolled.
    Enrolled,
    /// Allocated to an arm.
    Randomised,
    /// Participation ended early.
    Discontinued,
    /// Participation ended as planned.
    Completed,
}

impl Table for Subjects {
    type Document = Subject;
    const NAME: &'static str = "subjects";
    const VERSION: u32 = 3;
    const COLUMNS: &'static [Column<Subject>] = &[
        uuid("trial_id", |subject| subject.trial_id.uuid().into()),
        uuid("site_id", |subject| subject.site_id.uuid().into()),
        uuid("patient_id", |subject| subject.patient_id.uuid().into()),
        named("subject_number", |subject| subject.subject_number.clone().into()),
        text("status", |subject| name_of(&subject.status)),
        time("screened_at", |subject| subject.screened_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "subject_number"],
        &["trial_id", "status", "subject_number"],
        &["trial_id", "screened_at"],
        &["site_id", "subject_number"],
        &["patient_id", "subject_number"],
        &["status", "subject_number"],
        &["subject_number"],
        &["screened_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "subjects",
        "subject",
        &[TRIAL, SITE, PATIENT, STATUS, is("subject_number")],
        &[Sort::by("subject_number"), Sort::by("screened_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for Subjects {
    const OF: StreamType = StreamType::Subject;

    fn fold(document: Option<Subject>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Subject> {
        let AnyEvent::Subject(event) = event else { return document };
        let at = envelope.occurred_at;
        let Some(mut document) = document else { return screened(event, envelope) };
        match event {
            SubjectEvent::PatientScreened(_) => {}
            SubjectEvent::PatientRescreened(again) => {
                let earlier = std::mem::replace(&mut document.subject_number, again.subject_number.clone());
                document.earlier_subject_numbers.push(earlier);
                let Subject { subject_id, patient_id, trial_id, .. } = document;
                let fresh = Subject::screened(subject_id, patient_id, trial_id, again.site_id, at);
                document = Subject {
                    subject_number: document.subject_number,
                    earlier_subject_numbers: document.earlier_subject_numbers,
                    ..fresh
                };
            }
            SubjectEvent::EligibilityRecorded(recorded) => {
                document.eligibility = Some(recorded.outcome);
                document.missing_observations = recorded.missing_observations.clone();
                document.missing_judgements = recorded.missing_judgements.clone();
            }
            SubjectEvent::ScreeningFailed(failed) => {
                document.status = SubjectStatus::ScreenFailed;
                document.screen_failure_reasons = failed.reasons.clone();
                document.ended_at = Some(at);
            }
            SubjectEvent::SubjectEnrolled(_) => {
                document.reach(SubjectStatus::Enrolled);
                document.enrolled_at = Some(at);
            }
            SubjectEvent::SubjectRandomised(randomised) => {
                document.reach(SubjectStatus::Randomised);
                document.arm = randomised.arm.clone().into();
                document.randomised_at = Some(at);
            }
            SubjectEvent::SubjectDiscontinued(discontinued) => {
                document.status = SubjectStatus::Discontinued;
                document.discontinuation_reason = Some(discontinued.reason.clone());
                document.ended_at = Some(at);
            }
            SubjectEvent::SubjectCompleted(_) => {
                document.status = SubjectStatus::Completed;
                document.ended_at = Some(at);
            }
            SubjectEvent::SubjectEndCorrected(corrected) => document.end_corrected(&corrected.changes),
            SubjectEvent::SubjectUnblinded(_) => document.unblinded_at = document.unblinded_at.max(Some(at)),
        }
        Some(document)
    }
}

impl Subject {
    /// What is told late, after participation ended, does not begin it anew.
    fn reach(&mut self, status: SubjectStatus) {
        if self.ended_at.is_none() {
            self.status = status;
        }
    }
}

fn screened(event: &SubjectEvent, envelope: &Envelope) -> Option<Subject> {
    let SubjectEvent::PatientScreened(screened) = event else { return None };
    let PatientScreened { patient_id, trial_id, site_id, .. } = *screened;
    let subject_id = SubjectId::from(envelope.stream.id);
    Some(Subject {
        subject_number: screened.subject_number.clone(),
        ..Subject::screened(subject_id, patient_id, trial_id, site_id, envelope.occurred_at)
    })
}

impl Subject {
    fn end_corrected(&mut self, changes: &SubjectEndFields) {
        match changes.end.value() {
            Some(SubjectEnd::Completed) => self.status = SubjectStatus::Completed,
            Some(SubjectEnd::Discontinued) => self.status = SubjectStatus::Discontinued,
            None => {}
        }
        changes.discontinuation_reason.apply(&mut self.discontinuation_reason);
        if let Some(ended_at) = changes.ended_at.value() {
            self.ended_at = Some(*ended_at);
        }
    }

    /// A subject in screening, without a number.
    fn screened(
        subject_id: SubjectId,
        patient_id: PatientId,
        trial_id: TrialId,
        site_id: SiteId,
        screened_at: DateTime<Utc>,
    ) -> Self {
        Self {
            subject_id,
            patient_id,
            trial_id,
            site_id,
            subject_number: String::new(),
            earlier_subject_numbers: Vec::new(),
            status: SubjectStatus::Screened,
            eligibility: None,
            missing_observations: Vec::new(),
            missing_judgements: Vec::new(),
            screen_failure_reasons: Vec::new(),
            arm: Blinded::new(None),
            discontinuation_reason: None,
            screened_at,
            enrolled_at: None,
            randomised_at: None,
            ended_at: None,
            unblinded_at: None,
        }
    }
}
