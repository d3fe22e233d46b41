//! What lies in sight of somebody.

use std::collections::BTreeSet;

use events::access::account::Scope;
use events::envelope::{References, Role};
use events::ids::{PatientId, SiteId, TrialId};

use crate::{Area, Grant, PatientPlaces, matrix};

/// What lies in sight of somebody: the roles that they hold, each with its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    held: Vec<(Role, Scope)>,
}

impl Sight {
    /// Of these grants.
    pub fn of<'grants>(grants: impl Iterator<Item = &'grants Grant>) -> Self {
        Self { held: grants.map(|grant| (grant.role, grant.scope)).collect() }
    }

    /// What is left of it for the roles that read the area.
    #[must_use]
    pub fn on(&self, area: Area) -> Self {
        Self { held: self.held.iter().filter(|(role, _)| matrix::reads(*role, area)).copied().collect() }
    }

    /// What is left of it for this role.
    #[must_use]
    pub fn by(&self, role: Role) -> Self {
        Self { held: self.held.iter().filter(|(held, _)| *held == role).copied().collect() }
    }

    /// Nothing is.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The roles, each once, in the order of [`Role`].
    pub fn roles(&self) -> BTreeSet<Role> {
        self.held.iter().map(|(role, _)| *role).collect()
    }

    /// The scopes.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        self.held.iter().map(|(_, scope)| *scope)
    }

    /// Everything is.
    pub fn is_everywhere(&self) -> bool {
        self.scopes().any(|scope| scope == Scope::Installation)
    }

    /// The roles in which what is about these is in sight.
    pub fn roles_on(&self, about: &References) -> impl Iterator<Item = Role> {
        self.held.iter().filter(|(_, scope)| scope.covers(about)).map(|(role, _)| *role)
    }

    /// Whether what is about these is in sight.
    pub fn covers(&self, about: &References) -> bool {
        self.scopes().any(|scope| scope.covers(about))
    }

    /// Whether the person is in sight: anywhere where they are cared for, or as oneself.
    pub fn covers_patient(&self, patient: PatientPlaces<'_>) -> bool {
        patient.references().any(|about| self.covers(&about))
    }

    /// Whether something of the trial is in sight: what concerns the trial as a whole then is, too.
    pub fn is_within(&self, trial_id: TrialId) -> bool {
        self.scopes().any(|scope| match scope {
            Scope::Installation => true,
            Scope::Trial { trial_id: held } | Scope::Site { trial_id: held, .. } => held == trial_id,
            Scope::Patient { .. } => false,
        })
    }

    /// The trials that are in sight as a whole.
    pub fn trials(&self) -> BTreeSet<TrialId> {
        let trial = |scope| match scope {
            Scope::Trial { trial_id } => Some(trial_id),
            Scope::Installation | Scope::Site { .. } | Scope::Patient { .. } => None,
        };
        self.scopes().filter_map(trial).collect()
    }

    /// The sites that are in sight by themselves, each with its trial.
    pub fn sites(&self) -> BTreeSet<(TrialId, SiteId)> {
        let site = |scope| match scope {
            Scope::Site { trial_id, site_id } => Some((trial_id, site_id)),
            Scope::Installation | Scope::Trial { .. } | Scope::Patient { .. } => None,
        };
        self.scopes().filter_map(site).collect()
    }

    /// The patients who are in sight by themselves: oneself.
    pub fn patients(&self) -> BTreeSet<PatientId> {
        let patient = |scope| match scope {
            Scope::Patient { patient_id } => Some(patient_id),
            Scope::Installation | Scope::Trial { .. } | Scope::Site { .. } => None,
        };
        self.scopes().filter_map(patient).collect()
    }
}
