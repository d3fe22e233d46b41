//! Events of a `site` stream: a hospital or research centre in a trial.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::TrialId;
use crate::time_zone::TimeZone;

/// The site was registered for a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteRegistered {
    /// The trial.
    pub trial_id: TrialId,
    /// The site's number, unique in the trial (CDISC `SITEID`).
    pub code: String,
    /// The site's name.
    pub name: String,
    /// ISO 3166-1 alpha-3 country code.
    pub country: Option<String>,
    /// The time zone whose days count there.
    pub time_zone: TimeZone,
}

/// The site may enrol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteActivated {
    /// Greatest number of subjects enrolled at the site.
    pub enrolment_cap: u32,
    /// The principal investigator's account.
    pub investigator: String,
}

/// The site may not screen or enrol for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteSuspended {
    /// Why.
    pub reason: String,
}

event_set! {
    /// What can happen to a site.
    pub enum SiteEvent in Site {
        SiteRegistered = 1;
        SiteActivated = 1;
        SiteSuspended = 1;
    }
}
