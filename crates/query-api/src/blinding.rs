//! What blinded roles must not receive: treatment allocation, in any answer.
//!
//! Where it stands is declared in documents and payloads themselves
//! ([`events::values::Blinded`]) and told here by `declared.rs`, which `codegen` makes from
//! their types. Of what is not told there everything is withheld. From whom follows from how the
//! trial is blinded, which the log tells: in an open-label trial from nobody.

use std::sync::Arc;

use event_store::log::{EventLog, LogError};
use events::envelope::{Envelope, Role};
use events::guarded::Guarded;
use events::ids::{StreamKey as _, TrialId};
use events::set::EventSet as _;
use events::trial::{Blinding, TrialEvent};
use moka::sync::Cache;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::allocation::Allocation;
use crate::personal::{forget_sealed, mask};

/// Trials whose blinding is remembered.
const TRIALS_MAX: u64 = 10_000;

/// What is guarded in the event's payload.
fn guarded_in(event: &Envelope) -> Guarded {
    Guarded::of(&event.event_type, event.schema_version).unwrap_or(Guarded::EVERYTHING)
}

/// What of a payload is shown that is not shown to everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Treatment allocation.
    pub allocation: bool,
    /// Personal data as they are, not masked.
    pub personal: bool,
}

/// Whether somebody in this role may see treatment allocation of a trial that is blinded so, or of one that nobody
/// knows.
pub fn shows(blinding: Option<Blinding>, role: Role) -> bool {
    role.sees_allocation() || blinding.is_some_and(|blinding| blinding.shows_allocation_to(role))
}

/// How each trial is blinded: said when it was registered, and never otherwise since.
#[derive(Clone)]
pub struct Blindings {
    log: Arc<dyn EventLog>,
    // Of each incarnation of the log: what one that went back said counts no longer.
    known: Cache<(u64, TrialId), Blinding>,
}

impl Blindings {
    /// As the log tells it.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, known: Cache::new(TRIALS_MAX) }
    }

    /// How the trial is blinded; none where the log has no such trial, or tells it in a way that this program does
    /// not know.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn of_trial(&self, trial_id: TrialId) -> Result<Option<Blinding>, LogError> {
        let key = (*self.log.incarnation().borrow(), trial_id);
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(known));
        }
        let first = self.log.read_stream(trial_id.stream(), 0, 1).await?;
        let Some(Ok(TrialEvent::TrialRegistered(registered))) = first.first().map(TrialEvent::from_envelope) else {
            return Ok(None);
        };
        self.known.insert(key, registered.blinding);
        Ok(Some(registered.blinding))
    }

    /// How the trial is blinded of whose treatment allocation the event tells; none where it tells of none, or
    /// nobody knows of which trial.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn of_event(&self, event: &Envelope) -> Result<Option<Blinding>, LogError> {
        match event.references.trial_id {
            Some(trial_id) if !guarded_in(event).allocation.is_empty() => self.of_trial(trial_id).await,
            _ => Ok(None),
        }
    }
}

/// A payload as the caller may see it.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Payload<'event> {
    /// Byte by byte as it was written.
    Whole(&'event RawValue),
    /// Without treatment allocation; null where this program cannot tell where that stands.
    Blinded(Value),
}

impl<'event> Payload<'event> {
    /// The payload of an event that was opened, with what is shown of it.
    pub fn of(event: &'event Envelope, shown: Shown) -> Self {
        let guarded = guarded_in(event);
        let strips = !shown.allocation && !guarded.allocation.is_empty();
        // What is guarded may have stayed sealed.
        if guarded.allocation.is_empty() && guarded.personal.is_empty() {
            return serde_json::from_slice(&event.payload).map_or(Payload::Blinded(Value::Null), Payload::Whole);
        }
        let mut payload = serde_json::from_slice(&event.payload).unwrap_or(Value::Null);
        if strips {
            Allocation(guarded.allocation).strip(&mut payload);
        }
        forget_sealed(&mut payload, guarded.allocation);
        if shown.personal {
            forget_sealed(&mut payload, guarded.personal);
        } else {
            mask(guarded, &mut payload);
        }
        Payload::Blinded(payload)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use events::envelope::{Actor, Envelope, References, Role};
    use events::ids::{StreamId, StreamType};
    use events::registry::contracts;
    use events::trial::Blinding;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{Guarded, Payload, Shown, shows};
    use crate::listing::LISTINGS;

    #[test]
    fn who_sees_the_allocation_follows_from_the_trial() {
        for role in Role::ALL {
            let unblinded = role.sees_allocation();
            assert!(shows(Some(Blinding::OpenLabel), role), "{role:?}");
            assert_eq!(shows(Some(Blinding::SingleBlind), role), role != Role::Participant, "{role:?}");
            assert_eq!(shows(Some(Blinding::DoubleBlind), role), unblinded, "{role:?}");
            assert_eq!(shows(None, role), unblinded, "{role:?}: of a trial that nobody knows");
        }
    }

    #[test]
    fn payloads_of_every_event_are_declared_and_of_no_other_version() {
        for contract in contracts() {
            let (event_type, version) = (contract.event_type, contract.schema_version);
            assert!(Guarded::of(event_type, version).is_some(), "{event_type}: run `cargo xtask codegen`");
            assert!(Guarded::of(event_type, version + 1).is_none(), "{event_type}");
        }
    }

    #[test]
    fn a_payload_that_nobody_knows_is_withheld_from_whom_allocation_is_not_shown() {
        let told = |event_type: &str, schema_version, is_shown| {
            let mut event = event(event_type, schema_version);
            event.payload = r#"{"arm": "A"}"#.into();
            let shown = Shown { allocation: is_shown, personal: true };
            serde_json::to_value(Payload::of(&event, shown)).expect("JSON")
        };
        let whole = json!({"arm": "A"});
        for (event_type, version, blinded) in
            [("SubjectRandomised", 1, json!({})), ("SubjectRandomised", 2, Value::Null), ("Novel", 1, Value::Null)]
        {
            assert_eq!(told(event_type, version, false), blinded, "{event_type} {version}");
            assert_eq!(told(event_type, version, true), whole, "{event_type} {version}");
        }
        assert_eq!(told("SubjectEnrolled", 1, false), whole, "nothing is declared of it");
    }

    fn event(event_type: &str, schema_version: u16) -> Envelope {
        Envelope {
            position: 1,
            stream: StreamId::new(StreamType::Subject, Uuid::nil()),
            version: 1,
            event_id: Uuid::nil(),
            event_type: event_type.to_owned(),
            schema_version,
            payload: Default::default(),
            occurred_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            actor: Actor::system("test"),
            command_id: Uuid::nil(),
            correlation_id: Uuid::nil(),
            causation_id: None,
            trace_context: None,
            references: References::default(),
        }
    }

    #[test]
    fn the_documents_lose_what_is_declared() {
        let listing = |name| LISTINGS.iter().find(|listing| listing.name == name).expect("the listing");
        let mut subject = json!({"arm": "A", "status": "randomised"});
        listing("subjects").allocation.strip(&mut subject);
        assert_eq!(subject, json!({"status": "randomised"}));
        let mut trial = json!({"by_arm": [{"arm": "A"}], "randomised": 1});
        listing("trial_enrolment").allocation.strip(&mut trial);
        assert_eq!(trial, json!({"randomised": 1}));
    }

    #[test]
    fn whatever_holds_allocation_tells_its_trial() {
        for listing in LISTINGS.iter() {
            assert!(listing.allocation.is_empty() || listing.scope.trial.is_some(), "{}", listing.name);
        }
    }
}
