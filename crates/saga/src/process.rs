//! Process managers without their types.

use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use decider::Refusal;
use domain::process::{
    AlertProcess, EnrolmentProcess, OnRefusal, Phase, ProcessManager, Route, SilenceProcess, Step, WithdrawalProcess,
};
use events::envelope::{Envelope, References};
use events::registry::AnyEvent;
use serde::Deserialize;
use serde_json::Value;

/// Every process manager.
pub static PROCESSES: &[&dyn DynProcess] = &[
    &Erased::<EnrolmentProcess>::new(),
    &Erased::<WithdrawalProcess>::new(),
    &Erased::<AlertProcess>::new(),
    &Erased::<SilenceProcess>::new(),
];

/// Where an instance stands after an event.
pub struct Folded {
    /// Its state.
    pub state: Value,
    /// What follows.
    pub steps: Vec<Step>,
    /// For people.
    pub phase: Phase,
    /// When it wants to be woken.
    pub wake_at: Option<DateTime<Utc>>,
    /// What it is about.
    pub references: References,
}

/// A process manager without its type.
pub trait DynProcess: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &'static str;
    /// The commands that it sends, by name.
    fn commands(&self) -> &'static [&'static str];
    /// The version of its states.
    fn state_version(&self) -> u32;
    /// Which instances the event concerns.
    fn route(&self, event: &AnyEvent, envelope: &Envelope) -> Route;
    /// Folds an event onto a state; `None` is an instance that begins.
    ///
    /// # Errors
    /// Where the state is not one of this process manager.
    fn fold(&self, state: Option<&Value>, event: &AnyEvent, envelope: &Envelope) -> Result<Folded, serde_json::Error>;
    /// What follows because the instance's time has come.
    ///
    /// # Errors
    /// Where the state is not one of this process manager.
    fn wake(&self, state: &Value, due: DateTime<Utc>) -> Result<Vec<Step>, serde_json::Error>;
    /// What follows because a rule refused a step that was decided in `state` (JSON).
    ///
    /// # Errors
    /// Where the state is not one of this process manager.
    fn on_refusal(&self, state: &str, step: &Step, refusal: &Refusal) -> Result<OnRefusal, serde_json::Error>;
}

/// A process manager whose type is left aside.
pub struct Erased<P>(PhantomData<fn() -> P>);

impl<P> Erased<P> {
    /// The process manager `P`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<P> Default for Erased<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: ProcessManager> DynProcess for Erased<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn commands(&self) -> &'static [&'static str] {
        P::COMMANDS
    }

    fn state_version(&self) -> u32 {
        P::STATE_VERSION
    }

    fn route(&self, event: &AnyEvent, envelope: &Envelope) -> Route {
        P::route(event, envelope)
    }

    fn fold(&self, state: Option<&Value>, event: &AnyEvent, envelope: &Envelope) -> Result<Folded, serde_json::Error> {
        let state = match state {
            Some(state) => P::State::deserialize(state)?,
            None => P::State::default(),
        };
        let state = P::evolve(state, event, envelope);
        Ok(Folded {
            steps: P::react(&state, event, envelope),
            phase: P::phase(&state),
            wake_at: P::wake_at(&state),
            references: P::references(&state),
            state: serde_json::to_value(state)?,
        })
    }

    fn wake(&self, state: &Value, due: DateTime<Utc>) -> Result<Vec<Step>, serde_json::Error> {
        Ok(P::wake(&P::State::deserialize(state)?, due))
    }

    fn on_refusal(&self, state: &str, step: &Step, refusal: &Refusal) -> Result<OnRefusal, serde_json::Error> {
        Ok(P::on_refusal(&serde_json::from_str(state)?, step, refusal))
    }
}
