//! The streams that a decision looks at.

use std::collections::HashMap;
use std::sync::Arc;

use events::ids::{StreamId, StreamKey};

use crate::{Aggregate, Refusal, State, StreamFold};

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
            .ok_or_else(|| Halt::Needs(vec![Need::of::<A>(id)]))
    }

    /// Asks for all of these at once, for a decision that looks at many streams or learns late which.
    ///
    /// # Errors
    /// [`Halt::Needs`] with those that are not loaded yet.
    pub fn require(&self, needs: impl IntoIterator<Item = Need>) -> Result<(), Halt> {
        let missing = needs.into_iter().filter(|need| !self.entries.contains_key(&need.stream));
        let missing: Vec<Need> = missing.collect();
        if missing.is_empty() { Ok(()) } else { Err(Halt::Needs(missing)) }
    }

    /// Takes a stream out, so that its state can be folded on in place.
    pub fn remove(&mut self, stream: StreamId) -> Option<Fact> {
        self.entries.remove(&stream)
    }

    /// The version at which `stream` was seen, where it was loaded.
    pub fn version(&self, stream: StreamId) -> Option<u64> {
        self.entries.get(&stream).map(|fact| fact.version)
    }

    /// A stream as it was seen, where it was loaded.
    pub fn fact(&self, stream: StreamId) -> Option<&Fact> {
        self.entries.get(&stream)
    }

    /// Every stream as it was seen.
    pub fn all(&self) -> impl Iterator<Item = (StreamId, &Fact)> {
        self.entries.iter().map(|(stream, fact)| (*stream, fact))
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
    pub fold: StreamFold,
}

impl Fact {
    /// The state, where it is of this aggregate.
    pub fn of<A: Aggregate>(&self) -> Option<&A> {
        self.state.downcast_ref()
    }

    /// A stream that does not exist.
    pub fn absent(fold: &StreamFold) -> Self {
        Self { version: 0, state: (fold.initial)() }
    }
}

impl Need {
    /// The stream that `id` names, folded as `A`.
    pub fn of<A: Aggregate>(id: A::Id) -> Self {
        Self { stream: id.stream(), fold: StreamFold::of::<A>() }
    }
}

/// Why a decision stopped.
#[derive(Debug)]
pub enum Halt {
    /// Load these streams and decide again.
    Needs(Vec<Need>),
    /// The command is refused.
    Refused(Refusal),
}
