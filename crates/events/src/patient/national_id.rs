//! Events of a `national-id` stream: the claim that keeps one person from being registered twice. The stream's id is a
//! keyed MAC: it tells nobody the number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identifier;
use crate::ids::PatientId;

/// The kind of search key that national ids have.
pub const KIND: &str = "national-id";

/// What numbers that look the same, or are grouped in another way, have in common.
pub fn canonical(text: &str) -> String {
    identifier::key(text).chars().filter(|character| character.is_alphanumeric()).collect()
}

/// A person was registered with the national id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NationalIdClaimed {
    /// The person.
    pub patient_id: PatientId,
}

/// The national id was recorded for the person by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NationalIdReleased {
    /// The person.
    pub patient_id: PatientId,
}

event_set! {
    /// What can happen to a national id.
    pub enum NationalIdEvent in NationalId {
        NationalIdClaimed = 1;
        NationalIdReleased = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn numbers_that_look_the_same_are_the_same() {
        for text in ["090348 12345", "09034812345", "0903-4812345", "\u{ff10}9034812345"] {
            assert_eq!(canonical(text), "09034812345", "{text}");
        }
        assert_eq!(canonical("11010119480309001x"), canonical("11010119480309001X"));
        assert_ne!(canonical("1"), canonical("2"));
    }
}
