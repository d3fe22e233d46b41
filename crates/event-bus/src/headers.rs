//! The headers of our messages: CloudEvents' attributes and extensions, in one list.
//!
//! The list is what `message` writes and reads by, and what the published contract
//! (`asyncapi/asyncapi.json`) says of headers.

use serde_json::{Value, json};

/// On which messages a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On every message, control messages too.
    All,
    /// On every control message.
    Controls,
    /// On every event.
    Events,
    /// On every event that has its payload with it; not where [`DATA_REF`] says where that is.
    WholeEvents,
    /// On events that have such a thing.
    Some,
}

/// What a header's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Always this.
    Constant(&'static str),
    /// A UUID.
    Uuid,
    /// A whole number from 1 (or 0) in decimal digits. Text, for it may be beyond CloudEvents' 32 bits.
    Number,
    /// A time in UTC with six digits of the second (RFC 3339).
    Time,
    /// Text of this pattern.
    Pattern(&'static str),
    /// A URI, or a reference relative to the query API's address.
    UriReference,
    /// Any text, percent-encoded.
    Text,
}

/// A header of our messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// On which messages it is.
    pub on: On,
    /// What its text is.
    pub form: Form,
    /// What it says.
    pub meaning: &'static str,
}

impl Header {
    /// The JSON Schema (draft 7) of its value as it is on the wire.
    pub fn schema(&self) -> Value {
        let mut schema = match self.form {
            Form::Constant(text) => json!({"const": text}),
            Form::Uuid => json!({"format": "uuid"}),
            Form::Number => json!({"pattern": "^(0|[1-9][0-9]*)$"}),
            Form::Time => json!({"format": "date-time"}),
            Form::Pattern(pattern) => json!({"pattern": pattern}),
            Form::UriReference => json!({"format": "uri-reference"}),
            Form::Text => json!({"pattern": "^[!#-~]*$"}),
        };
        schema["type"] = "string".into();
        schema["description"] = self.meaning.into();
        schema
    }
}

macro_rules! headers {
    ($($(#[doc = $meaning:literal])+ $constant:ident = $name:literal, $on:expr, $form:expr;)+) => {
        $(
            $(#[doc = $meaning])+
            pub const $constant: &str = $name;
        )+
        /// Every header that we set, but for those by which the server is asked to check what it takes.
        pub const HEADERS: &[Header] = &[$(
            Header { name: $name, on: $on, form: $form, meaning: concat!($($meaning),+).trim_ascii() }
        ),+];
    };
}

headers! {
    /// The version of CloudEvents.
    SPEC_VERSION = "ce-specversion", On::All, Form::Constant("1.0");
    /// The event's id (UUIDv7), the same for ever; of a control message its own.
    EVENT_ID = "ce-id", On::All, Form::Uuid;
    /// Which log it is of: `urn:anamnesis:` and the log's id.
    SOURCE = "ce-source", On::All, Form::Pattern("^urn:anamnesis:[0-9a-f-]{36}$");
    /// The event's type, such as `ConsentSigned`.
    EVENT_TYPE = "ce-type", On::All, Form::Pattern("^[A-Z][A-Za-z0-9]*$");
    /// What the payload is written in.
    DATA_CONTENT_TYPE = "ce-datacontenttype", On::All, Form::Constant("application/json");
    /// The `$id` of the payload's JSON Schema; what follows `urn:anamnesis:schema:` follows `/v1/schemas/` at the query API.
    DATA_SCHEMA = "ce-dataschema", On::All, Form::Pattern("^urn:anamnesis:schema:[a-z]+/[A-Za-z0-9]+/[1-9][0-9]*$");
    /// Which log it is of: the log's id, made once.
    LOG_ID = "ce-logid", On::All, Form::Uuid;
    /// The log's epoch when it was published: from 1, greater by one after each loss of events.
    EPOCH = "ce-epoch", On::All, Form::Number;
    /// The event's place in the log: from 1, without gaps. Of a control message the position behind which the log goes on.
    POSITION = "ce-position", On::All, Form::Number;
    /// The sequence that the message has in the stream: sent again elsewhere it says nothing.
    STREAM_SEQUENCE = "ce-streamsequence", On::Controls, Form::Number;
    /// The event's stream: its type, a slash, its id.
    STREAM = "ce-subject", On::Events, Form::Pattern("^[a-z-]+/[0-9a-f-]{36}$");
    /// The event's place in its stream: from 1, without gaps.
    VERSION = "ce-streamversion", On::Events, Form::Number;
    /// The version of the payload's schema.
    SCHEMA_VERSION = "ce-schemaversion", On::Events, Form::Number;
    /// When it happened, as given.
    OCCURRED_AT = "ce-time", On::Events, Form::Time;
    /// When the log stored it; never decreases with the position.
    RECORDED_AT = "ce-recordedtime", On::Events, Form::Time;
    /// The account that caused it: the subject of its token.
    ACTOR_ID = "ce-actorid", On::WholeEvents, Form::Text;
    /// The role in which it acted.
    ACTOR_ROLE = "ce-actorrole", On::Events, Form::Pattern("^[a-z-]+$");
    /// The organisation for which it acted.
    ACTOR_ORGANISATION = "ce-actororganisation", On::Some, Form::Text;
    /// The command that decided it.
    COMMAND_ID = "ce-commandid", On::Events, Form::Uuid;
    /// The first command of the whole conversation.
    CORRELATION_ID = "ce-correlationid", On::Events, Form::Uuid;
    /// The event that led to the command, where a process manager sent it.
    CAUSATION_ID = "ce-causationid", On::Some, Form::Uuid;
    /// The trial that it is about.
    TRIAL_ID = "ce-trialid", On::Some, Form::Uuid;
    /// The site that it is about.
    SITE_ID = "ce-siteid", On::Some, Form::Uuid;
    /// The patient that it is about.
    PATIENT_ID = "ce-patientid", On::Some, Form::Uuid;
    /// The request's trace (W3C Trace Context; CloudEvents' distributed tracing extension).
    TRACE_PARENT = "ce-traceparent", On::Some, Form::Text;
    /// The same once more, where tracing tools look for it.
    TRACE_PARENT_PLAIN = "traceparent", On::Some, Form::Text;
    /// Where the query API has the payload of an event that is too large for NATS: the message's own is empty then.
    DATA_REF = "ce-dataref", On::Some, Form::UriReference;
    /// The SHA-256 of the payload as the log has it, in base64url; also where the message comes without it.
    DATA_HASH = "ce-datahash", On::All, Form::Pattern("^[A-Za-z0-9_-]{43}$");
    /// The key that signed the message, as `/v1/event-keys` names it: the thumbprint of its public half (RFC 7638).
    KEY_ID = "ce-keyid", On::All, Form::Pattern("^[A-Za-z0-9_-]{43}$");
    /// The relay's signature of all other headers that begin with `ce-`, by Ed25519, in base64url.
    SIGNATURE = "ce-signature", On::All, Form::Pattern("^[A-Za-z0-9_-]{86}$");
}

/// Headers by which the relay asks the server to check what it takes; of no use to subscribers.
pub const CHECKS: &[(&str, &str)] = &[
    (
        "Nats-Msg-Id",
        "By which the server recognises a message that comes again: the event's id, what it was sent in, and what nobody can know before it is sent.",
    ),
    ("Nats-Expected-Stream", "The stream that takes it."),
    ("Nats-Expected-Last-Sequence", "The sequence of the message before it."),
    ("Nats-Expected-Last-Msg-Id", "The id of the message before it."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::HEADERS;

    #[test]
    fn names_are_as_cloud_events_wants_attributes() {
        let names: BTreeSet<&str> = HEADERS.iter().map(|header| header.name).collect();
        assert_eq!(names.len(), HEADERS.len(), "each once");
        for name in names.into_iter().filter(|name| *name != super::TRACE_PARENT_PLAIN) {
            let attribute = name.strip_prefix("ce-").expect("the binding's prefix");
            let plain = attribute.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(plain && (1..=20).contains(&attribute.len()), "{attribute}");
        }
    }

    #[test]
    fn every_header_says_what_it_means() {
        for header in HEADERS {
            assert!(header.meaning.ends_with('.') && !header.meaning.contains("  "), "{header:?}");
        }
    }
}
