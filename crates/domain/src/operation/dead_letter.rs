//! The dead letter: a process manager's step that waits for an operator.

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt};
use events::envelope::References;
use events::ids::{DeadLetterId, StreamId};
use events::operation::dead_letter::{DeadLetterDropped, DeadLetterEvent, DeadLetterRetried, StepDeadLettered};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::validate::{self, NotFound};

/// A dead letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadLetter {
    /// The step never failed for good.
    #[default]
    Absent,
    /// Waits for an operator.
    Waiting(References),
    /// Is tried again.
    Retried(References),
    /// Was given up.
    Dropped(References),
}

/// Records that a step failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDeadLetter {
    /// The process manager.
    pub saga: String,
    /// Its instance.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// The event that led to the step.
    pub trigger_event_id: Uuid,
    /// The command's name.
    pub command: String,
    /// The stream that the command is for.
    pub target: StreamId,
    /// The rule that refused it, or `unavailable`.
    pub rule: String,
    /// The cause, without personal data.
    pub cause: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the step was about.
    #[serde(default)]
    pub references: References,
}

/// Has a step tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryDeadLetter {
    /// Why.
    pub reason: String,
}

/// Gives a step up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropDeadLetter {
    /// Why.
    pub reason: String,
}

rules! {
    /// Why a command to a dead letter is refused.
    pub enum DeadLetterError {
        Dropped => DROPPED = "dead-letter-dropped": "the step was given up";
        _ => NOT_FOUND = "dead-letter-not-found";
    }
}

impl Command for RecordDeadLetter {
    type Target = DeadLetterId;
    const NAME: &'static str = "RecordDeadLetter";

    fn decide(&self, dead_letter_id: DeadLetterId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let decision = Decision::new(self.references, context.now);
        match facts.get::<DeadLetter>(dead_letter_id)? {
            DeadLetter::Waiting(_) | DeadLetter::Dropped(_) => Ok(decision),
            DeadLetter::Absent | DeadLetter::Retried(_) => {
                let lettered = StepDeadLettered {
                    saga: self.saga.clone(),
                    saga_id: self.saga_id,
                    step: self.step.clone(),
                    trigger_event_id: self.trigger_event_id,
                    command: self.command.clone(),
                    target: self.target,
                    rule: self.rule.clone(),
                    cause: self.cause.clone(),
                    attempts: self.attempts,
                    references: self.references,
                };
                Ok(decision.append(dead_letter_id, lettered))
            }
        }
    }
}

impl Command for RetryDeadLetter {
    type Target = DeadLetterId;
    const NAME: &'static str = "RetryDeadLetter";

    fn decide(&self, dead_letter_id: DeadLetterId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let letter = facts.get::<DeadLetter>(dead_letter_id)?;
        let decision = Decision::new(letter.references(dead_letter_id)?, context.now);
        match letter {
            DeadLetter::Retried(_) | DeadLetter::Absent => Ok(decision),
            DeadLetter::Waiting(_) => {
                let retried = DeadLetterRetried { reason: self.reason.clone().into() };
                Ok(decision.append(dead_letter_id, retried))
            }
            DeadLetter::Dropped(_) => Err(DeadLetterError::Dropped.into()),
        }
    }
}

impl Command for DropDeadLetter {
    type Target = DeadLetterId;
    const NAME: &'static str = "DropDeadLetter";

    fn decide(&self, dead_letter_id: DeadLetterId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let letter = facts.get::<DeadLetter>(dead_letter_id)?;
        let decision = Decision::new(letter.references(dead_letter_id)?, context.now);
        match letter {
            DeadLetter::Dropped(_) | DeadLetter::Absent => Ok(decision),
            DeadLetter::Waiting(_) | DeadLetter::Retried(_) => {
                let dropped = DeadLetterDropped { reason: self.reason.clone().into() };
                Ok(decision.append(dead_letter_id, dropped))
            }
        }
    }
}

impl DeadLetter {
    fn references(&self, dead_letter_id: DeadLetterId) -> Result<References, Halt> {
        match self {
            DeadLetter::Absent => Err(NotFound::halt(DeadLetterError::NOT_FOUND, "dead letter", dead_letter_id, None)),
            DeadLetter::Waiting(references) | DeadLetter::Retried(references) | DeadLetter::Dropped(references) => {
                Ok(*references)
            }
        }
    }
}

impl Aggregate for DeadLetter {
    type Id = DeadLetterId;
    type Event = DeadLetterEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &DeadLetterEvent, _occurred_at: DateTime<Utc>) -> Self {
        let references = match self {
            DeadLetter::Absent => References::default(),
            DeadLetter::Waiting(references) | DeadLetter::Retried(references) | DeadLetter::Dropped(references) => {
                references
            }
        };
        match event {
            DeadLetterEvent::StepDeadLettered(lettered) => DeadLetter::Waiting(lettered.references),
            DeadLetterEvent::DeadLetterRetried(_) => DeadLetter::Retried(references),
            DeadLetterEvent::DeadLetterDropped(_) => DeadLetter::Dropped(references),
        }
    }
}
