//! What follows from a command.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use events::envelope::{Actor, NewEvent, References};
use events::ids::{StreamId, StreamKey};

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
    /// Who acts, where the decision found it out: the account in the role by which it may.
    pub actor: Option<Actor>,
    references: References,
    occurred_at: DateTime<Utc>,
}

impl Decision {
    /// A decision about `references`, whose events happened at `occurred_at`.
    pub const fn new(references: References, occurred_at: DateTime<Utc>) -> Self {
        Self { writes: Vec::new(), actor: None, references, occurred_at }
    }

    /// What it is about.
    pub const fn references(&self) -> References {
        self.references
    }

    /// The decision, made for somebody in the role by which they may.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }

    /// Adds an event to the stream that `id` names; only an event of that kind of stream compiles:
    ///
    /// ```compile_fail
    /// # use decider::Decision;
    /// # use events::envelope::References;
    /// # use events::ids::TrialId;
    /// # use events::visit::VisitAttended;
    /// fn misplaced(decision: Decision, trial_id: TrialId, attended: VisitAttended) -> Decision {
    ///     decision.append(trial_id, attended)
    /// }
    /// ```
    #[must_use]
    pub fn append<K: StreamKey>(self, id: K, event: impl Into<K::Event>) -> Self {
        let about = self.references;
        self.append_about(about, id, event)
    }

    /// The same, of an event that is about something narrower than the decision, such as one participant of a trial.
    #[must_use]
    pub fn append_about<K: StreamKey>(mut self, about: References, id: K, event: impl Into<K::Event>) -> Self {
        let event: K::Event = event.into();
        let new = NewEvent::of(&event, self.occurred_at, about);
        let new = NewEvent { typed: Some(Arc::new(event)), ..new };
        let stream = id.stream();
        match self.writes.iter_mut().find(|write| write.stream == stream) {
            Some(write) => write.events.push(new),
            None => self.writes.push(StreamWrite { stream, events: vec![new] }),
        }
        self
    }
}
