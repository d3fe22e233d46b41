//! One event as the history, the event stream and the timeline tell it.

use std::fmt;

use chrono::{DateTime, Utc};
use events::envelope::{Actor, Envelope, References, Role};
use events::ids::{PatientId, SiteId, StreamId, TrialId};
use schemars::{JsonSchema, where_generated};
use serde::Serialize;
use uuid::Uuid;

use crate::blinding::{Payload, Shown};
use crate::changes::{self, FieldChange};

/// A stored event.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StoredEvent")]
pub struct Entry<'event> {
    /// Its place in the log.
    position: u64,
    /// When the log stored it.
    recorded_at: DateTime<Utc>,
    /// When it happened, in UTC; a day alone is its first instant at the place.
    occurred_at: DateTime<Utc>,
    /// Such as `ConsentSigned`.
    r#type: &'event str,
    /// The version of the payload's schema.
    schema_version: u16,
    stream: StreamId,
    /// Its place in the stream.
    version: u64,
    event_id: Uuid,
    actor: &'event Actor,
    /// The command that decided it.
    command_id: Uuid,
    /// The first command of the conversation.
    correlation_id: Uuid,
    /// The event that led to the command, where a process manager sent it.
    causation_id: Option<Uuid>,
    #[serde(flatten)]
    references: References,
    /// What it corrected, field by field; absent where it is no correction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<FieldChange>,
    payload: Payload<'event>,
}

#[where_generated]
impl JsonSchema for Payload<'_> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Payload".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["object", "null"],
            "description": "As the schema of the event's type and version says (`schemas/events`), without \
                treatment allocation where the caller must not see it; null where that cannot be told.",
            "additionalProperties": true
        })
    }
}

impl<'event> Entry<'event> {
    /// The event as the caller may see it.
    pub fn new(event: &'event Envelope, shown: Shown) -> Self {
        let payload = Payload::of(event, shown);
        Self {
            position: event.position,
            recorded_at: event.recorded_at,
            occurred_at: event.occurred_at,
            r#type: &event.event_type,
            schema_version: event.schema_version,
            stream: event.stream,
            version: event.version,
            event_id: event.event_id,
            actor: &event.actor,
            command_id: event.command_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            references: event.references,
            changes: changes::of(event, &payload),
            payload,
        }
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// An event about a patient, without its payload: the history has that.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TimelineEntry")]
pub struct TimelineEntry<'event> {
    event_id: Uuid,
    /// Its place in the log.
    position: u64,
    patient_id: Option<PatientId>,
    trial_id: Option<TrialId>,
    site_id: Option<SiteId>,
    /// Such as `ConsentSigned`.
    r#type: &'event str,
    stream: StreamId,
    /// The account that caused it.
    actor: &'event str,
    /// The role in which it acted.
    role: Role,
    /// When it happened, in UTC; a day alone is its first instant at the place.
    occurred_at: DateTime<Utc>,
    /// When the log stored it.
    recorded_at: DateTime<Utc>,
}

impl<'event> TimelineEntry<'event> {
    /// The event's line.
    pub fn new(event: &'event Envelope) -> Self {
        Self {
            event_id: event.event_id,
            position: event.position,
            patient_id: event.references.patient_id,
            trial_id: event.references.trial_id,
            site_id: event.references.site_id,
            r#type: &event.event_type,
            stream: event.stream,
            actor: &event.actor.id,
            role: event.actor.role,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
        }
    }
}
