//! What the relay says to subscribers about the stream itself, in the stream's order.

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;
use event_store::log::LogIdentity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::header_value::text_of;
use crate::headers::{STREAM, STREAM_SEQUENCE};
use crate::message::{common_headers, event_type, mark};

/// From here on the stream holds, one after the other, the log's events after a
/// position. The message's data; its `ce-epoch` is the epoch that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LogBegun")]
pub struct Begun {
    /// The next event is the one after this position.
    pub after_position: u64,
    /// The log's event at that position; none at its beginning.
    pub after_event_id: Option<Uuid>,
    /// The log's epochs after its first, as far as the stream has known them, oldest first.
    pub epochs: Vec<EpochStart>,
}

/// Where an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EpochStart {
    /// The epoch.
    pub epoch: u64,
    /// What was heard in earlier epochs after this position is not in the log any more.
    pub after_position: u64,
}

impl Begun {
    /// Up to which position what was heard in `epoch` is still true; none
    /// where nothing was lost since, or nothing is known of it.
    pub fn kept_of(&self, epoch: u64) -> Option<u64> {
        let later = self.epochs.iter().filter(|start| start.epoch > epoch);
        later.map(|start| start.after_position).min()
    }
}

/// Why the events after a position follow here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The log lost events and began a new epoch: of what was heard in an
    /// earlier epoch nothing after the position is in the log any more.
    EpochBegan,
    /// The stream was filled anew: the same events come again.
    Republished,
}

/// The version of the data's schema.
const SCHEMA_VERSION: u16 = 1;

impl Why {
    /// All of them.
    pub const ALL: [Why; 2] = [Why::EpochBegan, Why::Republished];

    /// What it tells a subscriber.
    pub const fn meaning(self) -> &'static str {
        match self {
            Why::EpochBegan => {
                "The log lost events and began a new epoch: of what was heard in an earlier epoch nothing after the \
                 position is in the log any more. What the log has instead follows."
            }
            Why::Republished => "The stream was filled anew: the events after the position come again.",
        }
    }

    /// The id of the data's JSON Schema.
    pub fn schema_id(self) -> String {
        format!("urn:anamnesis:schema:{}", self.schema_path())
    }

    /// Where the JSON Schema is below `/v1/schemas/`.
    pub fn schema_path(self) -> String {
        format!("control/{}/{SCHEMA_VERSION}", self.kind())
    }

    /// The CloudEvents type, which is also the end of the subject.
    pub const fn kind(self) -> &'static str {
        match self {
            Why::EpochBegan => "LogEpochBegan",
            Why::Republished => "LogRepublished",
        }
    }

    /// What the end of a subject stands for.
    pub fn of_subject(subject: &str) -> Option<Self> {
        let kind = subject.rsplit('.').next()?;
        Why::ALL.into_iter().find(|why| why.kind() == kind)
    }
}

/// A control message as it is sent to get this sequence: its headers and its data. `run` is its id; the ids of the messages
/// behind it end in it.
pub fn message(log: LogIdentity, why: Why, begun: &Begun, run: Uuid, sequence: u64) -> (HeaderMap, Bytes) {
    let data = serde_json::to_vec(begun).expect("numbers and ids serialise to JSON by construction");
    let mut headers = common_headers(log, run, why.kind(), &why.schema_id(), begun.after_position);
    headers.insert(HeaderName::from_static(STREAM_SEQUENCE), sequence.to_string());
    (headers, data.into())
}

/// A control message as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its own id.
    pub run: Uuid,
    /// The epoch that it was sent in.
    pub epoch: u64,
    /// What it says.
    pub begun: Begun,
}

/// Whether the headers are those of a control message of this subject at this sequence: one that is sent again is none.
pub fn is_of(headers: &HeaderMap, subject: &str, sequence: u64) -> bool {
    let kind = Why::of_subject(subject).map(Why::kind);
    let is_there = text_of(headers, STREAM_SEQUENCE).is_some_and(|told| told == sequence.to_string());
    text_of(headers, STREAM).is_none() && kind.is_some() && event_type(headers).as_deref() == kind && is_there
}

/// Reads a control message; none where it is not one of ours.
pub fn read(headers: &HeaderMap, data: &[u8]) -> Option<Control> {
    let mark = mark(headers)?;
    let begun = serde_json::from_slice(data).ok()?;
    Some(Control { run: mark.event_id, epoch: mark.epoch, begun })
}
