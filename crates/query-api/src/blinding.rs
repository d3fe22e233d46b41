//! What blinded roles must not receive: treatment allocation, in any answer.
//!
//! Where it stands is declared in documents and payloads themselves
//! ([`events::values::Blinded`]); nothing here knows a field's name.

use std::collections::HashMap;
use std::sync::LazyLock;

use events::allocation::Allocation;
use events::envelope::{Envelope, Role};
use events::registry::contracts;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Treatment allocation in the payloads of each event type and version.
static OF_EVENTS: LazyLock<HashMap<(&'static str, u16), Allocation>> = LazyLock::new(|| {
    let of = |contract: &events::set::EventContract| Allocation::of_schema((contract.schema)().as_value());
    contracts().map(|contract| ((contract.event_type, contract.schema_version), of(contract))).collect()
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
        if role.sees_allocation() || allocation.is_some_and(Allocation::is_empty) {
            return serde_json::from_slice(&event.payload).map_or(Payload::Blinded(Value::Null), Payload::Whole);
        }
        let Some(allocation) = allocation else { return Payload::Blinded(Value::Null) };
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
    use service::openapi::tidied;
    use uuid::Uuid;

    use super::Payload;
    use crate::listing::LISTINGS;

    /// Names under which somebody might write an allocation.
    const SUSPICIOUS: [&str; 5] = ["arm", "treatment", "allocation", "allocated", "kit"];

    /// The protocol itself is no secret: how many parts an arm gets.
    const OPEN: [&str; 1] = ["allocation_weight"];

    /// Every field that sounds like an allocation and is not within a declared one.
    fn undeclared(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) if fields.get("x-allocation") == Some(&json!(true)) => {}
            Value::Object(fields) => {
                for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let suspicious = name.split('_').any(|word| SUSPICIOUS.contains(&word.trim_end_matches('s')));
                    if suspicious && !OPEN.contains(&name.as_str()) && property["x-allocation"] != true {
                        found.push(name.clone());
                    }
                }
                fields.values().for_each(|value| undeclared(value, found));
            }
            Value::Array(elements) => elements.iter().for_each(|element| undeclared(element, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn no_document_or_payload_holds_an_allocation_that_is_not_declared() {
        let mut declared = Vec::new();
        let mut check = |name: &str, mut schema: Value| {
            // What stands only within a declared allocation need not be declared again.
            let within = schema["$defs"].as_object_mut().and_then(|definitions| definitions.remove("ArmFigures"));
            assert!(within.is_none() || name == "trial_enrolment", "{name}");
            let mut found = Vec::new();
            undeclared(&schema, &mut found);
            assert!(found.is_empty(), "{name}: {found:?} must be `Blinded`, or be called otherwise");
            if schema.to_string().contains("\"x-allocation\":true") {
                declared.push(name.to_owned());
            }
        };
        for listing in LISTINGS.iter() {
            check(listing.name, listing.document_schema());
        }
        for contract in contracts() {
            check(contract.event_type, tidied((contract.schema)().to_value()));
        }
        assert_eq!(declared, ["subjects", "trial_enrolment", "SubjectRandomised"]);
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
