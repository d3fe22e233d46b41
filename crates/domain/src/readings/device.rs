//! The wearable: who has it, and what came from it of which nobody knows yet whose it is.

use std::collections::BTreeMap;

use events::identifier;
use events::readings::device::{Chunk, DayOfReadings, DeviceAssigned, DeviceEvent, DeviceReturned};
use events::readings::kind::ReadingKind;
use events::readings::rule::ReadingTest;
use uuid::Uuid;

use super::rules::Raised;
use crate::consent::participant::{Participant, participant};
use crate::enrolment::subject::Subject;
use crate::prelude::*;
use crate::trial;

/// Days of each rule that are remembered: older readings may raise an alert again.
const DAYS_REMEMBERED_MAX: usize = 400;

/// A device in one trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// As it is called.
    pub(super) name: Option<String>,
    /// Who had it, in order; only the last may have it still.
    pub(super) worn: Vec<Worn>,
    /// What came from it, by subject, of which nobody knows yet whether it is theirs.
    pub(super) apart: BTreeMap<SubjectId, Apart>,
    /// On which days which rules raised an alert about which subject.
    pub(super) raised: BTreeMap<SubjectId, Raised>,
}

/// Somebody has a device, or had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Worn {
    pub(super) by: Participant,
    pub(super) from: DateTime<Utc>,
    pub(super) until: Option<DateTime<Utc>>,
}

/// Readings that are stored apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Apart {
    pub(super) chunk_ids: Vec<Uuid>,
    pub(super) count: u64,
    pub(super) days: Days,
}

/// What days come to, by day and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<DayOfReadings>", into = "Vec<DayOfReadings>")]
pub(super) struct Days(BTreeMap<(NaiveDate, ReadingKind), DayOfReadings>);

impl From<Vec<DayOfReadings>> for Days {
    fn from(days: Vec<DayOfReadings>) -> Self {
        let mut all = Days::default();
        days.iter().for_each(|day| all.add(day));
        all
    }
}

impl From<Days> for Vec<DayOfReadings> {
    fn from(days: Days) -> Self {
        days.0.into_values().collect()
    }
}

impl Days {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, more: &DayOfReadings) {
        let Some(known) = self.0.get_mut(&(more.day, more.kind)) else {
            self.0.insert((more.day, more.kind), more.clone());
            return;
        };
        known.count = known.count.saturating_add(more.count);
        known.min = known.min.min(more.min);
        known.max = known.max.max(more.max);
        known.sum = known.sum.plus(more.sum);
    }
}

/// Gives a wearable to a subject. What it measures from then on is the subject's; what it sent before is stored apart, and can be
/// released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignDevice {
    /// The sponsor's identifier of the device, unique in the trial (CDISC `SPDEVID`): what its readings call it. Not its serial
    /// number, which identifies a person.
    pub device: String,
    /// Who makes it (CDISC `MANUF`).
    #[serde(default)]
    pub manufacturer: Option<String>,
    /// Its model (CDISC `MODEL`).
    #[serde(default)]
    pub model: Option<String>,
    /// Its serial number; kept as personal data.
    #[serde(default)]
    pub serial_number: Option<Personal<String>>,
    /// From when on the subject has it; by default now.
    pub from: When,
}

/// Takes a wearable back. What it measured before still is the subject's, whenever it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnDevice {
    /// Until when the subject had it; by default now.
    pub until: When,
    /// Why, where something is to be said about it.
    #[serde(default)]
    pub reason: Option<String>,
}

rules! {
    /// Why a command to a device is refused.
    pub enum DeviceError {
        InUse => IN_USE = "device-in-use": "somebody has the device: take it back first", field "device";
        HadBefore(on: NaiveDate) => HAD_BEFORE = "device-had-by-others":
            "somebody else had the device until {0}, later than this", field "from";
        NotOut => NOT_OUT = "device-not-out": "nobody has the device";
        ReturnedBefore(on: NaiveDate) => RETURNED_BEFORE = "device-returned-before-given":
            "the device was given out on {0}, later than this", field "until";
        ForeignId => FOREIGN_ID = "device-id-foreign": "the id is not that of a device of this name in this trial";
        NotAssigned => NOT_ASSIGNED = "device-not-assigned":
            "the device was never given to the subject: assign it first", field "subject_id";
        NotASubject => NOT_A_SUBJECT = "patient-not-a-subject":
            "the patient does not take part in this trial", field "trial_id";
        NothingApart => NOTHING_APART = "readings-not-apart":
            "no readings of the device are stored apart for the subject", field "subject_id";
        TooMuchApart => TOO_MUCH_APART = "readings-apart-too-many":
            "too many readings of the device are stored apart already: release or discard them first";
        _ => NOT_FOUND = "device-not-found";
    }
}

/// The patient as a subject of the trial.
///
/// # Errors
/// [`DeviceError::NotASubject`]; [`Halt::Needs`] where it is not loaded yet.
pub(super) fn taking_part(facts: &Facts, patient_id: PatientId, trial_id: TrialId) -> Result<Participant, Halt> {
    let subject_id = SubjectId::of(patient_id, trial_id);
    match facts.get::<Subject>(subject_id)? {
        Subject::Screened(participation) => Ok(Participant::of(subject_id, participation)),
        Subject::Unscreened => Err(DeviceError::NotASubject.into()),
    }
}

impl Command for AssignDevice {
    type Target = SubjectId;
    const NAME: &'static str = "AssignDevice";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("device", &self.device),
            self.manufacturer.as_deref().map_or(Ok(()), |name| validate::code("manufacturer", name)),
            self.model.as_deref().map_or(Ok(()), |name| validate::code("model", name)),
            validate::personal_text("serial_number", self.serial_number.as_ref()),
        ])?;
        let participant = participant(facts, subject_id, None)?;
        let place = participant.place(facts);
        let from = self.from.time(context, "from", &place)?;
        participant.require_consent(facts, from)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let device_id = DeviceId::of(participant.trial_id, &self.device);
        let device = facts.get::<Device>(device_id)?;
        let decision = Decision::new(participant.references(), from);
        match device.worn.last() {
            Some(Worn { until: None, by, .. }) if by.subject_id == subject_id => return Ok(decision),
            Some(Worn { until: None, .. }) => return Err(DeviceError::InUse.into()),
            Some(Worn { until: Some(until), .. }) => {
                place.require_not_before(from, *until, DeviceError::HadBefore)?;
            }
            None => {}
        }
        let is_of_silence = |test: &ReadingTest| matches!(test, ReadingTest::Silence { .. });
        let assigned = DeviceAssigned {
            device: self.device.clone(),
            subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            manufacturer: self.manufacturer.clone(),
            model: self.model.clone(),
            serial_number: self.serial_number.clone(),
            from,
            silence_rules: course.reading_rules.iter().filter(|rule| is_of_silence(&rule.test)).cloned().collect(),
        };
        Ok(decision.append(device_id, assigned))
    }
}

impl Command for ReturnDevice {
    type Target = DeviceId;
    const NAME: &'static str = "ReturnDevice";

    fn decide(&self, device_id: DeviceId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::optional_prose("reason", self.reason.as_deref())?;
        let device = facts.get::<Device>(device_id)?;
        device.require_known(device_id)?;
        let worn = device.worn.last().filter(|worn| worn.until.is_none()).ok_or(DeviceError::NotOut)?;
        let place = worn.by.place(facts);
        let until = self.until.time(context, "until", &place)?;
        place.require_not_before(until, worn.from, DeviceError::ReturnedBefore)?;
        let reason = self.reason.clone().map(Into::into);
        let returned = DeviceReturned { subject_id: worn.by.subject_id, until, reason };
        Ok(Decision::new(worn.by.references(), until).append(device_id, returned))
    }
}

impl Device {
    /// Who has it, or had it last.
    pub fn participant(&self) -> Option<Participant> {
        self.worn.last().map(|worn| worn.by)
    }

    /// The spans of time in which the subject has it, or had it.
    pub fn spans_of(&self, subject_id: SubjectId) -> impl Iterator<Item = (DateTime<Utc>, Option<DateTime<Utc>>)> {
        self.worn.iter().filter(move |worn| worn.by.subject_id == subject_id).map(|worn| (worn.from, worn.until))
    }

    /// Whether the subject had it from the one time to the other.
    pub(super) fn is_worn(&self, subject_id: SubjectId, first: DateTime<Utc>, last: DateTime<Utc>) -> bool {
        self.spans_of(subject_id).any(|(from, until)| from <= first && until.is_none_or(|until| last < until))
    }

    pub(super) fn require_known(&self, device_id: DeviceId) -> Result<&str, Halt> {
        let not_found = || NotFound::halt(DeviceError::NOT_FOUND, "device", device_id, None);
        self.name.as_deref().ok_or_else(not_found)
    }

    /// Whether it is called so, or not called yet.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|known| identifier::same(known, name))
    }

    fn keep_apart(&mut self, subject_id: SubjectId, chunk: &Chunk) {
        let apart = self.apart.entry(subject_id).or_default();
        apart.chunk_ids.push(chunk.chunk_id);
        apart.count += u64::from(chunk.count);
        chunk.days.iter().for_each(|day| apart.days.add(day));
    }

    fn remember(&mut self, subject_id: SubjectId, met_on: &BTreeMap<String, Vec<NaiveDate>>) {
        for (rule, days) in met_on {
            let known = self.raised.entry(subject_id).or_default().entry(rule.clone()).or_default();
            known.extend(days);
            while known.len() > DAYS_REMEMBERED_MAX {
                known.pop_first();
            }
        }
    }
}

impl Aggregate for Device {
    type Id = DeviceId;
    type Event = DeviceEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(mut self, event: &DeviceEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            DeviceEvent::DeviceAssigned(assigned) => {
                self.name = Some(assigned.device.clone());
                let DeviceAssigned { subject_id, trial_id, site_id, patient_id, from, .. } = *assigned;
                let by = Participant { subject_id, trial_id, site_id, patient_id };
                self.worn.push(Worn { by, from, until: None });
            }
            DeviceEvent::DeviceReturned(returned) => {
                if let Some(worn) = self.worn.last_mut() {
                    worn.until = Some(returned.until);
                }
            }
            DeviceEvent::ReadingsReceived(received) => {
                self.name.get_or_insert_with(|| received.device.clone());
                self.remember(received.subject_id, &received.met_on);
            }
            DeviceEvent::ReadingsQuarantined(quarantined) => {
                self.name.get_or_insert_with(|| quarantined.device.clone());
                self.keep_apart(quarantined.subject_id, &quarantined.chunk);
            }
            DeviceEvent::ReadingsReleased(released) => {
                self.apart.remove(&released.subject_id);
                self.remember(released.subject_id, &released.met_on);
            }
            DeviceEvent::ReadingsDiscarded(discarded) => {
                self.apart.remove(&discarded.subject_id);
            }
        }
        self
    }
}
