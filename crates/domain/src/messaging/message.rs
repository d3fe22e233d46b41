//! The message: one to one person by one channel, from the queue to its arrival.

use chrono::{DateTime, TimeDelta, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::envelope::References;
use events::ids::MessageId;
use events::messaging::message::{
    DeliveryUncertain, MessageDeadLettered, MessageDelivered, MessageEvent, MessageFailed, MessagePostponed,
    MessageQueued, MessageRetried, MessageSending, MessageSent, MessageSkipped, MessageUndelivered, Recipient,
    SendingFault, SkipReason,
};
use events::messaging::notification::Urgency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notification::{self, Notification};
use crate::validate::{self, NotFound};

/// How long a message may be sent that an operator has sent again.
const RETRIED_FOR: TimeDelta = TimeDelta::hours(24);

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Not queued.
    #[default]
    Absent,
    /// Queued.
    Queued(Box<Queued>),
}

/// A message that was queued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// As it was queued.
    pub message: MessageQueued,
    /// Later it is of no use.
    pub expires_at: DateTime<Utc>,
    /// How often it was tried since it was queued, or tried again.
    pub attempts: u32,
    /// Where it stands.
    pub stage: Stage,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It waits: not before this time, where there is one.
    Waiting(Option<DateTime<Utc>>),
    /// It is being handed over.
    Sending,
    /// The provider took it.
    Sent,
    /// It arrived.
    Delivered,
    /// It did not arrive.
    Undelivered,
    /// It may have been sent.
    Uncertain,
    /// It was given up.
    DeadLettered,
    /// It is not sent.
    Skipped,
}

impl Queued {
    /// Whether it is not settled: it waits, or is on its way to the provider.
    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_) | Stage::Sending)
    }
}

/// Has a message wait for the end of quiet hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostponeMessage {
    /// Until then.
    pub until: DateTime<Utc>,
}

/// Records that a message is being handed to a provider that would send it twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginSending {
    /// From 1.
    pub attempt: u32,
}

/// Records what became of an attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordSending {
    /// From 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: SendingOutcome,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SendingOutcome {
    /// The provider took it.
    Sent {
        /// The version of the template.
        template_version: u32,
        /// The language of its text.
        language: String,
        /// By which the provider knows it.
        #[serde(default)]
        provider_message_id: Option<String>,
    },
    /// It was not sent.
    Failed {
        /// Why.
        fault: SendingFault,
        /// The status that the provider answered with.
        #[serde(default)]
        status: Option<u16>,
    },
    /// It may have been sent.
    Uncertain,
}

/// Records that a message is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipMessage {
    /// Why.
    pub reason: SkipReason,
}

/// Records what the provider tells of a message that it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordReceipt {
    /// Whether it arrived.
    pub delivered: bool,
}

/// Has a message sent again that was given up or may not have been sent. Where it was sent after all it arrives twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryMessage {
    /// Why.
    pub reason: String,
}

rules! {
    /// Why a command to a message is refused.
    pub enum MessageError {
        NotGivenUp => NOT_GIVEN_UP = "message-not-given-up":
            "only a message that was given up, did not arrive or may not have been sent is sent again";
        _ => NOT_FOUND = "message-not-found";
    }
}

/// A message that was queued, and a decision about what it is about.
fn queued(facts: &Facts, message_id: MessageId, now: DateTime<Utc>) -> Result<(&Queued, Decision), Halt> {
    let queued = known(facts, message_id)?;
    let notification_id = queued.message.notification_id;
    facts.require([Need::of::<Notification>(notification_id)])?;
    let about = notification::requested(facts, notification_id)?.references();
    Ok((queued, Decision::new(about_of(about, queued.message.recipient), now)))
}

/// What a message is about: what its notification is, and a participant's own message about them.
pub(super) fn about_of(about: References, recipient: Recipient) -> References {
    match recipient {
        Recipient::Patient { patient_id } => References { patient_id: Some(patient_id), ..about },
        Recipient::Account { .. } => about,
    }
}

/// A message that was queued.
///
/// # Errors
/// [`Halt`] where it is not loaded, or was not.
pub fn known(facts: &Facts, message_id: MessageId) -> Result<&Queued, Halt> {
    match facts.get::<Message>(message_id)? {
        Message::Queued(queued) => Ok(queued),
        Message::Absent => Err(NotFound::halt(MessageError::NOT_FOUND, "message", message_id, None)),
    }
}

/// How often a message is tried, and how long it rests after an attempt: an alert is worth nothing tomorrow and is tried for a
/// quarter of an hour, everything else for hours. Those that failed together do not come back together.
fn rest_after(urgency: Urgency, attempt: u32, message_id: MessageId) -> Option<TimeDelta> {
    let (first, factor, longest, attempts_max) = match urgency {
        Urgency::Alert => (2_u64, 2_u64, 60, 20),
        Urgency::Usual | Urgency::Bulk => (5, 4, 3_600, 8),
    };
    if attempt >= attempts_max {
        return None;
    }
    let seconds = first.saturating_mul(factor.saturating_pow(attempt.saturating_sub(1))).min(longest);
    let spread = u64::from(message_id.uuid().as_bytes()[15]);
    let milliseconds = seconds * 1_000 + seconds * 1_000 * spread / 512;
    Some(TimeDelta::milliseconds(i64::try_from(milliseconds).unwrap_or(i64::MAX)))
}

impl Command for PostponeMessage {
    type Target = MessageId;
    const NAME: &'static str = "PostponeMessage";

    fn decide(&self, message_id: MessageId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (queued, decision) = queued(facts, message_id, context.now)?;
        match queued.stage {
            Stage::Waiting(until) if until < Some(self.until) => {
                Ok(decision.append(message_id, MessagePostponed { until: self.until }))
            }
            _ => Ok(decision),
        }
    }
}

impl Command for BeginSending {
    type Target = MessageId;
    const NAME: &'static str = "BeginSending";

    fn decide(&self, message_id: MessageId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (queued, decision) = queued(facts, message_id, context.now)?;
        match queued.stage {
            Stage::Waiting(_) if self.attempt == queued.attempts + 1 => {
                Ok(decision.append(message_id, MessageSending { attempt: self.attempt }))
            }
            _ => Ok(decision),
        }
    }
}

impl Command for RecordSending {
    type Target = MessageId;
    const NAME: &'static str = "RecordSending";

    fn decide(&self, message_id: MessageId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        if let SendingOutcome::Sent { language, provider_message_id, .. } = &self.outcome {
            let id =
                provider_message_id.as_deref().map_or(Ok(()), |id| validate::code("outcome/provider_message_id", id));
            validate::all([validate::language("outcome/language", language), id])?;
        }
        let (queued, decision) = queued(facts, message_id, context.now)?;
        let attempt = self.attempt;
        match &self.outcome {
            SendingOutcome::Sent { template_version, language, provider_message_id } => {
                // What was sent was sent, whatever was believed of it meanwhile.
                if matches!(queued.stage, Stage::Sent | Stage::Delivered | Stage::Undelivered) {
                    return Ok(decision);
                }
                let (template_version, language) = (*template_version, language.clone());
                let provider_message_id = provider_message_id.clone();
                let sent = MessageSent { attempt, template_version, language, provider_message_id };
                Ok(decision.append(message_id, sent))
            }
            SendingOutcome::Failed { fault, status } => {
                if !queued.is_open() || attempt != queued.attempts + 1 {
                    return Ok(decision);
                }
                let (fault, status) = (*fault, *status);
                let rest = rest_after(queued.message.urgency, attempt, message_id);
                Ok(match rest.filter(|_| fault != SendingFault::Rejected) {
                    Some(rest) => {
                        let retry_at = context.now + rest;
                        decision.append(message_id, MessageFailed { attempt, fault, status, retry_at })
                    }
                    None => decision.append(message_id, MessageDeadLettered { attempts: attempt, fault, status }),
                })
            }
            SendingOutcome::Uncertain => Ok(match queued.stage {
                Stage::Sending => decision.append(message_id, DeliveryUncertain { attempt }),
                _ => decision,
            }),
        }
    }
}

impl Command for SkipMessage {
    type Target = MessageId;
    const NAME: &'static str = "SkipMessage";

    fn decide(&self, message_id: MessageId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (queued, decision) = queued(facts, message_id, context.now)?;
        Ok(match queued.stage {
            Stage::Waiting(_) => decision.append(message_id, MessageSkipped { reason: self.reason }),
            _ => decision,
        })
    }
}

impl Command for RecordReceipt {
    type Target = MessageId;
    const NAME: &'static str = "RecordReceipt";

    fn decide(&self, message_id: MessageId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (queued, decision) = queued(facts, message_id, context.now)?;
        Ok(match (queued.stage, self.delivered) {
            (Stage::Delivered, _) | (Stage::Undelivered | Stage::Skipped, false) => decision,
            (_, true) => decision.append(message_id, MessageDelivered {}),
            // One that is on its way again: what the earlier attempt came to no longer matters.
            (Stage::Waiting(_) | Stage::Sending, false) => decision,
            (_, false) => decision.append(message_id, MessageUndelivered {}),
        })
    }
}

impl Command for RetryMessage {
    type Target = MessageId;
    const NAME: &'static str = "RetryMessage";

    fn decide(&self, message_id: MessageId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let (queued, decision) = queued(facts, message_id, context.now)?;
        match queued.stage {
            Stage::Waiting(_) | Stage::Sending => Ok(decision),
            Stage::Uncertain | Stage::DeadLettered | Stage::Undelivered | Stage::Skipped => {
                Ok(decision.append(message_id, MessageRetried { reason: self.reason.clone().into() }))
            }
            Stage::Sent | Stage::Delivered => Err(MessageError::NotGivenUp.into()),
        }
    }
}

impl Aggregate for Message {
    type Id = MessageId;
    type Event = MessageEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &MessageEvent, occurred_at: DateTime<Utc>) -> Self {
        let mut queued = match (self, event) {
            (Message::Absent, MessageEvent::MessageQueued(message)) => {
                return Message::Queued(Box::new(Queued {
                    message: message.clone(),
                    expires_at: message.expires_at,
                    attempts: 0,
                    stage: Stage::Waiting(message.not_before),
                }));
            }
            // Not decided by any command; the log is read all the same.
            (Message::Absent, _) => return Message::Absent,
            (Message::Queued(queued), _) => queued,
        };
        queued.stage = match event {
            MessageEvent::MessageQueued(_) => queued.stage,
            MessageEvent::MessagePostponed(postponed) => Stage::Waiting(Some(postponed.until)),
            MessageEvent::MessageSending(_) => Stage::Sending,
            MessageEvent::MessageSent(sent) => {
                queued.attempts = sent.attempt;
                Stage::Sent
            }
            MessageEvent::MessageFailed(failed) => {
                queued.attempts = failed.attempt;
                Stage::Waiting(Some(failed.retry_at))
            }
            MessageEvent::MessageDeadLettered(given_up) => {
                queued.attempts = given_up.attempts;
                Stage::DeadLettered
            }
            MessageEvent::DeliveryUncertain(_) => Stage::Uncertain,
            MessageEvent::MessageSkipped(_) => Stage::Skipped,
            MessageEvent::MessageDelivered(_) => Stage::Delivered,
            MessageEvent::MessageUndelivered(_) => Stage::Undelivered,
            MessageEvent::MessageRetried(_) => {
                queued.attempts = 0;
                queued.expires_at = queued.expires_at.max(occurred_at + RETRIED_FOR);
                Stage::Waiting(None)
            }
        };
        Message::Queued(queued)
    }
}
