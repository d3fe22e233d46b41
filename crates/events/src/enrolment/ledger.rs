//! Events of an `enrolment` stream: the ledger of a trial's subject numbers and places.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{SiteId, SubjectId};

/// A subject number was given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectNumberAssigned {
    /// The subject.
    pub subject_id: SubjectId,
    /// The subject's site.
    pub site_id: SiteId,
    /// The number, unique in the trial (CDISC `SUBJID`).
    pub subject_number: String,
}

/// A place in the trial was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceTaken {
    /// Who took it.
    pub subject_id: SubjectId,
    /// At which site.
    pub site_id: SiteId,
}

/// A place was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceReleased {
    /// Who had it.
    pub subject_id: SubjectId,
    /// At which site.
    pub site_id: SiteId,
}

event_set! {
    /// What can happen to a trial's enrolment ledger.
    pub enum EnrolmentEvent in Enrolment {
        SubjectNumberAssigned = 1;
        PlaceTaken = 1;
        PlaceReleased = 1;
    }
}
