//! The vocabulary in which decisions are written and carried out.
//!
//! A decision is a pure function from a command and folded streams to new
//! events. It asks for a stream by [`Facts::get`]; where the stream is not
//! loaded yet the decision halts with [`Halt::Needs`], whoever runs it loads
//! the stream and decides again. All streams that were loaded are guarded by
//! the version that was seen, so a rule over several streams holds however many
//! commands pass each other.
//!
//! It lives beside the events because both the domain and the log speak it and
//! neither may know the other (docs/adr/0002-decider-vocabulary.md).

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::{Actor, Envelope, NewEvent, References};
use crate::ids::{StreamId, StreamKey, StreamType};
use crate::set::{DecodeError, EventSet};

/// State folded from the events of one stream. `Default` is the stream that
/// does not exist yet.
pub trait Aggregate: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The id that names the stream.
    type Id: StreamKey;
    /// The stream's events.
    type Event: EventSet;
    /// Raised whenever the state's shape or fold changes; older snapshots are then ignored.
    const SNAPSHOT_VERSION: u16;

    /// The state after `event`, which happened at `occurred_at`.
    #[must_use]
    fn evolve(self, event: &Self::Event, occurred_at: DateTime<Utc>) -> Self;
}

/// What a command asks for; implemented on the command's body.
pub trait Command {
    /// The id in the command's address.
    type Target: StreamKey;
    /// The name, such as `SignConsent`.
    const NAME: &'static str;

    /// Decides which events follow. An empty decision means "already so".
    ///
    /// # Errors
    /// [`Halt::Needs`] asks for a stream; [`Halt::Refused`] names the rule that forbids it.
    fn decide(&self, target: Self::Target, context: &Context, facts: &Facts) -> Result<Decision, Halt>;
}

/// What a decision may know about its surroundings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time at which the command is decided.
    pub now: DateTime<Utc>,
    /// The command's id.
    pub command_id: Uuid,
    /// Who sent it.
    pub actor: Actor,
}

/// A folded stream, its type known to whoever asks for it.
pub type State = Arc<dyn Any + Send + Sync>;

/// What folding needs of an event.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'event> {
    /// Its type.
    pub event_type: &'event str,
    /// The version of its schema.
    pub schema_version: u16,
    /// Its payload.
    pub payload: &'event [u8],
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
}

impl<'event> From<&'event NewEvent> for Recorded<'event> {
    fn from(event: &'event NewEvent) -> Self {
        Self {
            event_type: event.event_type,
            schema_version: event.schema_version,
            payload: &event.payload,
            occurred_at: event.occurred_at,
        }
    }
}

impl<'event> From<&'event Envelope> for Recorded<'event> {
    fn from(event: &'event Envelope) -> Self {
        Self {
            event_type: &event.event_type,
            schema_version: event.schema_version,
            payload: &event.payload,
            occurred_at: event.occurred_at,
        }
    }
}

/// How to fold one kind of stream without knowing its type.
#[derive(Clone, Copy)]
pub struct Folder {
    /// The kind of stream.
    pub stream_type: StreamType,
    /// The version of the state's shape.
    pub snapshot_version: u16,
    /// The stream that does not exist.
    pub initial: fn() -> State,
    /// The state after one more event.
    pub apply: fn(State, &Recorded<'_>) -> Result<State, DecodeError>,
    /// The state as bytes for a snapshot.
    pub freeze: fn(&State) -> Option<Vec<u8>>,
    /// The state of a snapshot; `None` where it does not fit.
    pub thaw: fn(&[u8]) -> Option<State>,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Folder({})", self.stream_type)
    }
}

impl Folder {
    /// The folder of aggregate `A`.
    pub const fn of<A: Aggregate>() -> Self {
        Self {
            stream_type: <A::Id as StreamKey>::STREAM_TYPE,
            snapshot_version: A::SNAPSHOT_VERSION,
            initial: || Arc::new(A::default()),
            apply: |state, recorded| {
                let event = A::Event::decode(recorded.event_type, recorded.schema_version, recorded.payload)?;
                // Another aggregate's state cannot get here: entries are keyed by stream type.
                let state: Arc<A> = state.downcast().unwrap_or_default();
                Ok(Arc::new(Arc::unwrap_or_clone(state).evolve(&event, recorded.occurred_at)))
            },
            freeze: |state| serde_json::to_vec(state.downcast_ref::<A>()?).ok(),
            thaw: |bytes| Some(Arc::new(serde_json::from_slice::<A>(bytes).ok()?)),
        }
    }
}

/// A stream as a decision saw it.
#[derive(Clone)]
pub struct Fact {
    /// The stream's version; 0 where it does not exist.
    pub version: u64,
    /// The folded state.
    pub state: State,
}

/// The streams that a decision may look at.
#[derive(Clone, Default)]
pub struct Facts {
    entries: HashMap<StreamId, Fact>,
}

impl Facts {
    /// No stream loaded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a loaded stream.
    pub fn insert(&mut self, stream: StreamId, fact: Fact) {
        self.entries.insert(stream, fact);
    }

    /// Adds a state given as such.
    pub fn insert_state<A: Aggregate>(&mut self, id: A::Id, version: u64, state: A) {
        self.insert(id.stream(), Fact { version, state: Arc::new(state) });
    }

    /// The folded state of the stream that `id` names.
    ///
    /// # Errors
    /// [`Halt::Needs`] where it is not loaded yet.
    pub fn get<A: Aggregate>(&self, id: A::Id) -> Result<&A, Halt> {
        let stream = id.stream();
        self.entries
            .get(&stream)
            .and_then(|fact| fact.state.downcast_ref::<A>())
            .ok_or(Halt::Needs(Need { stream, folder: Folder::of::<A>() }))
    }

    /// The version at which `stream` was seen, where it was loaded.
    pub fn version(&self, stream: StreamId) -> Option<u64> {
        self.entries.get(&stream).map(|fact| fact.version)
    }

    /// A stream as it was seen, where it was loaded.
    pub fn fact(&self, stream: StreamId) -> Option<&Fact> {
        self.entries.get(&stream)
    }

    /// Every stream with the version at which it was seen.
    pub fn versions(&self) -> impl Iterator<Item = (StreamId, u64)> {
        self.entries.iter().map(|(stream, fact)| (*stream, fact.version))
    }
}

/// A stream that a decision wants to see.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Which stream.
    pub stream: StreamId,
    /// How to fold it.
    pub folder: Folder,
}

/// Why a decision stopped.
#[derive(Debug)]
pub enum Halt {
    /// Load this stream and decide again.
    Needs(Need),
    /// The command is refused.
    Refused(Refusal),
}

/// What kind of refusal it is; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The command itself is wrong, whatever the state (400).
    Invalid,
    /// What it speaks of does not exist (404).
    NotFound,
    /// A rule forbids it in the present state (422).
    Rule,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The rule's name in kebab-case, such as `site-cap-reached`.
    pub rule: String,
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// The command's field that is at fault, as a JSON Pointer without the leading slash.
    pub field: Option<String>,
    /// What is wrong and what would be right; no personal data.
    pub message: String,
}

/// An aggregate's reasons to refuse, each with its rule's name.
pub trait Reason: std::error::Error {
    /// The rule's name in kebab-case.
    fn rule(&self) -> &'static str;
    /// What kind of refusal.
    fn kind(&self) -> RefusalKind {
        RefusalKind::Rule
    }
    /// The command's field at fault.
    fn field(&self) -> Option<String> {
        None
    }
}

impl<R: Reason> From<R> for Halt {
    fn from(reason: R) -> Self {
        Halt::Refused(Refusal {
            rule: reason.rule().to_owned(),
            kind: reason.kind(),
            field: reason.field(),
            message: reason.to_string(),
        })
    }
}

/// The events that a decision writes to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// The events, in order.
    pub events: Vec<NewEvent>,
}

/// What follows from a command: events on one or several streams, all or none.
///
/// Every stream that is written must have been read by [`Facts::get`], so that
/// its expected version is the one that the decision saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The streams to write, in the order of the first event for each.
    pub writes: Vec<StreamWrite>,
    references: References,
    occurred_at: DateTime<Utc>,
}

impl Decision {
    /// A decision about `references`, whose events happened at `occurred_at`.
    pub const fn new(references: References, occurred_at: DateTime<Utc>) -> Self {
        Self { writes: Vec::new(), references, occurred_at }
    }

    /// Adds an event to the stream that `id` names.
    #[must_use]
    pub fn append<K: StreamKey, E: EventSet>(mut self, id: K, event: impl Into<E>) -> Self {
        let event: E = event.into();
        let new = NewEvent {
            event_type: event.event_type(),
            schema_version: event.schema_version(),
            payload: event.encode(),
            occurred_at: self.occurred_at,
            references: self.references,
        };
        let stream = id.stream();
        match self.writes.iter_mut().find(|write| write.stream == stream) {
            Some(write) => write.events.push(new),
            None => self.writes.push(StreamWrite { stream, events: vec![new] }),
        }
        self
    }
}
