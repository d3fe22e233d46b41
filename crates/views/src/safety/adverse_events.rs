//! Adverse events as they are known now.

use authority::Area;
use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::{AdverseEventId, PatientId, SiteId, StreamType, SubjectId, TrialId};
use events::registry::AnyEvent;
use events::safety::adverse_event::{AdverseEventChange, AdverseEventSeverity};
use events::values::{PartialDate, Prose};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, boolean, name_of, text, time, uuid};
use crate::table::{Collection, PATIENT, SITE, SUBJECT, Scope, Sort, TRIAL, Table, is};
use crate::view::View;

/// The view.
pub struct AdverseEvents;

/// An adverse event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdverseEvent {
    adverse_event_id: AdverseEventId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    term: String,
    /// The reporter's own words, where `term` is the coded one.
    reported_term: Option<Prose>,
    severity: AdverseEventSeverity,
    ctcae_grade: Option<u8>,
    serious: bool,
    relatedness: Option<String>,
    onset: Option<PartialDate>,
    ended: Option<PartialDate>,
    outcome: Option<String>,
    reported_at: DateTime<Utc>,
    /// Whether no consent covers when it was reported.
    outside_consent: bool,
    /// Whether it was brought in from a record of the past.
    historical: bool,
    updates: u32,
}

impl Table for AdverseEvents {
    type Document = AdverseEvent;
    const NAME: &'static str = "adverse_events";
    const VERSION: u32 = 2;
    const COLUMNS: &'static [Column<AdverseEvent>] = &[
        uuid("trial_id", |event| event.trial_id.uuid().into()),
        uuid("site_id", |event| event.site_id.uuid().into()),
        uuid("patient_id", |event| event.patient_id.uuid().into()),
        uuid("subject_id", |event| event.subject_id.uuid().into()),
        text("severity", |event| name_of(&event.severity)),
        boolean("serious", |event| event.serious.into()),
        time("reported_at", |event| event.reported_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "reported_at"],
        &["trial_id", "serious", "reported_at"],
        &["site_id", "reported_at"],
        &["patient_id", "reported_at"],
        &["subject_id", "reported_at"],
        &["severity", "reported_at"],
        &["serious", "reported_at"],
        &["reported_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "adverse-events",
        "adverse event",
        &[TRIAL, SITE, PATIENT, SUBJECT, is("severity"), is("serious")],
        &[Sort::by_greatest("reported_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for AdverseEvents {
    const OF: StreamType = StreamType::AdverseEvent;

    fn fold(document: Option<AdverseEvent>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<AdverseEvent> {
        let AnyEvent::AdverseEvent(event) = event else { return document };
        match event {
            AdverseEventChange::AdverseEventReported(reported) => Some(AdverseEvent {
                adverse_event_id: AdverseEventId::from(envelope.stream.id),
                subject_id: reported.subject_id,
                patient_id: reported.patient_id,
                trial_id: reported.trial_id,
                site_id: reported.site_id,
                term: reported.term.clone(),
                reported_term: reported.reported_term.clone(),
                severity: reported.severity,
                ctcae_grade: reported.ctcae_grade,
                serious: reported.serious,
                relatedness: reported.relatedness.clone(),
                onset: reported.onset.clone(),
                ended: reported.ended.clone(),
                outcome: reported.outcome.clone(),
                reported_at: envelope.occurred_at,
                outside_consent: reported.outside_consent,
                historical: reported.historical,
                updates: 0,
            }),
            AdverseEventChange::AdverseEventUpdated(updated) => {
                let mut document = document?;
                let changes = &updated.changes;
                changes.term.apply(&mut document.term);
                changes.reported_term.apply(&mut document.reported_term);
                changes.severity.apply(&mut document.severity);
                changes.ctcae_grade.apply(&mut document.ctcae_grade);
                changes.serious.apply(&mut document.serious);
                changes.relatedness.apply(&mut document.relatedness);
                changes.onset.apply(&mut document.onset);
                changes.ended.apply(&mut document.ended);
                changes.outcome.apply(&mut document.outcome);
                document.updates += 1;
                Some(document)
            }
        }
    }
}
