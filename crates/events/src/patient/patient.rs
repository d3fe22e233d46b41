//! Events of a `patient` stream: the person.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time_zone::TimeZone;
use crate::trial::ObservationValue;
use crate::values::{PartialDate, Personal};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

event_set! {
    /// What can happen to a patient.
    pub enum PatientEvent in Patient {
        PatientRegistered = 1;
        ObservationRecorded = 1;
    }
}
