//! Events of a `device` stream: who wears it, and what came from it.
//!
//! Readings themselves are kept beside the log; each event tells how many there are, of which time, what each day comes to, and
//! by a hash which they are (docs/adr/0047).

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::prelude::*;
use crate::readings::kind::ReadingKind;
use crate::readings::rule::ReadingRule;
use crate::trial::questionnaire::TriggeredRule;

/// Somebody has the device from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceAssigned {
    /// The sponsor's identifier of the device, unique in the trial (CDISC `SPDEVID`).
    pub device: String,
    /// The subject who has it.
    pub subject_id: SubjectId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site that gives it out.
    pub site_id: SiteId,
    /// The subject, as a person.
    pub patient_id: PatientId,
    /// Who makes it (CDISC `MANUF`).
    pub manufacturer: Option<String>,
    /// Its model (CDISC `MODEL`).
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<Personal<String>>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// The trial's rules that it must not be silent for too long, as they were then.
    pub silence_rules: Vec<ReadingRule>,
}

/// Nobody has it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceReturned {
    /// The subject who had it.
    pub subject_id: SubjectId,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Why, where something is to be said about it.
    pub reason: Option<Prose>,
}

/// What the readings of one kind on one day come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DayOfReadings {
    /// The day, at the subject's site.
    pub day: NaiveDate,
    /// What was measured.
    pub kind: ReadingKind,
    /// How many readings.
    pub count: u32,
    /// The smallest value, in the unit of the kind.
    pub min: Quantity,
    /// The greatest value.
    pub max: Quantity,
    /// All values added, to thirteen significant digits.
    pub sum: Quantity,
}

/// Readings that were stored together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// By which they are found.
    pub chunk_id: Uuid,
    /// The upload that they came with.
    pub upload_id: Uuid,
    /// How many readings are new.
    pub count: u32,
    /// The time of the first.
    pub from: DateTime<Utc>,
    /// The time of the last.
    pub until: DateTime<Utc>,
    /// SHA-256 of the readings as docs/guides/wearables.md writes them, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// What each day comes to.
    pub days: Vec<DayOfReadings>,
    /// By how many seconds the device's clock was ahead of the server's, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_seconds: Option<i64>,
}

/// Readings of who has the device were stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingsReceived {
    /// The sponsor's identifier of the device.
    pub device: String,
    /// The subject who wore it.
    pub subject_id: SubjectId,
    /// The readings.
    pub chunk: Chunk,
    /// The rules that they met, on some day on which nothing had met them before.
    pub triggered_rules: Vec<TriggeredRule>,
    /// These days, by the rule's code.
    pub met_on: BTreeMap<String, Vec<NaiveDate>>,
}

/// Readings were stored apart, because nobody knows that the device is the subject's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingsQuarantined {
    /// As the device was called.
    pub device: String,
    /// The subject for whom they were sent.
    pub subject_id: SubjectId,
    /// The readings.
    pub chunk: Chunk,
}

/// Readings that were stored apart belong to the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingsReleased {
    /// The sponsor's identifier of the device.
    pub device: String,
    /// The subject.
    pub subject_id: SubjectId,
    /// Those that were stored together.
    pub chunk_ids: Vec<Uuid>,
    /// How many readings.
    pub count: u64,
    /// What each day comes to.
    pub days: Vec<DayOfReadings>,
    /// The rules that they met, on some day on which nothing had met them before.
    pub triggered_rules: Vec<TriggeredRule>,
    /// These days, by the rule's code.
    pub met_on: BTreeMap<String, Vec<NaiveDate>>,
    /// How it is known that they do.
    pub reason: Prose,
}

/// Readings that were stored apart do not belong to the subject: they are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingsDiscarded {
    /// As the device was called.
    pub device: String,
    /// The subject for whom they were sent.
    pub subject_id: SubjectId,
    /// Those that were stored together.
    pub chunk_ids: Vec<Uuid>,
    /// How many readings.
    pub count: u64,
    /// Why.
    pub reason: Prose,
}

event_set! {
    /// What can happen to a device.
    pub enum DeviceEvent in Device {
        DeviceAssigned = 1;
        DeviceReturned = 1;
        ReadingsReceived = 1;
        ReadingsQuarantined = 1;
        ReadingsReleased = 1;
        ReadingsDiscarded = 1;
    }
}
