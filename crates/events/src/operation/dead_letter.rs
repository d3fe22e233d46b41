//! Events of a `dead-letter` stream: a process manager's step that could not be carried out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::References;
use crate::ids::StreamId;
use crate::values::Prose;

/// A step failed for good and waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepDeadLettered {
    /// The process manager, such as `enrolment`.
    pub saga: String,
    /// Its instance.
    pub saga_id: Uuid,
    /// The step, such as `enrol`.
    pub step: String,
    /// The event that led to the step.
    pub trigger_event_id: Uuid,
    /// The command's name, such as `EnrolSubject`.
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
    pub references: References,
}

/// An operator asked for another try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterRetried {
    /// Why.
    pub reason: Prose,
}

/// An operator gave the step up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterDropped {
    /// Why.
    pub reason: Prose,
}

event_set! {
    /// What can happen to a dead letter.
    pub enum DeadLetterEvent in DeadLetter {
        StepDeadLettered = 1;
        DeadLetterRetried = 1;
        DeadLetterDropped = 1;
    }
}
