//! Between a row of the events table and an envelope, for every engine.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use events::envelope::{Actor, Envelope, References};
use events::ids::StreamId;
use uuid::Uuid;

use super::{KnownCommand, LogError, LogIdentity, Receipt, RecordedEvent};

/// The columns of an event, in the order of [`COLUMNS`].
pub const COLUMNS: &str = "position, stream_type, stream_id, version, event_id, event_type, schema_version, payload, \
     occurred_at, recorded_at, actor, command_id, correlation_id, causation_id, trace_context, \
     trial_id, site_id, patient_id";

/// Where among [`COLUMNS`] the payload is.
pub const PAYLOAD_COLUMN: usize = 7;

/// The event with the id `$1`, which ends in the position `$2`.
pub const EVENT_BY_ID: &str = "event_id = $1 AND position = $2";

/// The log's id and epoch.
pub const IDENTITY: &str = "SELECT log_id, epoch FROM log_head WHERE partition = 0";
/// Begins the epoch after `$1`, where that one is not over.
pub const BEGIN_EPOCH: &str = "UPDATE log_head SET epoch = epoch + 1 WHERE partition = 0 AND epoch = $1";

/// What [`IDENTITY`] gives.
pub fn identity((log_id, epoch): (Uuid, i64)) -> Result<LogIdentity, LogError> {
    Ok(LogIdentity { log_id, epoch: natural(epoch)? })
}

/// A row as the database gives it.
pub struct Row {
    /// Column `position`.
    pub position: i64,
    /// Column `stream_type`.
    pub stream_type: String,
    /// Column `stream_id`.
    pub stream_id: Uuid,
    /// Column `version`.
    pub version: i64,
    /// Column `event_id`.
    pub event_id: Uuid,
    /// Column `event_type`.
    pub event_type: String,
    /// Column `schema_version`.
    pub schema_version: i64,
    /// Column `payload`.
    pub payload: Vec<u8>,
    /// Column `occurred_at`.
    pub occurred_at: DateTime<Utc>,
    /// Column `recorded_at`.
    pub recorded_at: DateTime<Utc>,
    /// Column `actor`.
    pub actor: String,
    /// Column `command_id`.
    pub command_id: Uuid,
    /// Column `correlation_id`.
    pub correlation_id: Uuid,
    /// Column `causation_id`.
    pub causation_id: Option<Uuid>,
    /// Column `trace_context`.
    pub trace_context: Option<String>,
    /// Column `trial_id`.
    pub trial_id: Option<Uuid>,
    /// Column `site_id`.
    pub site_id: Option<Uuid>,
    /// Column `patient_id`.
    pub patient_id: Option<Uuid>,
}

impl Row {
    /// The envelope that the row holds.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] where a value is not one that this program writes.
    pub fn into_envelope(self) -> Result<Envelope, LogError> {
        let corrupt = |column: &str| LogError::Corrupt { what: format!("{column} at position {}", self.position) };
        let kind = self.stream_type.parse().map_err(|_| corrupt("stream_type"))?;
        let actor: Actor = serde_json::from_str(&self.actor).map_err(|_| corrupt("actor"))?;
        Ok(Envelope {
            position: natural(self.position)?,
            stream: StreamId::new(kind, self.stream_id),
            version: natural(self.version)?,
            event_id: self.event_id,
            event_type: self.event_type,
            schema_version: u16::try_from(self.schema_version)
                .map_err(|_| LogError::Corrupt { what: format!("schema_version at position {}", self.position) })?,
            payload: Bytes::from(self.payload),
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
            actor,
            command_id: self.command_id,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            trace_context: self.trace_context,
            references: References {
                trial_id: self.trial_id.map(Into::into),
                site_id: self.site_id.map(Into::into),
                patient_id: self.patient_id.map(Into::into),
            },
        })
    }
}

/// A number that the database keeps signed and that is never negative.
///
/// # Errors
/// [`LogError::Corrupt`] where it is.
pub fn natural(number: i64) -> Result<u64, LogError> {
    u64::try_from(number).map_err(|_| LogError::Corrupt { what: format!("the negative number {number}") })
}

/// A position, version or limit as the database keeps it.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An actor as the database keeps it.
pub fn actor_text(actor: &Actor) -> String {
    serde_json::to_string(actor).expect("an actor serialises to JSON by construction")
}

/// The columns of a remembered command, in the order of [`CommandRow`].
pub const COMMAND_COLUMNS: &str = "command_id, fingerprint, position, recorded_at, event_count, refusal";

/// A remembered command as the database gives it.
pub struct CommandRow {
    /// Column `command_id`.
    pub command_id: Uuid,
    /// Column `fingerprint`.
    pub fingerprint: Vec<u8>,
    /// Column `position`: its last event, or the head where it had none.
    pub position: i64,
    /// Column `recorded_at`.
    pub recorded_at: DateTime<Utc>,
    /// Column `event_count`.
    pub event_count: i64,
    /// Column `refusal` (JSON).
    pub refusal: Option<String>,
}

impl CommandRow {
    /// Where its events are.
    pub fn positions(&self) -> RangeInclusive<i64> {
        self.position - self.event_count + 1..=self.position
    }
}

/// The remembered commands of the rows, with their events out of `events`.
///
/// # Errors
/// [`LogError::Corrupt`] where they are not what this program writes.
pub fn known_commands(rows: Vec<CommandRow>, events: &[Envelope]) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
    let corrupt = |what: &str| LogError::Corrupt { what: what.to_owned() };
    let events: HashMap<i64, &Envelope> = events.iter().map(|event| (signed(event.position), event)).collect();
    let known = |row: CommandRow| {
        let own = |position| events.get(&position).filter(|event| event.command_id == row.command_id);
        let events = row.positions().map(|position| own(position).map(|event| RecordedEvent::from(*event)));
        let events: Option<Vec<RecordedEvent>> = events.collect();
        let events = events.ok_or_else(|| corrupt("a command's events"))?;
        let fingerprint = row.fingerprint.try_into().map_err(|_| corrupt("a command's fingerprint"))?;
        let refusal = row.refusal.as_deref().map(serde_json::from_str).transpose();
        let refusal = refusal.map_err(|_| corrupt("a command's refusal"))?;
        let receipt = Receipt { position: natural(row.position)?, recorded_at: row.recorded_at, events, refusal };
        Ok((row.command_id, KnownCommand { fingerprint, receipt }))
    };
    rows.into_iter().map(known).collect()
}

/// How many events a command had, as the database keeps it; no more than an append may have.
pub fn event_count(receipt: &Receipt) -> i16 {
    i16::try_from(receipt.events.len()).expect("an append has no more than a thousand events")
}

/// Why a command was refused, as the database keeps it.
pub fn refusal_text(receipt: &Receipt) -> Option<String> {
    let text = |refusal| serde_json::to_string(refusal).expect("a refusal serialises to JSON by construction");
    receipt.refusal.as_ref().map(text)
}
