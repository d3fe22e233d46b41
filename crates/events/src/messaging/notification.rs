//! Events of a `notification` stream: one message to one role.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::Role;
use crate::ids::{PatientId, SiteId, TrialId};

/// A message was asked for. It names ids only, never personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationRequested {
    /// The event that it is about.
    pub cause_event_id: Uuid,
    /// The message's template, such as `alert-raised`.
    pub template: String,
    /// Who is told.
    pub recipient: Role,
    /// The trial.
    pub trial_id: Option<TrialId>,
    /// The site.
    pub site_id: Option<SiteId>,
    /// The patient.
    pub patient_id: Option<PatientId>,
}

event_set! {
    /// What can happen to a notification.
    pub enum NotificationEvent in Notification {
        NotificationRequested = 1;
    }
}
