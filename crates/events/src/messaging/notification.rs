//! Events of a `notification` stream: what somebody is to be told, and who they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::contact::Channel;
use crate::envelope::Role;
use crate::ids::{AccountId, PatientId, SiteId, TrialId};

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Audience {
    /// Everybody who holds a role where it concerns: at the site, in the trial, everywhere.
    Role {
        /// The role.
        role: Role,
    },
    /// One participant.
    Patient {
        /// The patient.
        patient_id: PatientId,
    },
    /// One account.
    Account {
        /// The account.
        account_id: AccountId,
    },
    /// Everybody who takes part in the trial, or at the site where one is named.
    Subjects,
}

/// How it can wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// It does not wait: neither for others nor for quiet hours.
    Alert,
    /// It waits for alerts and quiet hours.
    #[default]
    Usual,
    /// It waits for everything else.
    Bulk,
}

impl Urgency {
    /// Each of them, in the order in which they wait.
    pub const ALL: [Urgency; 3] = [Urgency::Alert, Urgency::Usual, Urgency::Bulk];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Urgency::Alert => "alert",
            Urgency::Usual => "usual",
            Urgency::Bulk => "bulk",
        }
    }
}

/// Somebody is to be told something. It names ids only, never personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationRequested {
    /// The event that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_event_id: Option<Uuid>,
    /// The message's template, such as `alert-raised`.
    pub template: String,
    /// Who is told.
    pub audience: Audience,
    /// How it can wait.
    #[serde(default)]
    pub urgency: Urgency,
    /// The way, where it was asked for one; otherwise as each of them wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// BCP 47 language tag, where it was asked for one; otherwise as each of them wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The trial.
    pub trial_id: Option<TrialId>,
    /// The site.
    pub site_id: Option<SiteId>,
    /// The patient.
    pub patient_id: Option<PatientId>,
}

/// Version 1 knew roles only, and of no urgency.
fn lift_requested(from: u16, mut payload: Value) -> Value {
    if from == 1
        && let Some(fields) = payload.as_object_mut()
    {
        let role = fields.remove("recipient").unwrap_or_default();
        fields.insert("audience".to_owned(), json!({"kind": "role", "role": role}));
        let of_an_alert = fields.get("template").and_then(Value::as_str).is_some_and(|code| code.starts_with("alert-"));
        fields.insert("urgency".to_owned(), json!(if of_an_alert { Urgency::Alert } else { Urgency::Usual }));
    }
    payload
}

/// Messages to some of them were queued, or to all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationAddressed {
    /// From 1, up by one each time.
    pub page: u32,
    /// How many were queued.
    pub queued: u32,
    /// How many of those who should be told cannot be reached: there is no address, or none that they wish to be used.
    pub unreachable: u32,
    /// Whether these were the last.
    pub complete: bool,
    /// Whether it was too late to tell anybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// The last one looked at: who comes behind is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Uuid>,
}

event_set! {
    /// What can happen to a notification.
    pub enum NotificationEvent in Notification {
        NotificationRequested = 2, upcast lift_requested;
        NotificationAddressed = 1;
    }
}
