//! Process managers: state folded from events, and what follows from it. Pure.

use chrono::{DateTime, Utc};
use decider::Refusal;
use events::envelope::{Envelope, References};
use events::ids::{PatientId, TrialId, derive_id};
use events::registry::AnyEvent;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::commands::AnyCommand;

pub use crate::enrolment::enrolment_process::EnrolmentProcess;
pub use crate::enrolment::withdrawal_process::WithdrawalProcess;
pub use crate::readings::silence_process::SilenceProcess;
pub use crate::safety::alert_process::AlertProcess;

/// Which instances an event concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// None.
    Nobody,
    /// This one, which begins if it is not there yet.
    Start(Uuid),
    /// This one, if it is there.
    Continue(Uuid),
    /// All unfinished ones about this patient.
    Patient(PatientId),
    /// All unfinished ones of this trial, however many: they are gone through in pages, and later events wait.
    Trial(TrialId),
}

/// A command that follows, with the name of the step that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step's name, such as `enrol`; unique among the steps of one trigger.
    pub name: String,
    /// The command.
    pub command: AnyCommand,
}

impl Step {
    /// A step called `name`.
    pub fn new(name: impl Into<String>, command: impl Into<AnyCommand>) -> Self {
        Self { name: name.into(), command: command.into() }
    }
}

/// What a process manager answers when a rule refuses its step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnRefusal {
    /// The refusal means that nothing is left to do.
    Ignore,
    /// Do this instead.
    Instead(Vec<Step>),
    /// An operator has to look at it.
    DeadLetter,
}

/// Where an instance stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What it waits for, such as `observations AGE, MMSE`.
    pub waiting_for: String,
    /// Whether it has ended.
    pub finished: bool,
}

/// A process manager.
pub trait ProcessManager: Send + Sync + 'static {
    /// Its name, such as `enrolment`.
    const NAME: &'static str;
    /// The commands that it sends, by name: no other is carried out for it, whatever is stored as its step.
    const COMMANDS: &'static [&'static str];
    /// Raised whenever [`ProcessManager::State`] or what follows from it changes: the instances are then folded
    /// again from the log. What was sent is not sent again (docs/adr/0028).
    const STATE_VERSION: u32;
    /// What it knows of an instance; `Default` is one that begins.
    type State: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Which instances the event concerns.
    fn route(event: &AnyEvent, envelope: &Envelope) -> Route;

    /// The state after the event.
    fn evolve(state: Self::State, event: &AnyEvent, envelope: &Envelope) -> Self::State;

    /// What follows from the event, given the state after it.
    fn react(state: &Self::State, event: &AnyEvent, envelope: &Envelope) -> Vec<Step>;

    /// When the instance wants to be woken.
    fn wake_at(_state: &Self::State) -> Option<DateTime<Utc>> {
        None
    }

    /// What follows because the time of [`ProcessManager::wake_at`], `due`, has come. Of state and `due` only, not of
    /// the clock: it must be possible to say again.
    fn wake(_state: &Self::State, _due: DateTime<Utc>) -> Vec<Step> {
        Vec::new()
    }

    /// What follows because a rule refused a step; `state` is the one in which the step was decided, so that the
    /// answer is the same whenever it is asked for.
    fn on_refusal(state: &Self::State, step: &Step, refusal: &Refusal) -> OnRefusal;

    /// Where the instance stands.
    fn phase(state: &Self::State) -> Phase;

    /// What the instance is about.
    fn references(state: &Self::State) -> References;
}

/// The id of a step's command: the same step of the same trigger has the same
/// id, so that running it twice does nothing twice.
pub fn step_command_id(saga: &str, saga_id: Uuid, trigger: Uuid, step: &str) -> Uuid {
    derive_id("saga-step", &[saga.as_bytes(), saga_id.as_bytes(), trigger.as_bytes(), step.as_bytes()])
}

/// The trigger that stands for a timer that was set for `due`.
pub fn timer_trigger(saga_id: Uuid, due: DateTime<Utc>) -> Uuid {
    derive_id("saga-timer", &[saga_id.as_bytes(), &due.timestamp_micros().to_be_bytes()])
}
