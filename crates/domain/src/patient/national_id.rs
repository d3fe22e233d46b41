//! The claim that keeps a person from being registered twice.

use chrono::{DateTime, Utc};
use decider::{Aggregate, Context, Decision, Facts, Halt};
use events::ids::{NationalIdKey, PatientId};
use events::patient::national_id::{KIND, NationalIdClaimed, NationalIdEvent, NationalIdReleased, canonical};
use events::values::Personal;
use serde::{Deserialize, Serialize};

use super::PatientError;

/// Who bears a national id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NationalId {
    /// Nobody who is registered.
    #[default]
    Free,
    /// This person.
    Claimed(PatientId),
}

/// The key of a national id; none where it is not known, or can no longer be read.
fn key(context: &Context, national_id: Option<&Personal<String>>) -> Option<NationalIdKey> {
    let text = national_id?.expose()?;
    Some(context.search.key(KIND, &canonical(text)).into())
}

/// Has the person bear this national id in place of the one that is known.
///
/// # Errors
/// [`Halt`] where it is not loaded yet, or somebody else bears it.
pub fn claim(
    decision: Decision,
    context: &Context,
    facts: &Facts,
    patient_id: PatientId,
    [known, new]: [Option<&Personal<String>>; 2],
) -> Result<Decision, Halt> {
    let (known, new) = (key(context, known), key(context, new));
    if known == new {
        return Ok(decision);
    }
    let mut decision = decision;
    if let Some(known) = known
        && *facts.get::<NationalId>(known)? == NationalId::Claimed(patient_id)
    {
        decision = decision.append(known, NationalIdReleased { patient_id });
    }
    let Some(new) = new else { return Ok(decision) };
    match facts.get::<NationalId>(new)? {
        NationalId::Free => Ok(decision.append(new, NationalIdClaimed { patient_id })),
        NationalId::Claimed(other) if *other == patient_id => Ok(decision),
        NationalId::Claimed(_) => Err(PatientError::NationalIdTaken.into()),
    }
}

impl Aggregate for NationalId {
    type Id = NationalIdKey;
    type Event = NationalIdEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &NationalIdEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            NationalIdEvent::NationalIdClaimed(claimed) => NationalId::Claimed(claimed.patient_id),
            NationalIdEvent::NationalIdReleased(_) => NationalId::Free,
        }
    }
}
