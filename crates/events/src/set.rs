//! The contract of an aggregate's closed set of events.

use bytes::Bytes;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use crate::Misfit;
use crate::envelope::Envelope;
use crate::ids::{StreamId, StreamType};

/// A payload that cannot be read as the event that it claims to be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type is not one of the stream's events.
    #[error("stream type `{stream_type}` has no event `{event_type}`")]
    UnknownType {
        /// The stream's type.
        stream_type: StreamType,
        /// The type found.
        event_type: String,
    },
    /// The payload was written by a newer program.
    #[error("`{event_type}` has schema version {found}, and this program knows up to {known}")]
    NewerVersion {
        /// The event's type.
        event_type: &'static str,
        /// The version found.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// The bytes do not fit the schema.
    #[error("the payload of `{event_type}` version {schema_version} does not fit its schema")]
    Payload {
        /// The event's type.
        event_type: &'static str,
        /// The version it was written with.
        schema_version: u16,
        /// What did not fit.
        #[source]
        source: Misfit,
    },
    /// The event belongs to another kind of stream.
    #[error("the event of {stream} was read as one of a `{expected}` stream")]
    WrongStream {
        /// The stream that the event is in.
        stream: StreamId,
        /// The kind that was asked for.
        expected: StreamType,
    },
}

/// One event type of the contract: its name, version, schema and upcaster.
#[derive(Clone, Copy)]
pub struct EventContract {
    /// The kind of stream that holds it.
    pub stream_type: StreamType,
    /// The event's type, such as `ConsentSigned`.
    pub event_type: &'static str,
    /// The current version of its schema.
    pub schema_version: u16,
    /// Makes the JSON Schema of the current version.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads a payload of any version and writes it in the current one.
    pub rewrite: fn(u16, &[u8]) -> Result<Value, DecodeError>,
}

/// The id (`$id`) of the JSON Schema of an event type's payloads of one version: CloudEvents' `dataschema`. The query
/// API serves the schema at `/v1/schemas/` and what follows the last colon.
pub fn schema_id(event_type: &str, schema_version: u16) -> String {
    format!("urn:anamnesis:schema:events/{event_type}/{schema_version}")
}

/// Lifts a payload of `from` to the next version; see `docs/guides/evolve-an-event.md`.
pub type Upcaster = fn(from: u16, payload: Value) -> Value;

/// The closed set of events that one kind of stream holds.
pub trait EventSet: Sized + Clone + Send + Sync + 'static {
    /// The kind of stream.
    const STREAM_TYPE: StreamType;
    /// All event types of the set.
    const CONTRACTS: &'static [EventContract];

    /// The event's type, such as `ConsentSigned`.
    fn event_type(&self) -> &'static str;

    /// The version in which this program writes the event.
    fn schema_version(&self) -> u16;

    /// The payload's bytes.
    fn encode(&self) -> Bytes;

    /// Reads a payload, lifting older versions to the current one.
    ///
    /// # Errors
    /// [`DecodeError`] where the type is unknown or the payload does not fit.
    fn decode(event_type: &str, schema_version: u16, payload: &[u8]) -> Result<Self, DecodeError>;

    /// Reads the event out of its envelope.
    ///
    /// # Errors
    /// As [`EventSet::decode`], and where the envelope is of another kind of stream.
    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
        if envelope.stream.kind != Self::STREAM_TYPE {
            return Err(DecodeError::WrongStream { stream: envelope.stream, expected: Self::STREAM_TYPE });
        }
        Self::decode(&envelope.event_type, envelope.schema_version, &envelope.payload)
    }
}

/// Encodes a payload; total for the payloads of this crate, whose maps have
/// string keys and whose numbers are finite.
pub fn encode_payload<T: Serialize>(payload: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(payload).expect("event payloads serialise to JSON by construction"))
}

/// Decodes a payload of `found` as the current version `current` of `T`.
///
/// # Errors
/// [`DecodeError`] where the version is newer or the payload does not fit.
pub fn decode_payload<T: serde::de::DeserializeOwned>(
    event_type: &'static str,
    current: u16,
    upcaster: Option<Upcaster>,
    found: u16,
    payload: &[u8],
) -> Result<T, DecodeError> {
    let misfit =
        |error: serde_json::Error| DecodeError::Payload { event_type, schema_version: found, source: error.into() };
    if found == current {
        return serde_json::from_slice(payload).map_err(misfit);
    }
    if found > current || found == 0 {
        return Err(DecodeError::NewerVersion { event_type, found, known: current });
    }
    let mut value: Value = serde_json::from_slice(payload).map_err(misfit)?;
    if let Some(upcaster) = upcaster {
        for version in found..current {
            value = upcaster(version, value);
        }
    }
    serde_json::from_value(value).map_err(misfit)
}
