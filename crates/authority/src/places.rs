//! Where a person is cared for: what is about the person alone, and no trial, is in sight of those sites.

use std::collections::BTreeSet;

use events::envelope::References;
use events::ids::{PatientId, SiteId, TrialId};
use events::patient::PatientEvent;
use serde::{Deserialize, Serialize};

/// The sites that take care of a person, each with its trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Places(BTreeSet<(TrialId, SiteId)>);

impl Places {
    /// With one more site.
    pub fn insert(&mut self, trial_id: TrialId, site_id: SiteId) {
        self.0.insert((trial_id, site_id));
    }

    /// Whether the site takes care of the person.
    pub fn contains(&self, trial_id: TrialId, site_id: SiteId) -> bool {
        self.0.contains(&(trial_id, site_id))
    }

    /// The places after an event of the person's stream.
    pub fn evolve(&mut self, event: &PatientEvent) {
        match event {
            PatientEvent::PatientRegistered(registered) => {
                if let (Some(trial_id), Some(site_id)) = (registered.trial_id, registered.site_id) {
                    self.insert(trial_id, site_id);
                }
            }
            PatientEvent::PatientAdmitted(admitted) => self.insert(admitted.trial_id, admitted.site_id),
            PatientEvent::ContactPreferencesSet(_)
            | PatientEvent::DemographicsCorrected(_)
            | PatientEvent::ObservationRecorded(_)
            | PatientEvent::ObservationCorrected(_) => {}
        }
    }

    /// The trials of the sites.
    pub fn trials(&self) -> impl Iterator<Item = TrialId> {
        self.0.iter().map(|(trial_id, _)| *trial_id)
    }
}

/// A person with their places.
#[derive(Clone, Copy, Debug)]
pub struct PatientPlaces<'places> {
    /// Who.
    pub patient_id: PatientId,
    /// Where they are cared for.
    pub places: &'places Places,
}

impl PatientPlaces<'_> {
    /// The person as part of each site's work, and by themselves.
    pub fn references(&self) -> impl Iterator<Item = References> {
        let at_sites = self.places.0.iter().map(|(trial, site)| References::subject(*trial, *site, self.patient_id));
        std::iter::once(References::patient(self.patient_id)).chain(at_sites)
    }
}
