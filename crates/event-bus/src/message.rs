//! Between an envelope and a message: CloudEvents 1.0 in binary mode, as its binding for NATS says.
//!
//! Every message says of which log it is and in which of the log's epochs it
//! was published. A payload that the server would not take is left out: then
//! `ce-dataref` says where the query API serves it. What each header says stands in
//! [`headers`](crate::headers).

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use event_store::log::LogIdentity;
use events::envelope::{Actor, Envelope, References, Role};
use events::ids::StreamId;
use events::set::schema_id;
use uuid::Uuid;

use crate::header_value::{encoded, text_of};
use crate::headers::{
    ACTOR_ID, ACTOR_ORGANISATION, ACTOR_ROLE, CAUSATION_ID, COMMAND_ID, CORRELATION_ID, DATA_CONTENT_TYPE, DATA_HASH,
    DATA_REF, DATA_SCHEMA, EPOCH, EVENT_ID, EVENT_TYPE, KEY_ID, LOG_ID, OCCURRED_AT, PATIENT_ID, POSITION, RECORDED_AT,
    SCHEMA_VERSION, SIGNATURE, SITE_ID, SOURCE, SPEC_VERSION, STREAM, TRACE_PARENT, TRACE_PARENT_PLAIN, TRIAL_ID,
    VERSION,
};
use crate::signature::data_hash;

/// A message that is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum MalformedMessage {
    /// A header is missing or cannot be read.
    #[error("the message's header `{0}` is missing or malformed")]
    Header(&'static str),
    /// The payload is not in the message ([`data_ref`]).
    #[error("the event was too large for NATS; the query API has its payload at {0}")]
    Elsewhere(String),
}

use MalformedMessage::Header;

/// What every message says of itself and of the log; `schema` is the id of its data's JSON Schema.
pub fn common_headers(log: LogIdentity, id: Uuid, kind: &str, schema: &str, position: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set =
        |name: &'static str, value: &str| headers.insert(HeaderName::from_static(name), encoded(value).as_ref());
    set(SPEC_VERSION, "1.0");
    set(SOURCE, &format!("urn:anamnesis:{}", log.log_id));
    set(LOG_ID, &log.log_id.to_string());
    set(EPOCH, &log.epoch.to_string());
    set(DATA_CONTENT_TYPE, "application/json");
    set(DATA_SCHEMA, schema);
    set(EVENT_ID, &id.to_string());
    set(EVENT_TYPE, kind);
    set(POSITION, &position.to_string());
    headers
}

/// The headers of an event of this log; its payload is the message's.
pub fn headers(log: LogIdentity, envelope: &Envelope) -> HeaderMap {
    let schema = schema_id(&envelope.event_type, envelope.schema_version);
    let mut headers = common_headers(log, envelope.event_id, &envelope.event_type, &schema, envelope.position);
    let mut set =
        |name: &'static str, value: &str| headers.insert(HeaderName::from_static(name), encoded(value).as_ref());
    set(STREAM, &envelope.stream.to_string());
    set(VERSION, &envelope.version.to_string());
    set(SCHEMA_VERSION, &envelope.schema_version.to_string());
    set(OCCURRED_AT, &time_text(envelope.occurred_at));
    set(RECORDED_AT, &time_text(envelope.recorded_at));
    set(ACTOR_ID, &envelope.actor.id);
    set(ACTOR_ROLE, &role_text(envelope.actor.role));
    set(COMMAND_ID, &envelope.command_id.to_string());
    set(CORRELATION_ID, &envelope.correlation_id.to_string());
    let ids = [
        (CAUSATION_ID, envelope.causation_id),
        (TRIAL_ID, envelope.references.trial_id.map(Uuid::from)),
        (SITE_ID, envelope.references.site_id.map(Uuid::from)),
        (PATIENT_ID, envelope.references.patient_id.map(Uuid::from)),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            set(name, &id.to_string());
        }
    }
    if let Some(organisation) = &envelope.actor.organisation {
        set(ACTOR_ORGANISATION, organisation);
    }
    if let Some(trace) = &envelope.trace_context {
        set(TRACE_PARENT, trace);
        set(TRACE_PARENT_PLAIN, trace);
    }
    headers
}

/// Headers that say instead of the payload where it is served. What may be long
/// and is served there as well is left out.
pub fn with_data_ref(headers: &HeaderMap, event_id: Uuid) -> HeaderMap {
    let long = [ACTOR_ID, ACTOR_ORGANISATION, TRACE_PARENT, TRACE_PARENT_PLAIN];
    let kept = headers.iter().filter(|(name, _)| !long.contains(&AsRef::<str>::as_ref(*name)));
    let mut headers: HeaderMap =
        kept.flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone()))).collect();
    headers.insert(DATA_REF, format!("/v1/events/{event_id}/payload"));
    headers
}

/// Whether these are the headers that the relay gives an event of this log, as far as the log can tell: who signed them
/// it cannot.
pub fn is_of(found: &HeaderMap, log: LogIdentity, event: &Envelope) -> bool {
    let mut expected = headers(log, event);
    if data_ref(found).is_some() {
        expected = with_data_ref(&expected, event.event_id);
    }
    let is_added = |name: &str| [DATA_HASH, KEY_ID, SIGNATURE].contains(&name);
    let attributes = found.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).starts_with("ce-"));
    let known = attributes.filter(|(name, _)| !is_added(name.as_ref()));
    let expected: Vec<_> =
        expected.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name) != TRACE_PARENT_PLAIN).collect();
    expected.iter().all(|(name, values)| found.get((*name).clone()) == values.first())
        && known.count() == expected.len()
        && text_of(found, DATA_HASH).is_none_or(|hash| hash == data_hash(&event.payload))
}

/// Where the query API serves the payload of a message that came without it.
pub fn data_ref(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    text_of(headers, DATA_REF)
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
    Some(Mark {
        log_id: text_of(headers, LOG_ID)?.parse().ok()?,
        epoch: text_of(headers, EPOCH)?.parse().ok()?,
        position: position(headers)?,
        event_id: text_of(headers, EVENT_ID)?.parse().ok()?,
    })
}

/// The envelope of a message.
///
/// # Errors
/// [`MalformedMessage`] naming the header, or where the payload is.
pub fn envelope(headers: &HeaderMap, payload: Bytes) -> Result<Envelope, MalformedMessage> {
    let given = |name: &'static str| text_of(headers, name);
    let text = |name| given(name).ok_or(Header(name));
    let id = |name| text(name)?.parse::<Uuid>().map_err(|_| Header(name));
    if let Some(elsewhere) = data_ref(headers) {
        return Err(MalformedMessage::Elsewhere(elsewhere.into_owned()));
    }
    let optional_id = |name| if given(name).is_some() { id(name).map(Some) } else { Ok(None) };
    let time = |name| text(name)?.parse::<DateTime<Utc>>().map_err(|_| Header(name));
    Ok(Envelope {
        position: position(headers).ok_or(Header(POSITION))?,
        stream: stream_id(&text(STREAM)?).ok_or(Header(STREAM))?,
        version: text(VERSION)?.parse().map_err(|_| Header(VERSION))?,
        event_id: id(EVENT_ID)?,
        event_type: text(EVENT_TYPE)?.into_owned(),
        schema_version: text(SCHEMA_VERSION)?.parse().map_err(|_| Header(SCHEMA_VERSION))?,
        payload,
        occurred_at: time(OCCURRED_AT)?,
        recorded_at: time(RECORDED_AT)?,
        actor: Actor {
            id: text(ACTOR_ID)?.into_owned(),
            role: serde_json::from_value(text(ACTOR_ROLE)?.into()).map_err(|_| Header(ACTOR_ROLE))?,
            organisation: given(ACTOR_ORGANISATION).map(Cow::into_owned),
        },
        command_id: id(COMMAND_ID)?,
        correlation_id: id(CORRELATION_ID)?,
        causation_id: optional_id(CAUSATION_ID)?,
        trace_context: given(TRACE_PARENT).map(Cow::into_owned),
        references: References {
            trial_id: optional_id(TRIAL_ID)?.map(Into::into),
            site_id: optional_id(SITE_ID)?.map(Into::into),
            patient_id: optional_id(PATIENT_ID)?.map(Into::into),
        },
    })
}

/// The position in a message's headers.
pub fn position(headers: &HeaderMap) -> Option<u64> {
    text_of(headers, POSITION)?.parse().ok()
}

/// The event's type in a message's headers.
pub fn event_type(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    text_of(headers, EVENT_TYPE)
}

fn stream_id(text: &str) -> Option<StreamId> {
    let (kind, id) = text.split_once('/')?;
    Some(StreamId::new(kind.parse().ok()?, id.parse().ok()?))
}

fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The role's word.
fn role_text(role: Role) -> String {
    let word = serde_json::to_value(role).expect("a role serialises to a word by construction");
    word.as_str().unwrap_or_default().to_owned()
}

/// An event that has everything that an event can have.
#[cfg(test)]
pub(crate) fn example(trial_id: Option<events::ids::TrialId>) -> Envelope {
    let time: DateTime<Utc> = "2026-01-31T12:00:00.123456Z".parse().expect("a time");
    Envelope {
        position: 7,
        stream: StreamId::new(events::ids::StreamType::AdverseEvent, Uuid::from_u128(1)),
        version: 2,
        event_id: Uuid::from_u128(3),
        event_type: "AdverseEventUpdated".to_owned(),
        schema_version: 1,
        payload: Bytes::from_static(b"{\"a\":1}"),
        occurred_at: time,
        recorded_at: time,
        actor: Actor { id: "Åse 😀\"".to_owned(), role: Role::Investigator, organisation: Some("Ø".to_owned()) },
        command_id: Uuid::from_u128(4),
        correlation_id: Uuid::from_u128(5),
        causation_id: Some(Uuid::from_u128(6)),
        trace_context: Some("00-1-2-01".to_owned()),
        references: References {
            trial_id,
            site_id: Some(Uuid::from_u128(10).into()),
            patient_id: Some(Uuid::from_u128(11).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Begun, Why};
    use crate::headers::{Form, HEADERS, On};
    use crate::signature::example;

    const LOG: LogIdentity = LogIdentity { log_id: Uuid::from_u128(9), epoch: 2 };

    fn full() -> Envelope {
        example(Some(Uuid::from_u128(8).into()))
    }

    #[test]
    fn a_message_carries_the_whole_envelope() {
        let sent = full();
        let bare = Envelope {
            actor: Actor { organisation: None, ..sent.actor.clone() },
            causation_id: None,
            trace_context: None,
            references: References::default(),
            ..sent.clone()
        };
        for sent in [&sent, &bare] {
            let headers = headers(LOG, sent);
            let received = envelope(&headers, sent.payload.clone()).expect("our own message");
            assert_eq!(&received, sent);
            let expected = Mark { log_id: LOG.log_id, epoch: 2, position: 7, event_id: sent.event_id };
            assert_eq!(mark(&headers), Some(expected));
            let reference = with_data_ref(&headers, sent.event_id);
            assert!(matches!(envelope(&reference, Bytes::new()), Err(MalformedMessage::Elsewhere(_))));
            assert_eq!(data_ref(&reference), Some(format!("/v1/events/{}/payload", sent.event_id).into()));
        }
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_ref()).collect()
    }

    #[test]
    fn the_headers_of_a_message_are_those_of_the_list() {
        let everything = full();
        let mut whole = headers(LOG, &everything);
        let mut referred = with_data_ref(&whole, everything.event_id);
        let (mut common, _) = crate::control::message(LOG, Why::Republished, &Begun::default(), Uuid::nil(), 3);
        for headers in [&mut whole, &mut referred, &mut common] {
            example::signer().sign(headers, &everything.payload);
            for name in names(headers) {
                assert!(HEADERS.iter().any(|header| header.name == name), "`{name}` is not in the list");
            }
        }
        for header in HEADERS {
            let on = [&common, &referred, &whole].map(|headers| names(headers).contains(&header.name));
            let expected: &[[bool; 3]] = match header.on {
                On::All => &[[true, true, true]],
                On::Controls => &[[true, false, false]],
                On::Events => &[[false, true, true]],
                On::WholeEvents => &[[false, false, true]],
                // Only of this event; the last of them in place of a payload.
                On::Some => &[[false, true, true], [false, false, true], [false, true, false]],
            };
            assert!(expected.contains(&on), "{}: {on:?}", header.name);
        }
        for (name, values) in whole.iter() {
            let text = values[0].as_str();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{name}: {text}");
        }
        assert_eq!(whole.get(ACTOR_ID).map(ToString::to_string).as_deref(), Some("%C3%85se%20%F0%9F%98%80%22"));
        let constant = HEADERS.iter().find(|header| header.name == SPEC_VERSION).expect("the version");
        assert_eq!(constant.form, Form::Constant("1.0"));
    }

    #[test]
    fn headers_are_held_against_the_event() {
        let event = full();
        let whole = headers(LOG, &event);
        let mut signed = whole.clone();
        example::signer().sign(&mut signed, &event.payload);
        let mut elsewhere = with_data_ref(&whole, event.event_id);
        example::signer().sign(&mut elsewhere, &event.payload);
        for found in [&whole, &signed, &elsewhere] {
            assert!(is_of(found, LOG, &event));
            assert!(!is_of(found, LogIdentity { epoch: 3, ..LOG }, &event));
            let more = Envelope { payload: Bytes::from_static(b"{}"), ..event.clone() };
            assert_eq!(is_of(found, LOG, &more), found.get(DATA_HASH).is_none(), "the payload is known by its hash");
            for name in names(found).into_iter().filter(|name| ![KEY_ID, SIGNATURE, TRACE_PARENT_PLAIN].contains(name))
            {
                let mut other = found.clone();
                other.insert(name, "8");
                assert!(!is_of(&other, LOG, &event), "{name}");
            }
            let mut more = found.clone();
            more.insert("ce-more", "8");
            assert!(!is_of(&more, LOG, &event));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let everything = full();
        let mut headers = headers(LOG, &everything);
        headers.insert(ACTOR_ROLE, "emperor");
        let error = envelope(&headers, Bytes::new()).expect_err("no such role");
        assert!(error.to_string().contains(ACTOR_ROLE), "{error}");
        headers.insert(ACTOR_ID, "%FF");
        assert!(matches!(envelope(&headers, Bytes::new()), Err(Header(ACTOR_ID))));
    }
}
