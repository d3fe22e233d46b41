//! Between an envelope and a message: CloudEvents 1.0 in binary mode (NATS binding).
//!
//! Every message says of which log it is and in which of the log's epochs it
//! was published. A payload that the server would not take is left out: then
//! `ce-dataref` says where the query API serves the event.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use event_store::log::LogIdentity;
use events::envelope::{Actor, Envelope, References};
use events::ids::StreamId;
use uuid::Uuid;

/// The header of the position: what consumers order and resume by.
static POSITION: HeaderName = HeaderName::from_static("ce-position");
static SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
static SOURCE: HeaderName = HeaderName::from_static("ce-source");
static CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
static VERSION: HeaderName = HeaderName::from_static("ce-streamversion");
static SCHEMA_VERSION: HeaderName = HeaderName::from_static("ce-schemaversion");
static EVENT_ID: HeaderName = HeaderName::from_static("ce-id");
static EVENT_TYPE: HeaderName = HeaderName::from_static("ce-type");
static STREAM: HeaderName = HeaderName::from_static("ce-subject");
static OCCURRED_AT: HeaderName = HeaderName::from_static("ce-time");
static RECORDED_AT: HeaderName = HeaderName::from_static("ce-recordedtime");
static ACTOR: HeaderName = HeaderName::from_static("ce-actor");
static COMMAND_ID: HeaderName = HeaderName::from_static("ce-commandid");
static CORRELATION_ID: HeaderName = HeaderName::from_static("ce-correlationid");
static CAUSATION_ID: HeaderName = HeaderName::from_static("ce-causationid");
static TRIAL_ID: HeaderName = HeaderName::from_static("ce-trialid");
static SITE_ID: HeaderName = HeaderName::from_static("ce-siteid");
static PATIENT_ID: HeaderName = HeaderName::from_static("ce-patientid");
static TRACE: HeaderName = HeaderName::from_static("traceparent");
static LOG_ID: HeaderName = HeaderName::from_static("ce-logid");
static EPOCH: HeaderName = HeaderName::from_static("ce-epoch");
static DATA_REF: HeaderName = HeaderName::from_static("ce-dataref");

/// A message that is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum MalformedMessage {
    /// A header is missing or cannot be read.
    #[error("the message's header `{0}` is missing or malformed")]
    Header(&'static HeaderName),
    /// The payload is not in the message ([`data_ref`]).
    #[error("the event was too large for NATS; the query API has it at {0}")]
    Elsewhere(String),
}

use MalformedMessage::Header;

/// What every message says of the log.
pub fn common_headers(log: LogIdentity, id: Uuid, kind: &str, position: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &HeaderName, value: String| headers.insert(name.clone(), value);
    set(&SPEC_VERSION, "1.0".to_owned());
    set(&SOURCE, format!("urn:anamnesis:{}", log.log_id));
    set(&LOG_ID, log.log_id.to_string());
    set(&EPOCH, log.epoch.to_string());
    set(&CONTENT_TYPE, "application/json".to_owned());
    set(&EVENT_ID, id.to_string());
    set(&EVENT_TYPE, kind.to_owned());
    set(&POSITION, position.to_string());
    headers
}

/// The headers of an event of this log; its payload is the message's.
pub fn headers(log: LogIdentity, envelope: &Envelope) -> HeaderMap {
    let mut headers = common_headers(log, envelope.event_id, &envelope.event_type, envelope.position);
    let mut set = |name: &HeaderName, value: String| headers.insert(name.clone(), value);
    set(&STREAM, envelope.stream.to_string());
    set(&VERSION, envelope.version.to_string());
    set(&SCHEMA_VERSION, envelope.schema_version.to_string());
    set(&OCCURRED_AT, time_text(envelope.occurred_at));
    set(&RECORDED_AT, time_text(envelope.recorded_at));
    set(&ACTOR, ascii_json(&envelope.actor));
    set(&COMMAND_ID, envelope.command_id.to_string());
    set(&CORRELATION_ID, envelope.correlation_id.to_string());
    let optional = [
        (&CAUSATION_ID, envelope.causation_id.map(|id| id.to_string())),
        (&TRIAL_ID, envelope.references.trial_id.map(|id| id.to_string())),
        (&SITE_ID, envelope.references.site_id.map(|id| id.to_string())),
        (&PATIENT_ID, envelope.references.patient_id.map(|id| id.to_string())),
        (&TRACE, envelope.trace_context.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            set(name, value);
        }
    }
    headers
}

/// Headers that say instead of the payload where it is served. What may be long
/// and is served there as well is left out.
pub fn with_data_ref(headers: &HeaderMap, event_id: Uuid) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| **name != ACTOR && **name != TRACE);
    let mut headers: HeaderMap =
        kept.flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone()))).collect();
    headers.insert(DATA_REF.clone(), format!("/v1/events/{event_id}"));
    headers
}

/// Where the query API serves the event of a message that came without its payload.
pub fn data_ref(headers: &HeaderMap) -> Option<&str> {
    headers.get(DATA_REF.clone()).map(HeaderValue::as_str)
}

/// How many bytes headers and payload are for the server, which counts both against its limit.
pub fn wire_bytes(headers: &HeaderMap, payload: &[u8]) -> usize {
    let framing = b"NATS/1.0\r\n\r\n".len();
    let lines = headers.iter().flat_map(|(name, values)| {
        values.iter().map(|value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + b": \r\n".len())
    });
    framing + lines.sum::<usize>() + payload.len()
}

/// What a message says of itself: of which log, in which epoch, which event, where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The log's id.
    pub log_id: Uuid,
    /// The log's epoch when it was published.
    pub epoch: u64,
    /// The position in the log.
    pub position: u64,
    /// The event's id.
    pub event_id: Uuid,
}

/// The mark of a message; none where it is not one of ours.
pub fn mark(headers: &HeaderMap) -> Option<Mark> {
    let text = |name: &HeaderName| headers.get(name.clone()).map(HeaderValue::as_str);
    Some(Mark {
        log_id: text(&LOG_ID)?.parse().ok()?,
        epoch: text(&EPOCH)?.parse().ok()?,
        position: position(headers)?,
        event_id: text(&EVENT_ID)?.parse().ok()?,
    })
}

/// The envelope of a message.
///
/// # Errors
/// [`MalformedMessage`] naming the header, or where the event is.
pub fn envelope(headers: &HeaderMap, payload: Bytes) -> Result<Envelope, MalformedMessage> {
    let given = |name: &'static HeaderName| headers.get(name.clone()).map(HeaderValue::as_str);
    let text = |name| given(name).ok_or(Header(name));
    let id = |name| text(name)?.parse::<Uuid>().map_err(|_| Header(name));
    if let Some(elsewhere) = data_ref(headers) {
        return Err(MalformedMessage::Elsewhere(elsewhere.to_owned()));
    }
    let optional_id = |name| if given(name).is_some() { id(name).map(Some) } else { Ok(None) };
    let time = |name| text(name)?.parse::<DateTime<Utc>>().map_err(|_| Header(name));
    Ok(Envelope {
        position: position(headers).ok_or(Header(&POSITION))?,
        stream: stream_id(text(&STREAM)?).ok_or(Header(&STREAM))?,
        version: text(&VERSION)?.parse().map_err(|_| Header(&VERSION))?,
        event_id: id(&EVENT_ID)?,
        event_type: text(&EVENT_TYPE)?.to_owned(),
        schema_version: text(&SCHEMA_VERSION)?.parse().map_err(|_| Header(&SCHEMA_VERSION))?,
        payload,
        occurred_at: time(&OCCURRED_AT)?,
        recorded_at: time(&RECORDED_AT)?,
        actor: serde_json::from_str::<Actor>(text(&ACTOR)?).map_err(|_| Header(&ACTOR))?,
        command_id: id(&COMMAND_ID)?,
        correlation_id: id(&CORRELATION_ID)?,
        causation_id: optional_id(&CAUSATION_ID)?,
        trace_context: given(&TRACE).map(ToOwned::to_owned),
        references: References {
            trial_id: optional_id(&TRIAL_ID)?.map(Into::into),
            site_id: optional_id(&SITE_ID)?.map(Into::into),
            patient_id: optional_id(&PATIENT_ID)?.map(Into::into),
        },
    })
}

/// The position in a message's headers.
pub fn position(headers: &HeaderMap) -> Option<u64> {
    headers.get(POSITION.clone())?.as_str().parse().ok()
}

/// The event's type in a message's headers.
pub fn event_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(EVENT_TYPE.clone()).map(HeaderValue::as_str)
}

fn stream_id(text: &str) -> Option<StreamId> {
    let (kind, id) = text.split_once('/')?;
    Some(StreamId::new(kind.parse().ok()?, id.parse().ok()?))
}

fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// JSON in ASCII: a header's value is no place for anything else.
fn ascii_json(actor: &Actor) -> String {
    let json = serde_json::to_string(actor).expect("an actor serialises to JSON by construction");
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use events::envelope::Role;
    use events::ids::StreamType;

    use super::*;

    #[test]
    fn a_message_carries_the_whole_envelope() {
        let time: DateTime<Utc> = "2026-01-31T12:00:00.123456Z".parse().expect("a time");
        let sent = Envelope {
            position: 7,
            stream: StreamId::new(StreamType::AdverseEvent, Uuid::from_u128(1)),
            version: 2,
            event_id: Uuid::from_u128(3),
            event_type: "AdverseEventUpdated".to_owned(),
            schema_version: 1,
            payload: Bytes::from_static(b"{\"a\":1}"),
            occurred_at: time,
            recorded_at: time,
            actor: Actor {
                id: "Åse 😀\"".to_owned(), role: Role::Investigator, organisation: Some("Ø".to_owned())
            },
            command_id: Uuid::from_u128(4),
            correlation_id: Uuid::from_u128(5),
            causation_id: Some(Uuid::from_u128(6)),
            trace_context: Some("00-1-2-01".to_owned()),
            references: References { trial_id: Some(Uuid::from_u128(8).into()), ..References::default() },
        };
        let log = LogIdentity { log_id: Uuid::from_u128(9), epoch: 2 };
        let sent_headers = headers(log, &sent);
        let received = envelope(&sent_headers, sent.payload.clone()).expect("our own message");
        assert_eq!(received, sent);
        let expected = Mark { log_id: log.log_id, epoch: 2, position: 7, event_id: sent.event_id };
        assert_eq!(mark(&sent_headers), Some(expected));
        let reference = with_data_ref(&sent_headers, sent.event_id);
        assert!(matches!(envelope(&reference, Bytes::new()), Err(MalformedMessage::Elsewhere(_))));
        assert_eq!(data_ref(&reference), Some(format!("/v1/events/{}", sent.event_id).as_str()));
    }
}
