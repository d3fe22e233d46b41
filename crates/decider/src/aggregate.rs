//! What is folded from a stream, with its type and without.

use std::any::Any;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use events::envelope::{Envelope, NewEvent, TypedEvent};
use events::ids::{StreamKey, StreamType};
use events::set::{DecodeError, EventSet};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// State folded from the events of one stream. `Default` is the stream that
/// does not exist yet.
pub trait Aggregate: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The id that names the stream.
    type Id: StreamKey;
    /// The stream's events.
    type Event: EventSet;
    /// Raised whenever the state's shape or fold changes; older snapshots are then ignored.
    const SNAPSHOT_VERSION: u16 = 1;

    /// The state after `event`, which happened at `occurred_at`.
    #[must_use]
    fn evolve(self, event: &Self::Event, occurred_at: DateTime<Utc>) -> Self;
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
pub struct StreamFold {
    /// The kind of stream.
    pub stream_type: StreamType,
    /// The version of the state's shape.
    pub snapshot_version: u16,
    /// The stream that does not exist.
    pub initial: fn() -> State,
    /// The state after one more event.
    pub apply: fn(State, &Recorded<'_>) -> Result<State, DecodeError>,
    /// The state after one more event that is still at hand as what it is; `None` where it is of another set.
    pub apply_typed: fn(State, &TypedEvent, DateTime<Utc>) -> Option<State>,
    /// The state as bytes for a snapshot.
    pub freeze: fn(&State) -> Option<Vec<u8>>,
    /// The state of a snapshot; `None` where it does not fit.
    pub thaw: fn(&[u8]) -> Option<State>,
}

impl std::fmt::Debug for StreamFold {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "StreamFold({})", self.stream_type)
    }
}

impl StreamFold {
    /// How aggregate `A` is folded.
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
            apply_typed: |state, event, occurred_at| {
                let event = event.downcast_ref::<A::Event>()?;
                let state: Arc<A> = state.downcast().unwrap_or_default();
                Some(Arc::new(Arc::unwrap_or_clone(state).evolve(event, occurred_at)))
            },
            freeze: |state| serde_json::to_vec(state.downcast_ref::<A>()?).ok(),
            thaw: |bytes| Some(Arc::new(serde_json::from_slice::<A>(bytes).ok()?)),
        }
    }
}
