//! The notification: one message to one role. Delivery comes with its own process manager.

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt};
use events::envelope::{References, Role};
use events::ids::{NotificationId, PatientId, SiteId, TrialId};
use events::messaging::notification::{NotificationEvent, NotificationRequested};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::validate;

/// A notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notification {
    /// Not asked for.
    #[default]
    Absent,
    /// Asked for.
    Requested,
}

/// Asks for a message. It names ids only, never personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestNotification {
    /// The event that it is about.
    pub cause_event_id: Uuid,
    /// The message's template, such as `alert-raised`.
    pub template: String,
    /// Who is told.
    pub recipient: Role,
    /// The trial.
    #[serde(default)]
    pub trial_id: Option<TrialId>,
    /// The site.
    #[serde(default)]
    pub site_id: Option<SiteId>,
    /// The patient.
    #[serde(default)]
    pub patient_id: Option<PatientId>,
}

rules! {
    /// Why a command to a notification is refused.
    pub enum NotificationError {
        AlreadyRequested => ALREADY_REQUESTED = "notification-already-requested":
            "the notification was requested already";
    }
}

impl Command for RequestNotification {
    type Target = NotificationId;
    const NAME: &'static str = "RequestNotification";

    fn decide(&self, notification_id: NotificationId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::code("template", &self.template)?;
        if *facts.get::<Notification>(notification_id)? != Notification::Absent {
            return Err(NotificationError::AlreadyRequested.into());
        }
        let (trial_id, site_id, patient_id) = (self.trial_id, self.site_id, self.patient_id);
        let requested = NotificationRequested {
            cause_event_id: self.cause_event_id,
            template: self.template.clone(),
            recipient: self.recipient,
            trial_id,
            site_id,
            patient_id,
        };
        Ok(Decision::new(References { trial_id, site_id, patient_id }, context.now).append(notification_id, requested))
    }
}

impl Aggregate for Notification {
    type Id = NotificationId;
    type Event = NotificationEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &NotificationEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            NotificationEvent::NotificationRequested(_) => Notification::Requested,
        }
    }
}
