//! Reports with their scores; earlier answers and scores stay in the history.

use authority::Area;
use chrono::{DateTime, NaiveDate, Utc};
use events::TimeZone;
use events::envelope::Envelope;
use events::epro::report::{ReportEvent, ReportFields};
use events::ids::{PatientId, ReportId, SiteId, StreamType, SubjectId, TrialId};
use events::registry::AnyEvent;
use events::trial::questionnaire::{Answers, Score};
use events::values::Prose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, named, time, uuid};
use crate::table::{Collection, PATIENT, SITE, SUBJECT, Scope, Sort, TRIAL, Table, is, since, until};
use crate::view::View;

/// The view.
pub struct Reports;

/// A report as it stands, and what was corrected.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    report_id: ReportId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    instrument: String,
    questionnaire_version: String,
    visit: Option<String>,
    device: Option<Prose>,
    time_zone: Option<TimeZone>,
    answers: Answers,
    scores: Vec<Score>,
    started_at: Option<DateTime<Utc>>,
    completed_at: DateTime<Utc>,
    /// The day that it was then where it was filled in.
    completed_on: NaiveDate,
    recorded_at: DateTime<Utc>,
    /// Whether it was brought in from a record of the past.
    historical: bool,
    corrections: Vec<ReportCorrection>,
}

/// What a correction changed, and why.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct ReportCorrection {
    corrected_at: DateTime<Utc>,
    corrected_by: String,
    reason: Prose,
    /// What differs, as it was corrected to.
    changes: ReportFields,
    /// What differs, as it was before.
    previous: ReportFields,
}

impl Table for Reports {
    type Document = Report;
    const NAME: &'static str = "reports";
    const VERSION: u32 = 2;
    const COLUMNS: &'static [Column<Report>] = &[
        uuid("trial_id", |report| report.trial_id.uuid().into()),
        uuid("site_id", |report| report.site_id.uuid().into()),
        uuid("patient_id", |report| report.patient_id.uuid().into()),
        uuid("subject_id", |report| report.subject_id.uuid().into()),
        named("instrument", |report| report.instrument.clone().into()),
        time("completed_at", |report| report.completed_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "completed_at"],
        &["trial_id", "instrument", "completed_at"],
        &["site_id", "completed_at"],
        &["patient_id", "completed_at"],
        &["subject_id", "completed_at"],
        &["instrument", "completed_at"],
        &["completed_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "reports",
        "report",
        &[TRIAL, SITE, PATIENT, SUBJECT, is("instrument"), since("completed_at"), until("completed_at")],
        &[Sort::by_greatest("completed_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for Reports {
    const OF: StreamType = StreamType::Report;

    fn fold(document: Option<Report>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Report> {
        let AnyEvent::Report(event) = event else { return document };
        match event {
            ReportEvent::ReportSubmitted(submitted) => Some(Report {
                report_id: ReportId::from(envelope.stream.id),
                subject_id: submitted.subject_id,
                patient_id: submitted.patient_id,
                trial_id: submitted.trial_id,
                site_id: submitted.site_id,
                instrument: submitted.instrument.clone(),
                questionnaire_version: submitted.questionnaire_version.clone(),
                visit: submitted.visit.clone(),
                device: submitted.device.clone(),
                time_zone: submitted.time_zone,
                answers: submitted.answers.clone(),
                scores: submitted.scores.clone(),
                started_at: submitted.started_at,
                completed_at: submitted.completed_at,
                completed_on: submitted.completed_on,
                recorded_at: envelope.recorded_at,
                historical: submitted.historical,
                corrections: Vec::new(),
            }),
            ReportEvent::ReportCorrected(corrected) => {
                let mut document = document?;
                document.corrections.push(ReportCorrection {
                    corrected_at: envelope.occurred_at,
                    corrected_by: envelope.actor.id.clone(),
                    reason: corrected.reason.clone(),
                    changes: corrected.changes.clone(),
                    previous: corrected.previous.clone(),
                });
                corrected.changes.started_at.apply(&mut document.started_at);
                corrected.changes.completed_at.apply(&mut document.completed_at);
                corrected.changes.completed_on.apply(&mut document.completed_on);
                corrected.changes.visit.apply(&mut document.visit);
                document.answers = corrected.answers.clone();
                document.scores = corrected.scores.clone();
                Some(document)
            }
        }
    }
}
