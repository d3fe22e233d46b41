//! Readings that were stored beside the log: what of them the log says.

use events::readings::device::{Chunk, ReadingsDiscarded, ReadingsQuarantined, ReadingsReceived, ReadingsReleased};

use super::device::{Apart, Device, DeviceError, taking_part};
use super::rules;
use crate::consent::Consent;
use crate::consent::participant::{Participant, participant};
use crate::enrolment::subject::Subject;
use crate::prelude::*;
use crate::trial::{self, Trial};

pub use super::device::RULES;

/// Days and kinds of one chunk: it is one event.
pub const DAYS_MAX: usize = 500;
/// Chunks of a device that may be stored apart for a subject.
const APART_MAX: usize = 5_000;
/// Days and kinds that may be: what is released is one event.
const APART_DAYS_MAX: usize = 2_000;

/// Asks whether readings of a patient may be sent, and records nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginUpload {
    /// The trial.
    pub trial_id: TrialId,
}

/// Records readings that were stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveReadings {
    /// The trial.
    pub trial_id: TrialId,
    /// The patient for whom they were sent.
    pub patient_id: PatientId,
    /// As the device is called.
    pub device: String,
    /// The readings.
    pub chunk: Chunk,
}

/// Says that readings of an unknown device are the subject's, to whom the device was assigned since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseReadings {
    /// The subject for whom they were sent.
    pub subject_id: SubjectId,
    /// How it is known that they are theirs.
    pub reason: String,
}

/// Says that readings of an unknown device are not the subject's: they are deleted. The log keeps how many there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardReadings {
    /// The subject for whom they were sent.
    pub subject_id: SubjectId,
    /// Why they are not.
    pub reason: String,
}

impl Command for BeginUpload {
    type Target = PatientId;
    const NAME: &'static str = "BeginUpload";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        of_subject(patient_id, self.trial_id)
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let participant = taking_part(facts, patient_id, self.trial_id)?;
        let consent = facts.get::<Consent>(ConsentId::of(patient_id, self.trial_id))?;
        // Of which time something is covered each reading is asked.
        if consent.latest().is_none() {
            participant.require_consent(facts, context.now)?;
        }
        Ok(Decision::new(participant.references(), context.now))
    }
}

/// What is looked at of somebody who takes part.
fn of_subject(patient_id: PatientId, trial_id: TrialId) -> Vec<Need> {
    vec![
        Need::of::<Subject>(SubjectId::of(patient_id, trial_id)),
        Need::of::<Consent>(ConsentId::of(patient_id, trial_id)),
        Need::of::<Trial>(trial_id),
    ]
}

impl Command for ReceiveReadings {
    type Target = DeviceId;
    const NAME: &'static str = "ReceiveReadings";

    fn reads(&self, device_id: DeviceId) -> Vec<Need> {
        let mut needs = of_subject(self.patient_id, self.trial_id);
        needs.push(Need::of::<Device>(device_id));
        needs
    }

    fn decide(&self, device_id: DeviceId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("device", &self.device),
            validate::sha256("chunk/sha256", &self.chunk.sha256),
            validate::count("chunk/days", self.chunk.days.len(), DAYS_MAX),
        ])?;
        let device = facts.get::<Device>(device_id)?;
        if device_id != DeviceId::of(self.trial_id, &self.device) || !device.is_called(&self.device) {
            return Err(DeviceError::ForeignId.into());
        }
        let participant = taking_part(facts, self.patient_id, self.trial_id)?;
        let subject_id = participant.subject_id;
        participant.require_consent(facts, self.chunk.from)?;
        participant.require_consent(facts, self.chunk.until)?;
        let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
        let decision = Decision::new(participant.references(), context.now);
        let (name, chunk) = (self.device.clone(), self.chunk.clone());
        if device.is_worn(subject_id, chunk.from, chunk.until) {
            let raised = device.raised.get(&subject_id);
            let (triggered_rules, met_on) = rules::met(&course.reading_rules, &chunk.days, raised);
            let received = ReadingsReceived { device: name, subject_id, chunk, triggered_rules, met_on };
            return Ok(decision.append(device_id, received));
        }
        let has_room =
            |apart: &Apart| apart.chunk_ids.len() < APART_MAX && apart.days.len() + chunk.days.len() <= APART_DAYS_MAX;
        if !device.apart.get(&subject_id).is_none_or(has_room) {
            return Err(DeviceError::TooMuchApart.into());
        }
        Ok(decision.append(device_id, ReadingsQuarantined { device: name, subject_id, chunk }))
    }
}

/// What of a device is stored apart for a subject.
fn apart(facts: &Facts, device_id: DeviceId, subject_id: SubjectId) -> Result<(&Device, &Apart, Participant), Halt> {
    facts.require([Need::of::<Device>(device_id), Need::of::<Subject>(subject_id)])?;
    let device = facts.get::<Device>(device_id)?;
    device.require_known(device_id)?;
    let participant = participant(facts, subject_id, Some("subject_id"))?;
    let apart = device.apart.get(&subject_id).ok_or(DeviceError::NothingApart)?;
    Ok((device, apart, participant))
}

impl Command for ReleaseReadings {
    type Target = DeviceId;
    const NAME: &'static str = "ReleaseReadings";

    fn decide(&self, device_id: DeviceId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let (device, apart, participant) = apart(facts, device_id, self.subject_id)?;
        if device.spans_of(self.subject_id).next().is_none() {
            return Err(DeviceError::NotAssigned.into());
        }
        let course = trial::registered(facts, participant.trial_id, None)?;
        let days: Vec<_> = apart.days.clone().into();
        let (triggered_rules, met_on) = rules::met(&course.reading_rules, &days, device.raised.get(&self.subject_id));
        let released = ReadingsReleased {
            device: device.require_known(device_id)?.to_owned(),
            subject_id: self.subject_id,
            chunk_ids: apart.chunk_ids.clone(),
            count: apart.count,
            days,
            triggered_rules,
            met_on,
            reason: self.reason.clone().into(),
        };
        Ok(Decision::new(participant.references(), context.now).append(device_id, released))
    }
}

impl Command for DiscardReadings {
    type Target = DeviceId;
    const NAME: &'static str = "DiscardReadings";

    fn decide(&self, device_id: DeviceId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let (device, apart, participant) = apart(facts, device_id, self.subject_id)?;
        let discarded = ReadingsDiscarded {
            device: device.require_known(device_id)?.to_owned(),
            subject_id: self.subject_id,
            chunk_ids: apart.chunk_ids.clone(),
            count: apart.count,
            reason: self.reason.clone().into(),
        };
        Ok(Decision::new(participant.references(), context.now).append(device_id, discarded))
    }
}
