//! What a stream lets through.

use event_store::log::Reference;
use events::envelope::Envelope;
use events::ids::{PatientId, SiteId, TrialId};
use events::registry::contracts;
use service::problem::Problem;
use uuid::Uuid;

use crate::parameters::Parameters;

/// What a stream lets through: of each kind that is asked for any of its values; of none, everything.
pub struct Filter {
    trials: Vec<TrialId>,
    sites: Vec<SiteId>,
    patients: Vec<PatientId>,
    streams: Vec<Uuid>,
    event_types: Vec<String>,
}

impl Filter {
    /// Takes the parameters that filter.
    ///
    /// # Errors
    /// A 400 problem where one is malformed, or an event's type is none that this program knows.
    pub fn take(parameters: &mut Parameters) -> Result<Self, Problem> {
        let types: Vec<&str> = contracts().map(|contract| contract.event_type).collect();
        Ok(Self {
            trials: ids(parameters, "trial_id")?,
            sites: ids(parameters, "site_id")?,
            patients: ids(parameters, "patient_id")?,
            streams: ids(parameters, "stream_id")?,
            event_types: parameters.words("type", &types)?,
        })
    }

    /// By what the log finds all that can pass, where there is such a way.
    pub fn reference(&self) -> Option<Reference> {
        match (self.patients.as_slice(), self.sites.as_slice(), self.trials.as_slice()) {
            ([patient], ..) => Some(Reference::Patient(*patient)),
            (_, [site], _) => Some(Reference::Site(*site)),
            (.., [trial]) => Some(Reference::Trial(*trial)),
            _ => None,
        }
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &Envelope) -> bool {
        let references = &event.references;
        is_any(&self.trials, references.trial_id.as_ref())
            && is_any(&self.sites, references.site_id.as_ref())
            && is_any(&self.patients, references.patient_id.as_ref())
            && is_any(&self.streams, Some(&event.stream.id))
            && is_any(&self.event_types, Some(&event.event_type))
    }
}

fn ids<T: From<Uuid>>(parameters: &mut Parameters, name: &str) -> Result<Vec<T>, Problem> {
    Ok(parameters.uuids(name)?.into_iter().map(T::from).collect())
}

fn is_any<T: PartialEq>(wanted: &[T], found: Option<&T>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
}
