//! Every view: given events, then the whole document.

mod declarations;
mod enrolment;
mod operation;
mod participation;
mod safety;

use events::envelope::References;
use events::ids::{PatientId, SiteId, SubjectId, TrialId};
use uuid::Uuid;

fn trial() -> TrialId {
    Uuid::from_u128(1).into()
}

fn site() -> SiteId {
    Uuid::from_u128(2).into()
}

fn patient() -> PatientId {
    Uuid::from_u128(3).into()
}

fn subject() -> SubjectId {
    SubjectId::of(patient(), trial())
}

/// What an event of the subject is about.
fn about() -> References {
    References::subject(trial(), site(), patient())
}
