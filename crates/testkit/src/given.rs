//! Given events, when a command, then events or a refusal; given events, then a view's document.

pub mod view;

pub mod process;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use decider::{
    Command, Context, Decide, Decision, Fact, Facts, Halt, Inquire, Need, Refusal, SearchKeys, State, StreamFold,
};
use domain::rules;
use events::envelope::{Actor, NewEvent, Role};
use events::ids::{StreamId, derive_id};
use uuid::Uuid;

/// A world of streams in which commands are decided, one after the other.
#[derive(Clone, Default)]
pub struct World {
    streams: BTreeMap<StreamId, Vec<NewEvent>>,
    folds: BTreeMap<StreamId, StreamFold>,
    role: Option<Role>,
    unnamed: bool,
    now: Option<DateTime<Utc>>,
}

/// How a command is decided.
type Deciding<'command> = &'command dyn Fn(&Context, &Facts) -> Result<Decision, Halt>;

/// What a command led to.
pub struct Outcome {
    /// The world after it.
    pub world: World,
    result: Result<Decision, Refusal>,
}

impl World {
    /// Nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same world, in which somebody in this role acts: an integration unless it is said.
    pub fn as_role(&self, role: Role) -> Self {
        Self { role: Some(role), ..self.clone() }
    }

    /// The same world, in which whoever sends a command does not name its target.
    pub fn with_targets_unnamed(&self) -> Self {
        Self { unnamed: true, ..self.clone() }
    }

    /// The same world, some minutes later.
    pub fn minutes_later(&self, minutes: i64) -> Self {
        Self { now: Some(self.now() + TimeDelta::minutes(minutes)), ..self.clone() }
    }

    /// The time in this world.
    pub fn now(&self) -> DateTime<Utc> {
        self.now.unwrap_or_else(now)
    }

    /// Decides a command; its events are part of the world afterwards.
    ///
    /// # Panics
    /// Where the decision asks without end, or an event cannot be folded.
    #[track_caller]
    pub fn when<C: Command>(&self, target: C::Target, command: &C) -> Outcome {
        let decide = |context: &Context, facts: &Facts| command.decide(target, context, facts);
        self.then_written(command.reads(target), &decide)
    }

    /// Decides any command with its target; its events are part of the world afterwards.
    ///
    /// # Panics
    /// As [`World::when`].
    #[track_caller]
    pub fn when_any(&self, command: &dyn Decide) -> Outcome {
        let decide = |context: &Context, facts: &Facts| command.decide(context, facts);
        self.then_written(command.reads(), &decide)
    }

    #[track_caller]
    fn then_written(&self, reads: Vec<Need>, decide: Deciding<'_>) -> Outcome {
        let mut world = self.clone();
        let (result, facts) = self.decide(reads, decide, &mut world.folds);
        if let Ok(decision) = &result {
            for write in &decision.writes {
                assert!(facts.version(write.stream).is_some(), "{} is written unread", write.stream);
                world.streams.entry(write.stream).or_default().extend(write.events.iter().cloned());
            }
        }
        Outcome { world, result }
    }

    /// Asks a question.
    ///
    /// # Errors
    /// Why there is no answer.
    ///
    /// # Panics
    /// Where it asks for streams without end.
    #[track_caller]
    pub fn ask<I: Inquire>(&self, inquiry: &I) -> Result<I::Answer, Refusal> {
        self.with_facts(inquiry.reads(), &mut BTreeMap::new(), |facts| inquiry.answer(self.now(), facts)).0
    }

    /// Everything that the decision looks at.
    #[track_caller]
    pub fn facts<C: Command>(&self, target: C::Target, command: &C) -> Facts {
        let decide = |context: &Context, facts: &Facts| command.decide(target, context, facts);
        self.decide(command.reads(target), &decide, &mut BTreeMap::new()).1
    }

    #[track_caller]
    fn decide(
        &self,
        reads: Vec<Need>,
        decide: Deciding<'_>,
        folds: &mut BTreeMap<StreamId, StreamFold>,
    ) -> (Result<Decision, Refusal>, Facts) {
        let mut context = context();
        context.actor.role = self.role.unwrap_or(context.actor.role);
        context.target_named = !self.unnamed;
        context.now = self.now();
        // Every command has an id of its own.
        context.command_id = Uuid::from_u128(1 + self.streams.values().map(Vec::len).sum::<usize>() as u128);
        self.with_facts(reads, folds, |facts| decide(&context, facts))
    }

    /// Tries until all streams that it asks for are loaded, those that it `reads` first.
    #[track_caller]
    fn with_facts<T>(
        &self,
        reads: Vec<Need>,
        folds: &mut BTreeMap<StreamId, StreamFold>,
        attempt: impl Fn(&Facts) -> Result<T, Halt>,
    ) -> (Result<T, Refusal>, Facts) {
        let mut facts = Facts::new();
        for need in reads {
            self.load(&need, &mut facts, folds);
        }
        loop {
            match attempt(&facts) {
                Ok(end) => return (Ok(end), facts),
                Err(Halt::Refused(refusal)) => return (Err(refusal), facts),
                Err(Halt::Needs(needs)) => {
                    assert!(!needs.is_empty(), "it halts without a need");
                    for need in needs {
                        assert!(facts.version(need.stream).is_none(), "{} is asked for twice", need.stream);
                        self.load(&need, &mut facts, folds);
                    }
                }
            }
        }
    }

    fn load(&self, need: &Need, facts: &mut Facts, folds: &mut BTreeMap<StreamId, StreamFold>) {
        let events = self.streams.get(&need.stream).map(Vec::as_slice).unwrap_or_default();
        let state = fold(&need.fold, (need.fold.initial)(), events);
        folds.insert(need.stream, need.fold);
        facts.insert(need.stream, Fact { version: events.len() as u64, state });
    }

    /// Everything that happened, by stream.
    pub const fn streams(&self) -> &BTreeMap<StreamId, Vec<NewEvent>> {
        &self.streams
    }

    /// The events of this type, with their streams.
    pub fn events(&self, event_type: &str) -> Vec<(StreamId, &NewEvent)> {
        let all = self.streams.iter().flat_map(|(stream, events)| events.iter().map(|event| (*stream, event)));
        all.filter(|(_, event)| event.event_type == event_type).collect()
    }

    /// A stream folded as a whole, and from a snapshot at any of its versions, is the same.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn assert_snapshots_hold(&self) {
        for (stream, events) in &self.streams {
            let folder = self.folds.get(stream).unwrap_or_else(|| panic!("{stream} is written unread"));
            let whole = (folder.freeze)(&fold(folder, (folder.initial)(), events)).expect("a state freezes");
            for version in 0..events.len() {
                let (before, after) = events.split_at(version);
                let frozen = (folder.freeze)(&fold(folder, (folder.initial)(), before)).expect("a state freezes");
                let thawed = (folder.thaw)(&frozen).expect("a snapshot thaws");
                let state = (folder.freeze)(&fold(folder, thawed, after)).expect("a state freezes");
                assert_eq!(state, whole, "{stream} from a snapshot at {version}");
            }
        }
    }
}

fn fold(folder: &StreamFold, state: State, events: &[NewEvent]) -> State {
    events.iter().fold(state, |state, event| (folder.apply)(state, &event.into()).expect("an event of this program"))
}

impl Outcome {
    /// The events' types, in order.
    ///
    /// # Panics
    /// Where the command was refused, or other events followed.
    #[track_caller]
    pub fn then(self, expected: &[&str]) -> World {
        let decision = self.result.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
        let types = decision.writes.iter().flat_map(|write| &write.events).map(|event| event.event_type);
        assert_eq!(types.collect::<Vec<_>>(), expected);
        self.world
    }

    /// Refused by this rule; nothing changed.
    ///
    /// # Panics
    /// Where it was not.
    #[track_caller]
    pub fn then_refused(self, rule: &str) -> World {
        match self.result {
            Err(refusal) => {
                assert_eq!(refusal.rule, rule, "{refusal:?}");
                assert!(rules::all().any(|rules| rules.names.contains(&rule)), "`{rule}` is not named by `rules!`");
            }
            Ok(decision) => panic!("expected {rule}, got {decision:?}"),
        }
        self.world
    }

    /// The refusal.
    ///
    /// # Panics
    /// Where it was not refused.
    #[track_caller]
    pub fn refused(&self) -> &Refusal {
        match &self.result {
            Err(refusal) => refusal,
            Ok(decision) => panic!("expected a refusal, got {decision:?}"),
        }
    }

    /// The rule that refused it.
    ///
    /// # Panics
    /// Where it was not refused.
    #[track_caller]
    pub fn refusal(&self) -> String {
        match &self.result {
            Err(refusal) => refusal.rule.clone(),
            Ok(decision) => panic!("expected a refusal, got {decision:?}"),
        }
    }

    /// What was decided.
    pub const fn result(&self) -> &Result<Decision, Refusal> {
        &self.result
    }

    /// Whatever came of it.
    pub fn then_either(self) -> World {
        self.world
    }

    /// The payload of the event of this type.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn payload(&self, event_type: &str) -> serde_json::Value {
        let decision = self.result.as_ref().unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
        let mut events = decision.writes.iter().flat_map(|write| &write.events);
        let event = events.find(|event| event.event_type == event_type);
        let event = event.unwrap_or_else(|| panic!("no {event_type} in {decision:?}"));
        serde_json::from_slice(&event.payload).expect("a payload is JSON")
    }
}

/// What commands are decided with.
pub fn context() -> Context {
    Context {
        now: now(),
        command_id: Uuid::from_u128(1),
        actor: Actor { id: "tester".to_owned(), role: Role::Integration, organisation: None },
        target_named: true,
        search: Arc::new(PlainKeys),
    }
}

/// Keys of what people are looked for by that need no secret.
#[derive(Debug)]
struct PlainKeys;

impl SearchKeys for PlainKeys {
    fn key(&self, kind: &str, text: &str) -> Uuid {
        derive_id(kind, &[text.as_bytes()])
    }
}

/// A time for events of tests.
///
/// # Panics
/// Never: it is a constant.
pub fn some_time() -> DateTime<Utc> {
    "2026-01-31T12:00:00.123456Z".parse().expect("a time")
}

/// The time at which commands are decided.
pub fn now() -> DateTime<Utc> {
    some_time()
}

/// A JSON object with more fields, or other values of its fields.
///
/// # Panics
/// Where one of the two is no object.
#[track_caller]
pub fn with(mut object: serde_json::Value, more: &serde_json::Value) -> serde_json::Value {
    object.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    object
}
