//! The patient: the person, and what was observed about them.

use std::collections::BTreeMap;

use authority::Places;
use chrono::{DateTime, Utc};
use decider::{Aggregate, Facts, Halt};
use events::TimeZone;
use events::identifier;
use events::ids::{PatientId, SiteId};
use events::messaging::contact::Contact;
use events::patient::{Demographics, PatientEvent, Sex};
use events::trial::ObservationValue;
use events::values::{PartialDate, Personal};
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::validate::NotFound;

/// A patient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Patient {
    /// Not registered.
    #[default]
    Unregistered,
    /// Registered.
    Registered(Box<Person>),
}

/// What decisions need to know about a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Full name.
    pub name: Option<Personal<String>>,
    /// National identity number.
    pub national_id: Option<Personal<String>>,
    /// Mobile telephone number.
    pub mobile: Option<Personal<String>>,
    /// Date of birth.
    pub birth_date: Option<Personal<PartialDate>>,
    /// Sex.
    pub sex: Option<Personal<Sex>>,
    /// The time zone in which the person lives, where it is known.
    pub time_zone: Option<TimeZone>,
    /// The site that registered the person, where one did.
    pub site_id: Option<SiteId>,
    /// How the person is reached and wishes to be.
    pub contact: Contact,
    /// The sites that take care of the person.
    pub places: Places,
    /// The observations of each code, by what codes are compared by, in the order of their times.
    observations: BTreeMap<String, Vec<Observation>>,
}

/// An observed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What was observed.
    pub code: String,
    /// The value.
    pub value: ObservationValue,
    /// UCUM unit.
    pub unit: Option<String>,
    /// When it was observed.
    pub observed_at: DateTime<Utc>,
}

/// Codes of which a person's observations are kept.
pub const OBSERVED_CODES_MAX: usize = 1_000;

rules! {
    /// Why a command to a patient is refused.
    pub enum PatientError {
        AlreadyRegistered => ALREADY_REGISTERED = "patient-already-registered": "the patient is registered already";
        ObservationNotFound => OBSERVATION_NOT_FOUND = "observation-not-found":
            "nothing was observed of this code at that time", field "observed_at";
        TooManyCodes(max: usize) => TOO_MANY_CODES = "observation-codes-too-many":
            "observations of {0} codes are on record of the person, and more cannot be kept", field "code";
        NotShown => NOT_SHOWN = "national-id-not-shown":
            "the person's national id must be given as it is on record, so that nobody is taken for somebody else",
            field "national_id";
        NationalIdTaken => NATIONAL_ID_TAKEN = "national-id-registered":
            "somebody with this national id is registered: look for them by it, and have the site admit them",
            field "national_id";
        _ => NOT_FOUND = "patient-not-found";
    }
}

/// A registered person. `field` names the command's field that holds the id.
///
/// # Errors
/// [`Halt`] where the patient is not loaded, or not registered.
pub fn registered<'facts>(
    facts: &'facts Facts,
    patient_id: PatientId,
    field: Option<&'static str>,
) -> Result<&'facts Person, Halt> {
    match facts.get::<Patient>(patient_id)? {
        Patient::Registered(person) => Ok(person),
        Patient::Unregistered => Err(NotFound::halt(PatientError::NOT_FOUND, "patient", patient_id, field)),
    }
}

impl Person {
    fn observe(&mut self, observation: Observation) {
        let known = self.observations.entry(identifier::key(&observation.code)).or_default();
        // One that was observed earlier may arrive later.
        let place = known.partition_point(|known| known.observed_at <= observation.observed_at);
        known.insert(place, observation);
    }

    /// Takes away the latest recorded of the observations of this code and time.
    fn take_observation(&mut self, code: &str, observed_at: DateTime<Utc>) -> Option<Observation> {
        let known = self.observations.get_mut(&identifier::key(code))?;
        let place = known.iter().rposition(|known| known.observed_at == observed_at)?;
        Some(known.remove(place))
    }

    fn apply(&mut self, changes: &Demographics) {
        changes.name.apply(&mut self.name);
        changes.national_id.apply(&mut self.national_id);
        changes.mobile.apply(&mut self.mobile);
        changes.birth_date.apply(&mut self.birth_date);
        changes.sex.apply(&mut self.sex);
        changes.time_zone.apply(&mut self.time_zone);
    }

    /// Refuses a code that is one too many: what is known of a person is read as one.
    ///
    /// # Errors
    /// [`PatientError::TooManyCodes`].
    pub fn require_place_for(&self, code: &str) -> Result<(), PatientError> {
        let is_known = self.observations.contains_key(&identifier::key(code));
        if is_known || self.observations.len() < OBSERVED_CODES_MAX {
            return Ok(());
        }
        Err(PatientError::TooManyCodes(OBSERVED_CODES_MAX))
    }

    /// Where the person lives, or else is cared for, as far as it is known.
    pub fn place<'facts>(&self, facts: &'facts Facts) -> Place<'facts> {
        Place::of_person(facts, self.time_zone, self.site_id)
    }

    /// The latest recorded observation of `code` of exactly this time.
    pub fn observation_of(&self, code: &str, observed_at: DateTime<Utc>) -> Option<&Observation> {
        let known = self.observations.get(&identifier::key(code)).into_iter().flatten();
        known.rev().find(|known| known.observed_at == observed_at)
    }

    /// The latest observation of `code` at `time`.
    ///
    /// # Errors
    /// [`Halt::Needs`] where the place is not loaded yet.
    pub fn observation(
        &self,
        code: &str,
        time: DateTime<Utc>,
        place: &Place<'_>,
    ) -> Result<Option<&Observation>, Halt> {
        for observation in self.observations.get(&identifier::key(code)).into_iter().flatten().rev() {
            if !place.lies_before(time, observation.observed_at)? {
                return Ok(Some(observation));
            }
        }
        Ok(None)
    }
}

fn places_after(mut places: Places, event: &PatientEvent) -> Places {
    places.evolve(event);
    places
}

impl Aggregate for Patient {
    type Id = PatientId;
    type Event = PatientEvent;
    const SNAPSHOT_VERSION: u16 = 7;

    fn evolve(self, event: &PatientEvent, _occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Patient::Unregistered, PatientEvent::PatientRegistered(registered)) => {
                Patient::Registered(Box::new(Person {
                    name: registered.name.clone(),
                    national_id: registered.national_id.clone(),
                    mobile: registered.mobile.clone(),
                    birth_date: registered.birth_date.clone(),
                    sex: registered.sex.clone(),
                    time_zone: registered.time_zone,
                    site_id: registered.site_id,
                    contact: Contact::default(),
                    places: places_after(Places::default(), event),
                    observations: BTreeMap::new(),
                }))
            }
            (Patient::Registered(mut person), PatientEvent::PatientAdmitted(_)) => {
                person.places = places_after(person.places, event);
                Patient::Registered(person)
            }
            (Patient::Registered(mut person), PatientEvent::ObservationRecorded(recorded)) => {
                person.observe(Observation {
                    code: recorded.code.clone(),
                    value: recorded.value.clone(),
                    unit: recorded.unit.clone(),
                    observed_at: recorded.observed_at,
                });
                Patient::Registered(person)
            }
            (Patient::Registered(mut person), PatientEvent::ObservationCorrected(corrected)) => {
                if let Some(mut observation) = person.take_observation(&corrected.code, corrected.observed_at) {
                    corrected.changes.value.apply(&mut observation.value);
                    corrected.changes.unit.apply(&mut observation.unit);
                    corrected.changes.observed_at.apply(&mut observation.observed_at);
                    person.observe(observation);
                }
                Patient::Registered(person)
            }
            (Patient::Registered(mut person), PatientEvent::DemographicsCorrected(corrected)) => {
                person.apply(&corrected.changes);
                Patient::Registered(person)
            }
            (Patient::Registered(mut person), PatientEvent::ContactPreferencesSet(set)) => {
                person.contact = set.contact.clone();
                Patient::Registered(person)
            }
            // Not decided by any command; the log is read all the same.
            (
                patient,
                PatientEvent::PatientRegistered(_)
                | PatientEvent::ContactPreferencesSet(_)
                | PatientEvent::PatientAdmitted(_)
                | PatientEvent::DemographicsCorrected(_)
                | PatientEvent::ObservationRecorded(_)
                | PatientEvent::ObservationCorrected(_),
            ) => patient,
        }
    }
}
