//! All views, in the order in which they are filled.

mod adverse_events;
mod alerts;
mod consents;
mod dead_letters;
mod patient_timeline;
mod patients;
mod reports;
mod sites;
mod subjects;
mod trial_enrolment;
mod visits;

use crate::view::{DynView, Erased};

/// Every view.
pub static VIEWS: &[&dyn DynView] = &[
    &Erased::<trial_enrolment::TrialEnrolment>::new(),
    &Erased::<sites::Sites>::new(),
    &Erased::<patients::Patients>::new(),
    &Erased::<consents::Consents>::new(),
    &Erased::<subjects::Subjects>::new(),
    &Erased::<reports::Reports>::new(),
    &Erased::<adverse_events::AdverseEvents>::new(),
    &Erased::<visits::Visits>::new(),
    &Erased::<alerts::Alerts>::new(),
    &Erased::<dead_letters::DeadLetters>::new(),
    &Erased::<patient_timeline::PatientTimeline>::new(),
];

/// A column, for the views' schemas.
const fn column(name: &'static str, kind: event_store::views::ColumnKind) -> event_store::views::Column {
    event_store::views::Column { name, kind }
}
