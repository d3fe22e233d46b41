//! Messages from the JSON of the REST interface.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use events::trial::ObservationValue;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny};
use serde_json::value::RawValue;

use crate::v1::{self, answer, observation_value};

/// Words of an enumeration.
pub trait Words: Into<i32> + Sized {
    /// What their names begin with.
    const PREFIX: &'static str;

    /// The one of this name.
    fn named(name: &str) -> Option<Self>;
}

macro_rules! words {
    ($($name:ident $prefix:literal)*) => {$(
        impl Words for v1::$name {
            const PREFIX: &'static str = $prefix;

            fn named(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    )*};
}

words! {
    Blinding "BLINDING"
    CriterionCategory "CRITERION_CATEGORY"
    CriterionResult "CRITERION_RESULT"
    EligibilityOutcome "ELIGIBILITY_OUTCOME"
    EnrolmentMode "ENROLMENT_MODE"
    SiteStatus "SITE_STATUS"
    SubjectStatus "SUBJECT_STATUS"
    TrialStatus "TRIAL_STATUS"
}

/// A word in kebab-case; none is 0, and so is one that is not known here.
///
/// # Errors
/// Where it is no text.
pub fn word<'de, E: Words, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    let name = word.map(|word| format!("{}_{}", E::PREFIX, word.to_uppercase().replace('-', "_")));
    Ok(name.and_then(|name| E::named(&name)).map_or(0, Into::into))
}

/// A word in kebab-case, as the REST interface takes it.
pub fn kebab<E: Words>(name: &str) -> String {
    let word = name.strip_prefix(E::PREFIX).unwrap_or(name).trim_start_matches('_');
    word.to_lowercase().replace('_', "-")
}

/// A time (RFC 3339).
///
/// # Errors
/// Where it is none.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<prost_types::Timestamp>, D::Error> {
    let time = Option::<DateTime<Utc>>::deserialize(deserializer)?;
    Ok(time.map(|time| prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }))
}

/// Whatever it is, as it is written.
///
/// # Errors
/// Where it is no JSON.
pub fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Box::<str>::from(Box::<RawValue>::deserialize(deserializer)?).into_string())
}

/// How many there are.
///
/// # Errors
/// Where it is no list.
pub fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    u32::try_from(Vec::<IgnoredAny>::deserialize(deserializer)?.len()).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for v1::ObservationValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match ObservationValue::deserialize(deserializer)? {
            ObservationValue::Number(number) => {
                observation_value::Value::Number(number.to_string().parse().map_err(D::Error::custom)?)
            }
            ObservationValue::Code(code) => observation_value::Value::Code(code),
        };
        Ok(Self { value: Some(value) })
    }
}

impl<'de> Deserialize<'de> for v1::Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(number) => answer::Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => answer::Value::Text(text),
            other => return Err(D::Error::custom(format!("{other} is neither a number nor text"))),
        };
        Ok(Self { value: Some(value) })
    }
}

/// Lists by name, as the REST interface tells them.
///
/// # Errors
/// Where they are none.
pub fn lists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, v1::ObservationList>, D::Error> {
    let lists = BTreeMap::<String, Vec<v1::Observation>>::deserialize(deserializer)?;
    Ok(lists.into_iter().map(|(code, observations)| (code, v1::ObservationList { observations })).collect())
}
