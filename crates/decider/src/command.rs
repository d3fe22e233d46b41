//! What a command is, and what its decision may know.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use events::envelope::Actor;
use events::ids::StreamKey;
use uuid::Uuid;

use crate::{Decision, Facts, Halt, Need};

/// What a command asks for; implemented on the command's body.
pub trait Command {
    /// The id in the command's address.
    type Target: StreamKey;
    /// The name, such as `SignConsent`.
    const NAME: &'static str;

    /// The streams that the decision will look at, as far as address and fields
    /// tell: a hint, so that they are loaded at once. Whatever it leaves out the
    /// decision asks for by itself.
    fn reads(&self, _target: Self::Target) -> Vec<Need> {
        Vec::new()
    }

    /// Decides which events follow. An empty decision means "already so".
    ///
    /// # Errors
    /// [`Halt::Needs`] asks for a stream; [`Halt::Refused`] names the rule that forbids it.
    fn decide(&self, target: Self::Target, context: &Context, facts: &Facts) -> Result<Decision, Halt>;
}

/// Makes of what somebody is looked for by an id that tells nobody what it was made of, and that nobody can make who has
/// no secret; the same of the same for ever.
pub trait SearchKeys: std::fmt::Debug + Send + Sync {
    /// The id of this text among those of its kind, such as `national-id`.
    fn key(&self, kind: &str, text: &str) -> Uuid;
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
    /// Whether the sender named the command's target. One that was not is new by the sender's will: what says the same
    /// as something on record is a repetition.
    pub target_named: bool,
    /// By which people are looked for.
    pub search: Arc<dyn SearchKeys>,
}

/// A command with its target, ready to be decided as often as needed.
pub trait Decide: Send + Sync {
    /// What it will look at; see [`Command::reads`].
    fn reads(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Decides it; see [`Command::decide`].
    ///
    /// # Errors
    /// [`Halt`].
    fn decide(&self, context: &Context, facts: &Facts) -> Result<Decision, Halt>;
}

/// A question with all that it names, ready to be asked as often as needed. It is answered on the same facts as a command is
/// decided, and nothing follows from it.
pub trait Inquire: Send + Sync {
    /// What it is answered with.
    type Answer: Send;

    /// What it will look at; see [`Command::reads`].
    fn reads(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Answers it as of `now`.
    ///
    /// # Errors
    /// [`Halt::Needs`] asks for a stream; [`Halt::Refused`] names why there is no answer.
    fn answer(&self, now: DateTime<Utc>, facts: &Facts) -> Result<Self::Answer, Halt>;
}

impl<F> Decide for F
where
    F: Fn(&Context, &Facts) -> Result<Decision, Halt> + Send + Sync,
{
    fn decide(&self, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        self(context, facts)
    }
}
