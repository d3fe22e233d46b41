//! Given events, then the steps of a process manager: no log, no server.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use decider::{Refusal, RefusalKind};
use domain::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use events::envelope::{Actor, Envelope, References};
use events::ids::{StreamId, StreamKey};
use events::registry::AnyEvent;
use events::set::EventSet;
use uuid::Uuid;

use super::now;

/// An event that happened.
#[derive(Clone, Debug)]
pub struct Happened {
    stream: StreamId,
    event_type: &'static str,
    schema_version: u16,
    payload: bytes::Bytes,
    references: References,
}

/// An event on the stream of `id`, about `references`.
pub fn happened<K: StreamKey, E: EventSet>(id: K, event: impl Into<E>, references: References) -> Happened {
    let event = event.into();
    let (event_type, schema_version, payload) = (event.event_type(), event.schema_version(), event.encode());
    Happened { stream: id.stream(), event_type, schema_version, payload, references }
}

/// What has happened, in this order.
pub fn given(events: impl IntoIterator<Item = Happened>) -> Given {
    Given { events: events.into_iter().collect() }
}

/// What has happened.
pub struct Given {
    events: Vec<Happened>,
}

impl Given {
    /// What a process manager makes of it.
    #[track_caller]
    pub fn process<P: ProcessManager>(self) -> Process<P> {
        let nothing = Process { instances: BTreeMap::new(), steps: Vec::new(), events: 0 };
        self.events.into_iter().fold(nothing, Process::when)
    }
}

/// A process manager after events.
pub struct Process<P: ProcessManager> {
    instances: BTreeMap<Uuid, P::State>,
    steps: Vec<Step>,
    events: u64,
}

/// The id of the event that happened as the `number`th, from 1.
pub fn event_id(number: u64) -> Uuid {
    Uuid::from_u128(0xE_0000 + u128::from(number))
}

/// When the `number`th event happened, from 1: a minute after the one before.
pub fn event_time(number: u64) -> DateTime<Utc> {
    now() + Duration::minutes(number.cast_signed())
}

impl<P: ProcessManager> Process<P> {
    /// And then this happened.
    #[track_caller]
    pub fn when(mut self, happened: Happened) -> Self {
        self.events += 1;
        let envelope = envelope(self.events, happened);
        let event = AnyEvent::from_envelope(&envelope).expect("an event of this program");
        self.steps = Vec::new();
        let unfinished = |state: &P::State| !P::phase(state).finished;
        let about = |wanted: &dyn Fn(References) -> bool| {
            let states = self.instances.iter().filter(|(_, state)| unfinished(state) && wanted(P::references(state)));
            states.map(|(key, _)| *key).collect::<Vec<Uuid>>()
        };
        let keys = match P::route(&event, &envelope) {
            Route::Nobody => Vec::new(),
            Route::Start(key) => vec![key],
            Route::Continue(key) => self.instances.contains_key(&key).then_some(key).into_iter().collect(),
            Route::Patient(id) => about(&|references| references.patient_id == Some(id)),
            Route::Trial(id) => about(&|references| references.trial_id == Some(id)),
        };
        for key in keys {
            let state = P::evolve(self.instances.remove(&key).unwrap_or_default(), &event, &envelope);
            self.steps.extend(P::react(&state, &event, &envelope));
            self.instances.insert(key, kept::<P>(&state));
        }
        let mut names: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two steps of one name: {names:?}");
        self
    }

    /// The steps that follow from the last event are these, with their commands.
    ///
    /// # Panics
    /// Where they are others.
    #[track_caller]
    pub fn then(self, steps: &[Step]) -> Self {
        assert_eq!(self.steps, steps);
        for step in steps {
            assert!(P::COMMANDS.contains(&step.command.name()), "{} does not send {}", P::NAME, step.command.name());
        }
        self
    }

    /// When the instance about `key` wants to be woken, and what follows then.
    ///
    /// # Panics
    /// Where it wants something else.
    #[track_caller]
    pub fn then_wakes(self, key: Uuid, expected: Option<(DateTime<Utc>, &[Step])>) -> Self {
        let state = self.state(key);
        let wakes = P::wake_at(state).map(|due| (due, P::wake(state, due)));
        assert_eq!(wakes.as_ref().map(|(due, steps)| (*due, steps.as_slice())), expected);
        self
    }

    /// What a refusal of a step by this rule means for the instance about `key`.
    ///
    /// # Panics
    /// Where it means something else.
    #[track_caller]
    pub fn then_on_refusal(self, key: Uuid, step: &Step, rule: &str, expected: &OnRefusal) -> Self {
        let (kind, message) = (RefusalKind::Rule, "refused in a test".to_owned());
        let refusal = Refusal { rule: rule.to_owned(), kind, field: None, message, faults: Vec::new() };
        assert_eq!(P::on_refusal(self.state(key), step, &refusal), *expected);
        self
    }

    /// Where the instance about `key` stands.
    ///
    /// # Panics
    /// Where it stands elsewhere.
    #[track_caller]
    pub fn then_waits_for(self, key: Uuid, waiting_for: &str, finished: bool) -> Self {
        assert_eq!(P::phase(self.state(key)), Phase { waiting_for: waiting_for.to_owned(), finished });
        self
    }

    /// What the instance about `key` is about.
    ///
    /// # Panics
    /// Where it is about something else.
    #[track_caller]
    pub fn then_is_about(self, key: Uuid, references: References) -> Self {
        assert_eq!(P::references(self.state(key)), references);
        self
    }

    /// No instance has begun.
    ///
    /// # Panics
    /// Where one has.
    #[track_caller]
    pub fn then_nothing_began(self) -> Self {
        assert!(self.instances.is_empty(), "{:?} began", self.instances.keys());
        self
    }

    #[track_caller]
    fn state(&self, key: Uuid) -> &P::State {
        self.instances.get(&key).unwrap_or_else(|| panic!("there is no instance about {key}"))
    }
}

/// The state as it is read back after it was kept.
fn kept<P: ProcessManager>(state: &P::State) -> P::State {
    let written = serde_json::to_value(state).expect("a state is JSON");
    let read: P::State = serde_json::from_value(written.clone()).expect("a state reads back");
    assert_eq!(serde_json::to_value(&read).expect("a state is JSON"), written, "a state changes when it is kept");
    read
}

fn envelope(number: u64, happened: Happened) -> Envelope {
    let command_id = Uuid::from_u128(0xC_0000 + u128::from(number));
    Envelope {
        position: number,
        stream: happened.stream,
        version: number,
        event_id: event_id(number),
        event_type: happened.event_type.to_owned(),
        schema_version: happened.schema_version,
        payload: happened.payload,
        occurred_at: event_time(number),
        recorded_at: event_time(number),
        actor: Actor::system("test"),
        command_id,
        correlation_id: command_id,
        causation_id: None,
        trace_context: None,
        references: happened.references,
    }
}
