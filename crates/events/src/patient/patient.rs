//! Events of a `patient` stream: the person.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::{Change, OptionalChange};
use crate::ids::{SiteId, TrialId};
use crate::messaging::contact::Contact;
use crate::time_zone::TimeZone;
use crate::trial::ObservationValue;
use crate::values::{PartialDate, Personal, Prose};

/// Sex as recorded (CDISC codelist C66731).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Sex {
    /// Female.
    F,
    /// Male.
    M,
    /// Unknown.
    U,
    /// Intersex (CDISC `INTERSEX`).
    #[serde(rename = "INTERSEX")]
    Intersex,
}

impl Sex {
    /// The CDISC submission value.
    pub const fn code(self) -> &'static str {
        match self {
            Sex::F => "F",
            Sex::M => "M",
            Sex::U => "U",
            Sex::Intersex => "INTERSEX",
        }
    }
}

/// The person was registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatientRegistered {
    /// Full name.
    pub name: Option<Personal<String>>,
    /// National identity number.
    pub national_id: Option<Personal<String>>,
    /// Mobile telephone number, E.164.
    pub mobile: Option<Personal<String>>,
    /// Date of birth.
    pub birth_date: Option<Personal<PartialDate>>,
    /// Sex.
    pub sex: Option<Personal<Sex>>,
    /// The time zone in which the person lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
    /// The site that registered the person; its days count where the person's own time zone is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_id: Option<SiteId>,
    /// The trial of that site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_id: Option<TrialId>,
}

/// A further site takes care of the person: whoever may see its patients may see this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatientAdmitted {
    /// The trial of the site.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
}

/// Something about the person was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationRecorded {
    /// What was observed, such as `MMSE` or `SYSBP`.
    pub code: String,
    /// The value.
    pub value: ObservationValue,
    /// UCUM unit.
    pub unit: Option<String>,
    /// When it was observed.
    pub observed_at: DateTime<Utc>,
}

/// What was recorded of the person was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DemographicsCorrected {
    /// What is known now; a field that is absent did not change.
    pub changes: Demographics,
    /// What the same fields were.
    pub previous: Demographics,
    /// Why it was corrected.
    pub reason: Prose,
}

/// Fields of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Demographics {
    /// Full name.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub name: OptionalChange<Personal<String>>,
    /// National identity number.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub national_id: OptionalChange<Personal<String>>,
    /// Mobile telephone number, E.164.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub mobile: OptionalChange<Personal<String>>,
    /// Date of birth.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub birth_date: OptionalChange<Personal<PartialDate>>,
    /// Sex.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub sex: OptionalChange<Personal<Sex>>,
    /// The time zone in which the person lives.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub time_zone: OptionalChange<TimeZone>,
}

/// An observation was corrected: the latest recorded one of this code and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationCorrected {
    /// What was observed.
    pub code: String,
    /// When it was observed, as it stood before.
    pub observed_at: DateTime<Utc>,
    /// What is known now; a field that is absent did not change.
    pub changes: ObservationFields,
    /// What the same fields were.
    pub previous: ObservationFields,
    /// Why it was corrected.
    pub reason: Prose,
}

/// Fields of an observation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationFields {
    /// The value.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub value: Change<ObservationValue>,
    /// UCUM unit.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub unit: OptionalChange<String>,
    /// When it was observed.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub observed_at: Change<DateTime<Utc>>,
}

/// How the person is reached and wishes to be, in place of what was known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactPreferencesSet {
    /// How.
    pub contact: Contact,
}

event_set! {
    /// What can happen to a patient.
    pub enum PatientEvent in Patient {
        PatientRegistered = 1;
        PatientAdmitted = 1;
        DemographicsCorrected = 1;
        ObservationRecorded = 1;
        ObservationCorrected = 1;
        ContactPreferencesSet = 1;
    }
}
