//! The site: a hospital or research centre in a trial.

use chrono::{DateTime, NaiveDate, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::TimeZone;
use events::envelope::References;
use events::identifier;
use events::ids::{SiteId, TrialId};
use events::site::{SiteActivated, SiteEvent, SiteRegistered, SiteSuspended};
use events::trial::SiteJoined;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::trial;
use crate::validate::{self, Invalid, NotFound};
use crate::when::When;

/// Greatest enrolment cap of a site.
const ENROLMENT_CAP_MAX: u32 = 1_000_000;

/// A site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Site {
    /// Not registered.
    #[default]
    Unregistered,
    /// Registered, may not enrol yet.
    Registered(Identity),
    /// May enrol.
    Active(Identity, Capacity),
    /// May not enrol for now.
    Suspended(Identity, Capacity),
}

/// What is known of a site, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The trial.
    pub trial_id: TrialId,
    /// The site's number, unique in the trial.
    pub code: String,
    /// The time zone whose days count there.
    pub time_zone: TimeZone,
    /// When the site came to where it stands.
    pub since: DateTime<Utc>,
}

/// How many a site may enrol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Greatest number of subjects.
    pub enrolment_cap: u32,
}

/// Registers a site for a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterSite {
    /// The trial.
    pub trial_id: TrialId,
    /// The site's number, unique in the trial.
    pub code: String,
    /// The site's name.
    pub name: String,
    /// ISO 3166-1 alpha-3 country code, such as `NOR`.
    #[serde(default)]
    pub country: Option<String>,
    /// The IANA time zone whose days count there, such as `Europe/Oslo`; by default UTC.
    #[serde(default)]
    pub time_zone: TimeZone,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Lets a site enrol, at first or after a suspension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateSite {
    /// Greatest number of subjects enrolled at the site, at least 1.
    pub enrolment_cap: u32,
    /// The principal investigator's account.
    pub investigator: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Keeps a site from screening and enrolling for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendSite {
    /// Why.
    pub reason: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to a site is refused.
    pub enum SiteError {
        AlreadyRegistered => ALREADY_REGISTERED = "site-already-registered": "the site is registered already";
        CodeTaken(code: String) => CODE_TAKEN = "site-code-taken": "the trial has a site `{0}` already", field "code";
        AlreadyActive => ALREADY_ACTIVE = "site-already-active": "the site is active already";
        OutOfOrder(since: NaiveDate) => OUT_OF_ORDER = "site-stage-later":
            "the site was registered, activated or suspended on {0}, later than this", field "occurred_at";
        NotActive => NOT_ACTIVE = "site-not-active": "the site is not active";
        OtherTrial => OTHER_TRIAL = "site-of-another-trial": "the site belongs to another trial", field "site_id";
        _ => NOT_FOUND = "site-not-found";
    }
}

impl Command for RegisterSite {
    type Target = SiteId;
    const NAME: &'static str = "RegisterSite";

    fn reads(&self, site_id: SiteId) -> Vec<Need> {
        vec![Need::of::<Site>(site_id), Need::of::<trial::Trial>(self.trial_id)]
    }

    fn decide(&self, site_id: SiteId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([validate::code("code", &self.code), validate::text("name", &self.name)])?;
        let alpha_3 = |code: &String| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if !self.country.as_ref().is_none_or(alpha_3) {
            let expected = "an ISO 3166-1 alpha-3 code such as `NOR`".to_owned();
            return Err(Invalid::Malformed { field: "country".to_owned(), expected }.into());
        }
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::at(self.time_zone))?;
        if *facts.get::<Site>(site_id)? != Site::Unregistered {
            return Err(SiteError::AlreadyRegistered.into());
        }
        let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
        course.require_not_closed()?;
        if let Some((_, known)) = course.sites.iter().find(|(_, code)| identifier::same(code, &self.code)) {
            return Err(SiteError::CodeTaken(known.clone()).into());
        }
        let registered = SiteRegistered {
            trial_id: self.trial_id,
            code: self.code.clone(),
            name: self.name.clone(),
            country: self.country.clone(),
            time_zone: self.time_zone,
        };
        let joined = SiteJoined { site_id, code: self.code.clone() };
        Ok(Decision::new(References::site(self.trial_id, site_id), occurred_at)
            .append(site_id, registered)
            .append(self.trial_id, joined))
    }
}

impl Command for ActivateSite {
    type Target = SiteId;
    const NAME: &'static str = "ActivateSite";

    fn decide(&self, site_id: SiteId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::range("enrolment_cap", self.enrolment_cap, 1, ENROLMENT_CAP_MAX),
            validate::text("investigator", &self.investigator),
        ])?;
        let site = facts.get::<Site>(site_id)?;
        let identity = site.identity(site_id, None)?;
        if site.is_active() {
            return Err(SiteError::AlreadyActive.into());
        }
        trial::registered(facts, identity.trial_id, None)?.require_not_closed()?;
        let occurred_at = identity.next(self.occurred_at, context)?;
        let activated = SiteActivated { enrolment_cap: self.enrolment_cap, investigator: self.investigator.clone() };
        Ok(Decision::new(References::site(identity.trial_id, site_id), occurred_at).append(site_id, activated))
    }
}

impl Command for SuspendSite {
    type Target = SiteId;
    const NAME: &'static str = "SuspendSite";

    fn decide(&self, site_id: SiteId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let site = facts.get::<Site>(site_id)?;
        let identity = site.identity(site_id, None)?;
        let occurred_at = identity.next(self.occurred_at, context)?;
        let decision = Decision::new(References::site(identity.trial_id, site_id), occurred_at);
        match site {
            Site::Suspended(..) => Ok(decision),
            Site::Active(..) => Ok(decision.append(site_id, SiteSuspended { reason: self.reason.clone() })),
            Site::Unregistered | Site::Registered(_) => Err(SiteError::NotActive.into()),
        }
    }
}

impl Identity {
    /// When something comes next: not before what came last.
    fn next(&self, when: When, context: &Context) -> Result<DateTime<Utc>, Halt> {
        let place = Place::at(self.time_zone);
        let time = when.time(context, "occurred_at", &place)?;
        place.require_not_before(time, self.since, SiteError::OutOfOrder)?;
        Ok(time)
    }
}

impl Site {
    /// Whether the site may screen and enrol.
    pub const fn is_active(&self) -> bool {
        matches!(self, Site::Active(..))
    }

    /// The site's identity. `field` names the command's field that holds the id.
    ///
    /// # Errors
    /// [`Halt`] where it is not registered.
    pub fn identity(&self, site_id: SiteId, field: Option<&'static str>) -> Result<&Identity, Halt> {
        match self {
            Site::Unregistered => Err(NotFound::halt(SiteError::NOT_FOUND, "site", site_id, field)),
            Site::Registered(identity) | Site::Active(identity, _) | Site::Suspended(identity, _) => Ok(identity),
        }
    }

    /// How many the site may have, also while it takes nobody.
    ///
    /// # Errors
    /// [`SiteError::NotActive`] where it was never activated.
    pub const fn capacity(&self) -> Result<Capacity, SiteError> {
        match self {
            Site::Active(_, capacity) | Site::Suspended(_, capacity) => Ok(*capacity),
            Site::Unregistered | Site::Registered(_) => Err(SiteError::NotActive),
        }
    }

    /// How many the site may enrol.
    ///
    /// # Errors
    /// [`SiteError::NotActive`].
    pub const fn require_active(&self) -> Result<Capacity, SiteError> {
        match self {
            Site::Active(_, capacity) => Ok(*capacity),
            Site::Unregistered | Site::Registered(_) | Site::Suspended(..) => Err(SiteError::NotActive),
        }
    }
}

impl Aggregate for Site {
    type Id = SiteId;
    type Event = SiteEvent;
    const SNAPSHOT_VERSION: u16 = 2;

    fn evolve(self, event: &SiteEvent, occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Site::Unregistered, SiteEvent::SiteRegistered(registered)) => Site::Registered(Identity {
                trial_id: registered.trial_id,
                code: registered.code.clone(),
                time_zone: registered.time_zone,
                since: occurred_at,
            }),
            (
                Site::Registered(identity) | Site::Active(identity, _) | Site::Suspended(identity, _),
                SiteEvent::SiteActivated(activated),
            ) => {
                let capacity = Capacity { enrolment_cap: activated.enrolment_cap };
                Site::Active(Identity { since: occurred_at, ..identity }, capacity)
            }
            (Site::Active(identity, capacity), SiteEvent::SiteSuspended(_)) => {
                Site::Suspended(Identity { since: occurred_at, ..identity }, capacity)
            }
            // Not decided by any command; the log is read all the same.
            (site, SiteEvent::SiteRegistered(_) | SiteEvent::SiteActivated(_) | SiteEvent::SiteSuspended(_)) => site,
        }
    }
}
