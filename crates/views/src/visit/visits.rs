//! Attended visits.

use authority::Area;
use events::visit::VisitEvent;

use crate::prelude::*;

/// The view.
pub struct Visits;

/// A visit that a subject attended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Visit {
    visit_id: VisitId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    visit: String,
    visit_number: Option<Quantity>,
    attended_on: PartialDate,
    corrections: u32,
}

impl Table for Visits {
    type Document = Visit;
    const NAME: &'static str = "visits";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Visit>] = &[
        uuid("trial_id", |visit| visit.trial_id.uuid().into()),
        uuid("site_id", |visit| visit.site_id.uuid().into()),
        uuid("patient_id", |visit| visit.patient_id.uuid().into()),
        uuid("subject_id", |visit| visit.subject_id.uuid().into()),
        text("attended_on", |visit| visit.attended_on.as_str().to_owned().into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "attended_on"],
        &["site_id", "attended_on"],
        &["patient_id", "attended_on"],
        &["subject_id", "attended_on"],
        &["attended_on"],
    ];
    const COLLECTION: Collection =
        Collection::new("visits", "visit", &[TRIAL, SITE, PATIENT, SUBJECT], &[Sort::by_greatest("attended_on")]);
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for Visits {
    const OF: StreamType = StreamType::Visit;

    fn fold(document: Option<Visit>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Visit> {
        let AnyEvent::Visit(event) = event else { return document };
        match event {
            VisitEvent::VisitAttended(attended) => Some(Visit {
                visit_id: VisitId::from(envelope.stream.id),
                subject_id: attended.subject_id,
                patient_id: attended.patient_id,
                trial_id: attended.trial_id,
                site_id: attended.site_id,
                visit: attended.visit.clone(),
                visit_number: attended.visit_number,
                attended_on: attended.attended_on.clone(),
                corrections: 0,
            }),
            VisitEvent::VisitCorrected(corrected) => {
                let mut document = document?;
                corrected.changes.visit.apply(&mut document.visit);
                corrected.changes.visit_number.apply(&mut document.visit_number);
                corrected.changes.attended_on.apply(&mut document.attended_on);
                document.corrections += 1;
                Some(document)
            }
        }
    }
}
