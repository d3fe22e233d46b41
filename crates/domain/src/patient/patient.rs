//! The patient: the person, and what was observed about them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt};
use events::TimeZone;
use events::envelope::References;
use events::ids::PatientId;
use events::patient::{ObservationRecorded, PatientEvent, PatientRegistered, Sex};
use events::trial::ObservationValue;
use events::values::{PartialDate, Personal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::validate::{self, Invalid, NotFound, past_day};
use crate::when::When;

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
    /// Date of birth.
    pub birth_date: Option<Personal<PartialDate>>,
    /// Sex.
    pub sex: Option<Personal<Sex>>,
    /// The time zone in which the person lives, where it is known.
    pub time_zone: Option<TimeZone>,
    /// The observations of each code, in the order of their times.
    pub observations: BTreeMap<String, Vec<Observation>>,
}

/// An observed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The value.
    pub value: ObservationValue,
    /// When it was observed.
    pub observed_at: DateTime<Utc>,
}

/// Registers a person. Every field is personal data and may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterPatient {
    /// Full name.
    #[serde(default)]
    pub name: Option<Personal<String>>,
    /// National identity number.
    #[serde(default)]
    pub national_id: Option<Personal<String>>,
    /// Mobile telephone number, E.164: `+` and up to 15 digits.
    #[serde(default)]
    pub mobile: Option<Personal<String>>,
    /// Date of birth, as far as it is known.
    #[serde(default)]
    pub birth_date: Option<Personal<PartialDate>>,
    /// Sex.
    #[serde(default)]
    pub sex: Option<Personal<Sex>>,
    /// The IANA time zone in which the person lives, such as `Europe/Oslo`; by default that of the site counts.
    #[serde(default)]
    pub time_zone: Option<TimeZone>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Records something that was observed about a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordObservation {
    /// What was observed, such as `MMSE` or `SYSBP`.
    pub code: String,
    /// The value: a number or a code.
    pub value: ObservationValue,
    /// UCUM unit.
    #[serde(default)]
    pub unit: Option<String>,
    /// When it was observed; by default now.
    pub observed_at: When,
}

rules! {
    /// Why a command to a patient is refused.
    pub enum PatientError {
        AlreadyRegistered => ALREADY_REGISTERED = "patient-already-registered": "the patient is registered already";
        _ => NOT_FOUND = "patient-not-found";
    }
}

impl Command for RegisterPatient {
    type Target = PatientId;
    const NAME: &'static str = "RegisterPatient";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        self.check(context)?;
        let occurred_at =
            self.occurred_at.time(context, "occurred_at", &Place::at(self.time_zone.unwrap_or_default()))?;
        if *facts.get::<Patient>(patient_id)? != Patient::Unregistered {
            return Err(PatientError::AlreadyRegistered.into());
        }
        let registered = PatientRegistered {
            name: self.name.clone(),
            national_id: self.national_id.clone(),
            mobile: self.mobile.clone(),
            birth_date: self.birth_date.clone(),
            sex: self.sex.clone(),
            time_zone: self.time_zone,
        };
        Ok(Decision::new(References::patient(patient_id), occurred_at).append(patient_id, registered))
    }
}

impl RegisterPatient {
    fn check(&self, context: &Context) -> Result<(), Halt> {
        validate::optional_text("name", self.name.as_ref().map(|name| name.expose().as_str()))?;
        validate::optional_text("national_id", self.national_id.as_ref().map(|id| id.expose().as_str()))?;
        if let Some(mobile) = &self.mobile {
            let digits = mobile.expose().strip_prefix('+').unwrap_or_default();
            if !(5..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                let expected = "a telephone number of the form +4712345678 (E.164)".to_owned();
                return Err(Invalid::Malformed { field: "mobile".to_owned(), expected }.into());
            }
        }
        match &self.birth_date {
            Some(birth_date) => {
                let place = Place::at(self.time_zone.unwrap_or_default());
                past_day(context, "birth_date", birth_date.expose().earliest(), &place)
            }
            None => Ok(()),
        }
    }
}

impl Command for RecordObservation {
    type Target = PatientId;
    const NAME: &'static str = "RecordObservation";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::code("code", &self.code)?;
        if let ObservationValue::Code(value) = &self.value {
            validate::text("value", value)?;
        }
        validate::optional_text("unit", self.unit.as_deref())?;
        let person = registered(facts, patient_id, None)?;
        let observed_at = self.observed_at.time(context, "observed_at", &person.place())?;
        let recorded = ObservationRecorded {
            code: self.code.clone(),
            value: self.value.clone(),
            unit: self.unit.clone(),
            observed_at,
        };
        Ok(Decision::new(References::patient(patient_id), observed_at).append(patient_id, recorded))
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
    /// Where the person lives, as far as it is known.
    pub fn place(&self) -> Place<'static> {
        Place::at(self.time_zone.unwrap_or_default())
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
        for observation in self.observations.get(code).into_iter().flatten().rev() {
            if !place.lies_before(time, observation.observed_at)? {
                return Ok(Some(observation));
            }
        }
        Ok(None)
    }
}

impl Aggregate for Patient {
    type Id = PatientId;
    type Event = PatientEvent;
    const SNAPSHOT_VERSION: u16 = 3;

    fn evolve(self, event: &PatientEvent, _occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Patient::Unregistered, PatientEvent::PatientRegistered(registered)) => {
                Patient::Registered(Box::new(Person {
                    birth_date: registered.birth_date.clone(),
                    sex: registered.sex.clone(),
                    time_zone: registered.time_zone,
                    observations: BTreeMap::new(),
                }))
            }
            (Patient::Registered(mut person), PatientEvent::ObservationRecorded(recorded)) => {
                let observation = Observation { value: recorded.value.clone(), observed_at: recorded.observed_at };
                let known = person.observations.entry(recorded.code.clone()).or_default();
                // One that was observed earlier may arrive later.
                let place = known.partition_point(|known| known.observed_at <= observation.observed_at);
                known.insert(place, observation);
                Patient::Registered(person)
            }
            // Not decided by any command; the log is read all the same.
            (patient, PatientEvent::PatientRegistered(_) | PatientEvent::ObservationRecorded(_)) => patient,
        }
    }
}
