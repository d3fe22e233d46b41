//! Between an envelope and a message: CloudEvents 1.0 in binary mode (NATS binding).

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
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
/// Who emits our events.
const EMITTER: &str = "urn:anamnesis";

/// A message that is not one of ours.
#[derive(Debug, thiserror::Error)]
#[error("the message's header `{0}` is missing or malformed")]
pub struct MalformedMessage(&'static HeaderName);

/// The headers of an envelope; its payload is the message's.
pub fn headers(envelope: &Envelope) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &HeaderName, value: String| headers.insert(name.clone(), value);
    set(&SPEC_VERSION, "1.0".to_owned());
    set(&SOURCE, EMITTER.to_owned());
    set(&CONTENT_TYPE, "application/json".to_owned());
    set(&EVENT_ID, envelope.event_id.to_string());
    set(&EVENT_TYPE, envelope.event_type.clone());
    set(&STREAM, envelope.stream.to_string());
    set(&POSITION, envelope.position.to_string());
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

/// The envelope of a message.
///
/// # Errors
/// [`MalformedMessage`] naming the header.
pub fn envelope(headers: &HeaderMap, payload: Bytes) -> Result<Envelope, MalformedMessage> {
    let given = |name: &'static HeaderName| headers.get(name.clone()).map(HeaderValue::as_str);
    let text = |name| given(name).ok_or(MalformedMessage(name));
    let id = |name| text(name)?.parse::<Uuid>().map_err(|_| MalformedMessage(name));
    let optional_id = |name| if given(name).is_some() { id(name).map(Some) } else { Ok(None) };
    let time = |name| text(name)?.parse::<DateTime<Utc>>().map_err(|_| MalformedMessage(name));
    Ok(Envelope {
        position: position(headers).ok_or(MalformedMessage(&POSITION))?,
        stream: stream_id(text(&STREAM)?).ok_or(MalformedMessage(&STREAM))?,
        version: text(&VERSION)?.parse().map_err(|_| MalformedMessage(&VERSION))?,
        event_id: id(&EVENT_ID)?,
        event_type: text(&EVENT_TYPE)?.to_owned(),
        schema_version: text(&SCHEMA_VERSION)?.parse().map_err(|_| MalformedMessage(&SCHEMA_VERSION))?,
        payload,
        occurred_at: time(&OCCURRED_AT)?,
        recorded_at: time(&RECORDED_AT)?,
        actor: serde_json::from_str::<Actor>(text(&ACTOR)?).map_err(|_| MalformedMessage(&ACTOR))?,
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
        let received = envelope(&headers(&sent), sent.payload.clone()).expect("our own message");
        assert_eq!(received, sent);
    }
}
