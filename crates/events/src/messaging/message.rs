//! Events of a `message` stream: one message to one person by one channel.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contact::Channel;
use super::notification::Urgency;
use crate::ids::{AccountId, NotificationId, PatientId};
use crate::values::Prose;

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Recipient {
    /// A participant.
    Patient {
        /// The patient.
        patient_id: PatientId,
    },
    /// An account.
    Account {
        /// The account.
        account_id: AccountId,
    },
}

/// A message waits to be sent. It names ids only, never personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageQueued {
    /// What it is part of.
    pub notification_id: NotificationId,
    /// To whom.
    pub recipient: Recipient,
    /// By which way.
    pub channel: Channel,
    /// Its template.
    pub template: String,
    /// BCP 47 language tag of the wanted language, where one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How it can wait.
    pub urgency: Urgency,
    /// Not before: quiet hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// Later it is of no use.
    pub expires_at: DateTime<Utc>,
}

/// It waits for the end of quiet hours, which came meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagePostponed {
    /// Until then.
    pub until: DateTime<Utc>,
}

/// It is being handed to a provider that would send it twice: what became of it is not known until the next event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSending {
    /// From 1.
    pub attempt: u32,
}

/// The provider took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSent {
    /// From 1.
    pub attempt: u32,
    /// The version of the template.
    pub template_version: u32,
    /// BCP 47 language tag of its text.
    pub language: String,
    /// By which the provider knows it, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message_id: Option<String>,
}

/// Why it was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SendingFault {
    /// No connection to the provider came about.
    Unreachable,
    /// The provider did not answer in time, or the connection broke.
    Unanswered,
    /// The provider could not do it at the moment.
    Unavailable,
    /// The provider will not send it: the address, the text, or our account there.
    Rejected,
}

/// It was not sent this time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageFailed {
    /// From 1.
    pub attempt: u32,
    /// Why.
    pub fault: SendingFault,
    /// The status that the provider answered with (HTTP or SMTP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// When it is tried again.
    pub retry_at: DateTime<Utc>,
}

/// It was not sent and is tried no more, unless an operator has it tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageDeadLettered {
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was not sent the last time.
    pub fault: SendingFault,
    /// The status that the provider answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Whoever sent it went away in between: it may have been sent. It is not sent again, unless an operator has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryUncertain {
    /// The attempt that it concerns.
    pub attempt: u32,
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// There is no address any more, or the person does not wish this way any more.
    Unreachable,
    /// The participant no longer takes part, or the account was closed or lost the role.
    NoLongerConcerned,
    /// It is of no use any more.
    Expired,
    /// The template is there no more.
    NoText,
}

/// It is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSkipped {
    /// Why.
    pub reason: SkipReason,
}

/// The provider told that it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageDelivered {}

/// The provider told that it did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageUndelivered {}

/// An operator has it tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageRetried {
    /// Why.
    pub reason: Prose,
}

event_set! {
    /// What can happen to a message.
    pub enum MessageEvent in Message {
        MessageQueued = 1;
        MessagePostponed = 1;
        MessageSending = 1;
        MessageSent = 1;
        MessageFailed = 1;
        MessageDeadLettered = 1;
        DeliveryUncertain = 1;
        MessageSkipped = 1;
        MessageDelivered = 1;
        MessageUndelivered = 1;
        MessageRetried = 1;
    }
}
