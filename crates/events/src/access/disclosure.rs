//! Events of a `disclosure` stream: that somebody was shown who a person is, or given a copy of what is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::PatientId;
use crate::values::Prose;

/// What was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DisclosureKind {
    /// Who the person is, unmasked.
    Identity,
    /// The history, unmasked.
    History,
    /// A copy of the history.
    Export,
    /// That somebody with this national id is registered.
    Search,
    /// Which treatment the person was allocated to, after the blind was broken for them.
    Allocation,
}

/// Something about a person was shown to who is told as the event's actor (ICH E6(R3), 4.2.2(a); 45 CFR 164.528(b)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisclosureRecorded {
    /// The person.
    pub patient_id: PatientId,
    /// What was shown.
    pub kind: DisclosureKind,
    /// Whether personal data were in it as they are.
    pub unmasked: bool,
    /// What for, as whoever asked said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Prose>,
    /// The network address from which it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

event_set! {
    /// What can happen to a disclosure.
    pub enum DisclosureEvent in Disclosure {
        DisclosureRecorded = 1;
    }
}
