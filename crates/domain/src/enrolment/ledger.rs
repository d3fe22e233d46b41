//! The enrolment ledger of a trial: subject numbers given out, places taken.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use decider::Aggregate;
use events::enrolment::ledger::EnrolmentEvent;
use events::identifier;
use events::ids::{EnrolmentId, SiteId};
use serde::{Deserialize, Serialize};

/// A trial's ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// What the numbers that were given out are compared by.
    subject_numbers: BTreeSet<String>,
    sites: BTreeMap<SiteId, SiteLedger>,
}

/// What a site has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SiteLedger {
    numbers_assigned: u32,
    places_taken: u32,
}

rules! {
    /// Why the ledger gives nothing out.
    pub enum LedgerError {
        SubjectNumberTaken(number: String) => SUBJECT_NUMBER_TAKEN = "subject-number-taken":
            "the subject number `{0}` is in use in this trial", field "subject_number";
        SiteCapReached(cap: u32) => SITE_CAP_REACHED = "site-cap-reached":
            "the site has enrolled as many subjects as it may ({0})";
        TrialFull(planned: u32) => TRIAL_FULL = "trial-full":
            "the trial has enrolled as many subjects as planned ({0})";
    }
}

impl Ledger {
    /// The number asked for, or the site's next: its code and a running number.
    ///
    /// # Errors
    /// [`LedgerError::SubjectNumberTaken`].
    pub fn number(&self, wanted: Option<&str>, site_id: SiteId, site_code: &str) -> Result<String, LedgerError> {
        if let Some(wanted) = wanted {
            if self.is_taken(wanted) {
                return Err(LedgerError::SubjectNumberTaken(wanted.to_owned()));
            }
            return Ok(wanted.to_owned());
        }
        let assigned = self.sites.get(&site_id).map_or(0, |site| site.numbers_assigned);
        let free =
            (assigned + 1..).map(|number| format!("{site_code}-{number:03}")).find(|number| !self.is_taken(number));
        Ok(free.unwrap_or_default())
    }

    fn is_taken(&self, number: &str) -> bool {
        self.subject_numbers.contains(&identifier::key(number))
    }

    /// Refuses where no place is left.
    ///
    /// # Errors
    /// [`LedgerError::SiteCapReached`], [`LedgerError::TrialFull`].
    pub fn require_place(&self, site_id: SiteId, site_cap: u32, planned: u32) -> Result<(), LedgerError> {
        let at_site = self.sites.get(&site_id).map_or(0, |site| site.places_taken);
        if at_site >= site_cap {
            return Err(LedgerError::SiteCapReached(site_cap));
        }
        let in_trial: u32 = self.sites.values().map(|site| site.places_taken).sum();
        if in_trial >= planned {
            return Err(LedgerError::TrialFull(planned));
        }
        Ok(())
    }
}

impl Aggregate for Ledger {
    type Id = EnrolmentId;
    type Event = EnrolmentEvent;
    const SNAPSHOT_VERSION: u16 = 2;

    fn evolve(mut self, event: &EnrolmentEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            EnrolmentEvent::SubjectNumberAssigned(assigned) => {
                self.subject_numbers.insert(identifier::key(&assigned.subject_number));
                self.sites.entry(assigned.site_id).or_default().numbers_assigned += 1;
            }
            EnrolmentEvent::PlaceTaken(taken) => self.sites.entry(taken.site_id).or_default().places_taken += 1,
            EnrolmentEvent::PlaceReleased(released) => {
                let site = self.sites.entry(released.site_id).or_default();
                site.places_taken = site.places_taken.saturating_sub(1);
            }
        }
        self
    }
}
