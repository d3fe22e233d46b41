//! Commands to a patient: registering, observing, correcting.

use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::TimeZone;
use events::change::{Change, OptionalChange};
use events::envelope::{References, Role};
use events::ids::{PatientId, SiteId};
use events::patient::national_id::canonical;
use events::patient::{
    Demographics, DemographicsCorrected, ObservationCorrected, ObservationFields, ObservationRecorded, PatientAdmitted,
    PatientRegistered, Sex,
};
use events::trial::ObservationValue;
use events::values::{PartialDate, Personal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Patient, PatientError, national_id, registered};
use crate::place::Place;
use crate::site::Site;
use crate::validate::{self, Invalid, Unchanged, past_day};
use crate::when::{When, some_time};

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
    /// The site that registers the person.
    #[serde(default)]
    pub site_id: Option<SiteId>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Has a further site take care of a person: whoever may see its patients may see this one from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdmitPatient {
    /// The site.
    pub site_id: SiteId,
    /// The person's national identity number, as the person shows it there and as it is on record.
    #[serde(default)]
    pub national_id: Option<Personal<String>>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Corrects what was recorded of a person. A field that is left out does not change; `null` takes away what was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectDemographics {
    /// Full name.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub name: OptionalChange<Personal<String>>,
    /// National identity number.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub national_id: OptionalChange<Personal<String>>,
    /// Mobile telephone number, E.164: `+` and up to 15 digits.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub mobile: OptionalChange<Personal<String>>,
    /// Date of birth, as far as it is known.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub birth_date: OptionalChange<Personal<PartialDate>>,
    /// Sex.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub sex: OptionalChange<Personal<Sex>>,
    /// The IANA time zone in which the person lives.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub time_zone: OptionalChange<TimeZone>,
    /// Why it is corrected.
    pub reason: String,
    /// When it was corrected; by default now.
    pub occurred_at: When,
}

/// Corrects an observation: the latest recorded one of the code and time. A field that is left out does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectObservation {
    /// What was observed.
    pub code: String,
    /// When it was observed, as it stands.
    pub observed_at: When,
    /// The value.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub value: Change<ObservationValue>,
    /// UCUM unit; `null` where it has none.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub unit: OptionalChange<String>,
    /// When it was observed in truth.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub observed_at_corrected: When,
    /// Why it is corrected.
    pub reason: String,
    /// When it was corrected; by default now.
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

impl Command for RegisterPatient {
    type Target = PatientId;
    const NAME: &'static str = "RegisterPatient";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let trial_id = match self.site_id {
            Some(site_id) => Some(facts.get::<Site>(site_id)?.identity(site_id, Some("site_id"))?.trial_id),
            None => None,
        };
        let place = Place::of_person(facts, self.time_zone, self.site_id);
        let texts = [("name", self.name.as_ref()), ("national_id", self.national_id.as_ref())];
        check(context, &place, texts, self.mobile.as_ref(), self.birth_date.as_ref())?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
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
            site_id: self.site_id,
            trial_id,
        };
        let national_id = registered.national_id.clone();
        let decision = Decision::new(References::patient(patient_id), occurred_at).append(patient_id, registered);
        national_id::claim(decision, context, facts, patient_id, [None, national_id.as_ref()])
    }
}

impl Command for AdmitPatient {
    type Target = PatientId;
    const NAME: &'static str = "AdmitPatient";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        vec![Need::of::<Patient>(patient_id), Need::of::<Site>(self.site_id)]
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::personal_text("national_id", self.national_id.as_ref())?;
        let person = registered(facts, patient_id, None)?;
        let trial_id = facts.get::<Site>(self.site_id)?.identity(self.site_id, Some("site_id"))?.trial_id;
        let place = Place::site(facts, self.site_id);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let decision = Decision::new(References::subject(trial_id, self.site_id, patient_id), occurred_at);
        if person.places.contains(trial_id, self.site_id) {
            return Ok(decision);
        }
        let bare = |id: &Option<Personal<String>>| id.as_ref().and_then(Personal::expose).map(|id| canonical(id));
        let is_shown = bare(&person.national_id).is_some_and(|id| bare(&self.national_id) == Some(id));
        // Whoever brings over the records of another system has nobody before them.
        if !is_shown && context.actor.role != Role::Integration {
            return Err(PatientError::NotShown.into());
        }
        Ok(decision.append(patient_id, PatientAdmitted { trial_id, site_id: self.site_id }))
    }
}

/// Checks a value with its unit: a code has none.
fn check_value(value: &ObservationValue, unit: Option<&str>) -> Result<(), Invalid> {
    match (value, unit) {
        (ObservationValue::Code(_), Some(_)) => {
            let expected = "left out: a code has no unit".to_owned();
            Err(Invalid::OutOfRange { field: "unit".to_owned(), expected })
        }
        (ObservationValue::Code(value), None) => validate::text("value", value),
        (ObservationValue::Number(_), _) => validate::optional_unit("unit", unit),
    }
}

/// Checks what is said of a person.
fn check(
    context: &Context,
    place: &Place<'_>,
    texts: [(&str, Option<&Personal<String>>); 2],
    mobile: Option<&Personal<String>>,
    birth_date: Option<&Personal<PartialDate>>,
) -> Result<(), Halt> {
    let [name, national_id] = texts;
    let text = |(field, text)| validate::personal_text(field, text);
    validate::all([text(name), text(national_id), validate::mobile("mobile", mobile)])?;
    match birth_date.and_then(Personal::expose) {
        Some(birth_date) => past_day(context, "birth_date", birth_date.earliest(), place),
        None => Ok(()),
    }
}

impl Command for CorrectDemographics {
    type Target = PatientId;
    const NAME: &'static str = "CorrectDemographics";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let person = registered(facts, patient_id, None)?;
        let texts = [("name", self.name.value()), ("national_id", self.national_id.value())];
        check(context, &person.place(facts), texts, self.mobile.value(), self.birth_date.value())?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &person.place(facts))?;
        let (name, old_name) = self.name.of(&person.name);
        let (national_id, old_id) = self.national_id.of(&person.national_id);
        let (mobile, old_mobile) = self.mobile.of(&person.mobile);
        let (birth_date, old_birth) = self.birth_date.of(&person.birth_date);
        let (sex, old_sex) = self.sex.of(&person.sex);
        let (time_zone, old_zone) = self.time_zone.of(&person.time_zone);
        let changes = Demographics { name, national_id, mobile, birth_date, sex, time_zone };
        if changes == Demographics::default() {
            return Err(Unchanged.into());
        }
        let previous = Demographics {
            name: old_name,
            national_id: old_id,
            mobile: old_mobile,
            birth_date: old_birth,
            sex: old_sex,
            time_zone: old_zone,
        };
        let corrected = DemographicsCorrected { changes, previous, reason: self.reason.clone().into() };
        let mut known_as = person.national_id.clone();
        corrected.changes.national_id.apply(&mut known_as);
        let decision = Decision::new(References::patient(patient_id), occurred_at).append(patient_id, corrected);
        national_id::claim(decision, context, facts, patient_id, [person.national_id.as_ref(), known_as.as_ref()])
    }
}

impl Command for RecordObservation {
    type Target = PatientId;
    const NAME: &'static str = "RecordObservation";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([validate::code("code", &self.code), check_value(&self.value, self.unit.as_deref())])?;
        let person = registered(facts, patient_id, None)?;
        person.require_place_for(&self.code)?;
        let observed_at = self.observed_at.time(context, "observed_at", &person.place(facts))?;
        let recorded = ObservationRecorded {
            code: self.code.clone(),
            value: self.value.clone(),
            unit: self.unit.clone(),
            observed_at,
        };
        Ok(Decision::new(References::patient(patient_id), observed_at).append(patient_id, recorded))
    }
}

impl Command for CorrectObservation {
    type Target = PatientId;
    const NAME: &'static str = "CorrectObservation";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::prose("reason", &self.reason),
            validate::code("code", &self.code),
            validate::optional_unit("unit", self.unit.value().map(String::as_str)),
        ])?;
        let person = registered(facts, patient_id, None)?;
        let place = person.place(facts);
        let observed_at = self.observed_at.time(context, "observed_at", &place)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let known = person.observation_of(&self.code, observed_at).ok_or(PatientError::ObservationNotFound)?;
        let moved = match self.observed_at_corrected {
            When::NOW => Change::NONE,
            when => Change::to(when.time(context, "observed_at_corrected", &place)?),
        };
        let (value, old_value) = self.value.of(&known.value);
        let (unit, old_unit) = self.unit.of(&known.unit);
        let mut corrected = known.clone();
        value.apply(&mut corrected.value);
        unit.apply(&mut corrected.unit);
        check_value(&corrected.value, corrected.unit.as_deref())?;
        let (moved, old_time) = moved.of(&known.observed_at);
        let changes = ObservationFields { value, unit, observed_at: moved };
        if changes == ObservationFields::default() {
            return Err(Unchanged.into());
        }
        let corrected = ObservationCorrected {
            code: known.code.clone(),
            observed_at,
            changes,
            previous: ObservationFields { value: old_value, unit: old_unit, observed_at: old_time },
            reason: self.reason.clone().into(),
        };
        Ok(Decision::new(References::patient(patient_id), occurred_at).append(patient_id, corrected))
    }
}
