//! An example of each event, as it is in the log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use event_bus::control::{self, Begun, EpochStart, Why};
use event_bus::message::headers;
use event_bus::signature::example;
use event_store::log::LogIdentity;
use events::envelope::{Actor, Envelope, References, Role};
use events::ids::{StreamId, derive_id};
use events::set::EventContract;
use serde_json::{Value, json};
use uuid::Uuid;

/// Where the example stands in the log.
const POSITION: u64 = 1042;
/// The trace of its request.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An id that is always the same.
fn id(name: &str) -> Uuid {
    derive_id("example", &[name.as_bytes()])
}

fn log() -> LogIdentity {
    LogIdentity { log_id: id("log"), epoch: 1 }
}

/// An event with this payload.
pub struct Example {
    envelope: Envelope,
    payload: Value,
}

impl Example {
    /// The event with its golden payload.
    pub fn new(contract: &EventContract, payload: Value) -> Self {
        let about = |field: &str| payload[field].as_str().and_then(|id| id.parse::<Uuid>().ok());
        let time: DateTime<Utc> = DateTime::from_timestamp(1_769_860_800, 0).unwrap_or(DateTime::UNIX_EPOCH);
        let envelope = Envelope {
            position: POSITION,
            stream: StreamId::new(contract.stream_type, id(contract.stream_type.as_str())),
            version: 1,
            event_id: id(contract.event_type),
            event_type: contract.event_type.to_owned(),
            schema_version: contract.schema_version,
            payload: payload.to_string().into(),
            occurred_at: time,
            recorded_at: time,
            actor: Actor {
                id: "coordinator-7".to_owned(),
                role: Role::Coordinator,
                organisation: Some("Universitetssykehuset Tromsø".to_owned()),
            },
            command_id: id("command"),
            correlation_id: id("command"),
            causation_id: None,
            trace_context: Some(TRACE.to_owned()),
            references: References {
                trial_id: about("trial_id").map(Into::into),
                site_id: about("site_id").map(Into::into),
                patient_id: about("patient_id").map(Into::into),
            },
        };
        Self { envelope, payload }
    }

    /// As a message on NATS.
    pub fn message(&self) -> Value {
        let mut headers = headers(log(), &self.envelope);
        example::signer().sign(&mut headers, &self.envelope.payload);
        json!({"name": self.envelope.event_type, "headers": texts(&headers), "payload": self.payload})
    }

    /// As the query API sends it.
    pub fn stored(&self) -> Value {
        let event = &self.envelope;
        let mut stored = json!({
            "position": event.position,
            "recorded_at": event.recorded_at,
            "occurred_at": event.occurred_at,
            "type": event.event_type,
            "schema_version": event.schema_version,
            "stream": event.stream,
            "version": event.version,
            "event_id": event.event_id,
            "actor": event.actor,
            "command_id": event.command_id,
            "correlation_id": event.correlation_id,
            "causation_id": event.causation_id,
            "payload": self.payload,
        });
        if let (Some(fields), Ok(Value::Object(references))) =
            (stored.as_object_mut(), serde_json::to_value(event.references))
        {
            fields.extend(references);
        }
        json!({"name": event.event_type, "payload": stored})
    }
}

/// A control message.
pub fn control(why: Why) -> Value {
    let (after_position, epoch) = (20, 2);
    let epochs = vec![EpochStart { epoch, after_position }];
    let begun = Begun { after_position, after_event_id: Some(id("event")), epochs };
    let identity = LogIdentity { epoch, ..log() };
    let (mut headers, data) = control::message(identity, why, &begun, id("run"), 4_712);
    example::signer().sign(&mut headers, &data);
    json!({"name": why.kind(), "headers": texts(&headers), "payload": begun})
}

fn texts(headers: &async_nats::HeaderMap) -> BTreeMap<String, String> {
    let first = |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
        Some((name.to_string(), values.first()?.to_string()))
    };
    headers.iter().filter_map(first).collect()
}
