//! What payloads hold that not everybody may see: where it stands, by event type and version.
//!
//! It follows from the types of the events ([`Personal`](crate::values::Personal),
//! [`Blinded`](crate::values::Blinded)); `codegen` writes it down in `declared.rs`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::declared::PAYLOADS;
use crate::envelope::References;
use crate::ids::{StreamId, StreamType};
use crate::paths::{EACH, Paths};

/// What of a payload is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Treatment allocation.
    pub allocation: Paths,
    /// Personal data.
    pub personal: Paths,
    /// Those of the personal data that are shown to whoever sees the rest: what is one of a few words, such as a sex, and
    /// what somebody wrote.
    pub shown: Paths,
}

impl Guarded {
    /// Of what nobody knows anything: all of it may be anything.
    pub const EVERYTHING: Guarded = Guarded { allocation: &[&[]], personal: &[&[]], shown: &[] };

    /// What is guarded in payloads of this event type and version; none where this program does not know it.
    pub fn of(event_type: &str, schema_version: u16) -> Option<Guarded> {
        static KNOWN: LazyLock<HashMap<(&str, u16), Guarded>> = LazyLock::new(|| {
            PAYLOADS.iter().map(|(event_type, version, guarded)| ((*event_type, *version), *guarded)).collect()
        });
        KNOWN.get(&(event_type, schema_version)).copied()
    }

    /// Whether a field of this event type, in any version, holds what somebody wrote or what is one of a few words: what
    /// documents of views show, too. Who somebody is they never do.
    pub fn is_shown<'part>(event_type: &str, field: impl Iterator<Item = &'part str> + Clone) -> bool {
        let is_at = |path: &&[&str]| {
            let mut parts = field.clone();
            path.iter().all(|step| parts.next().is_some_and(|part| *step == EACH || *step == part))
                && parts.next().is_none()
        };
        let versions = PAYLOADS.iter().filter(|(known, ..)| *known == event_type);
        versions.flat_map(|(_, _, guarded)| guarded.shown).any(is_at)
    }
}

/// Whose the personal data of an event are: what was sealed for one is opened for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The person that the event is about.
    Patient(crate::ids::PatientId),
    /// The account that it is about.
    Account(crate::ids::AccountId),
    /// Nobody's alone: texts about a trial.
    Trial(crate::ids::TrialId),
    /// Nobody's alone: texts about the installation.
    Installation,
}

impl Whose {
    /// Of an event in this stream, about these.
    pub fn of(stream: StreamId, references: &References) -> Self {
        match (stream.kind, references.patient_id, references.trial_id) {
            (StreamType::Account, ..) => Self::Account(stream.id.into()),
            (_, Some(patient_id), _) => Self::Patient(patient_id),
            (_, None, Some(trial_id)) => Self::Trial(trial_id),
            (_, None, None) => Self::Installation,
        }
    }
}
