//! What blinded roles must not receive: treatment allocation, in any answer.
//!
//! Where it stands is declared in documents and payloads themselves
//! ([`events::values::Blinded`]) and told here by `declared.rs`, which `codegen` makes from
//! their types. Of what is not told there everything is withheld.

use std::collections::HashMap;
use std::sync::LazyLock;

use events::envelope::{Envelope, Role};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::allocation::Allocation;
use crate::declared::PAYLOADS;

/// Treatment allocation in the payloads of each event type and version.
static OF_EVENTS: LazyLock<HashMap<(&'static str, u16), Allocation>> = LazyLock::new(|| {
    PAYLOADS.iter().map(|(event_type, version, allocation)| ((*event_type, *version), *allocation)).collect()
});

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
    /// The event's payload as the role may see it.
    pub fn of(event: &'event Envelope, role: Role) -> Self {
        let allocation = OF_EVENTS.get(&(event.event_type.as_str(), event.schema_version));
        let allocation = allocation.copied().unwrap_or(Allocation::EVERYTHING);
        if role.sees_allocation() || allocation.is_empty() {
            return serde_json::from_slice(&event.payload).map_or(Payload::Blinded(Value::Null), Payload::Whole);
        }
        let mut payload = serde_json::from_slice(&event.payload).unwrap_or(Value::Null);
        allocation.strip(&mut payload);
        Payload::Blinded(payload)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use events::envelope::{Actor, Envelope, References, Role};
    use events::ids::{StreamId, StreamType};
    use events::registry::contracts;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{OF_EVENTS, Payload};
    use crate::listing::LISTINGS;

    #[test]
    fn payloads_of_every_event_are_declared_and_of_no_other_version() {
        for contract in contracts() {
            let (event_type, version) = (contract.event_type, contract.schema_version);
            assert!(OF_EVENTS.contains_key(&(event_type, version)), "{event_type}: run `cargo xtask codegen`");
            assert!(!OF_EVENTS.contains_key(&(event_type, version + 1)), "{event_type}");
        }
    }

    #[test]
    fn a_payload_that_nobody_knows_is_withheld_from_blinded_roles() {
        let told = |event_type: &str, schema_version, role| {
            let mut event = event(event_type, schema_version);
            event.payload = r#"{"arm": "A"}"#.into();
            serde_json::to_value(Payload::of(&event, role)).expect("JSON")
        };
        let whole = json!({"arm": "A"});
        for (event_type, version, blinded) in
            [("SubjectRandomised", 1, json!({})), ("SubjectRandomised", 2, Value::Null), ("Novel", 1, Value::Null)]
        {
            assert_eq!(told(event_type, version, Role::Investigator), blinded, "{event_type} {version}");
            assert_eq!(told(event_type, version, Role::UnblindedStatistician), whole, "{event_type} {version}");
        }
        assert_eq!(told("SubjectEnrolled", 1, Role::Investigator), whole, "nothing is declared of it");
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
}
