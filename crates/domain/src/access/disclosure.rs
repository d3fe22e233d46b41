//! That somebody was shown who a person is: recorded by the program itself, before it is shown.

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt};
use events::access::disclosure::{DisclosureEvent, DisclosureKind, DisclosureRecorded};
use events::envelope::References;
use events::ids::{DisclosureId, PatientId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{patient, validate};

/// A disclosure; nothing is decided on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosure {
    /// How often it was recorded.
    records: u32,
}

/// Records that somebody is shown something about a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDisclosure {
    /// The person.
    pub patient_id: PatientId,
    /// What is shown.
    pub kind: DisclosureKind,
    /// Whether personal data are in it as they are.
    pub unmasked: bool,
    /// What for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// From where it was asked.
    #[serde(default)]
    pub address: Option<String>,
}

rules! {
    /// Why a disclosure is not recorded.
    pub enum DisclosureError {
        NoPurpose => NO_PURPOSE = "disclosure-without-purpose":
            "personal data are shown for a stated purpose only", field "purpose";
    }
}

impl Command for RecordDisclosure {
    type Target = DisclosureId;
    const NAME: &'static str = "RecordDisclosure";

    fn decide(&self, disclosure_id: DisclosureId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::optional_text("purpose", self.purpose.as_deref())?;
        if self.unmasked && self.purpose.is_none() {
            return Err(DisclosureError::NoPurpose.into());
        }
        facts.get::<Disclosure>(disclosure_id)?;
        patient::registered(facts, self.patient_id, Some("patient_id"))?;
        let recorded = DisclosureRecorded {
            patient_id: self.patient_id,
            kind: self.kind,
            unmasked: self.unmasked,
            purpose: self.purpose.clone().map(Into::into),
            address: self.address.clone(),
        };
        // Not about the patient: to ask for a history does not change it.
        Ok(Decision::new(References::default(), context.now).append(disclosure_id, recorded))
    }
}

impl Aggregate for Disclosure {
    type Id = DisclosureId;
    type Event = DisclosureEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, _event: &DisclosureEvent, _occurred_at: DateTime<Utc>) -> Self {
        Self { records: self.records.saturating_add(1) }
    }
}
