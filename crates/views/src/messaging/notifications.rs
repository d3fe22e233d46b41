//! What somebody is to be told, and how far that is.

use events::messaging::contact::Channel;
use events::messaging::notification::{Audience, NotificationEvent, Urgency};
use uuid::Uuid;

use crate::prelude::*;

/// The view.
pub struct Notifications;

/// A notification. What became of its messages is told by these.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    notification_id: NotificationId,
    trial_id: Option<TrialId>,
    site_id: Option<SiteId>,
    patient_id: Option<PatientId>,
    /// The event that it is about, where it is about one.
    cause_event_id: Option<Uuid>,
    template: String,
    /// Who is told.
    audience: Audience,
    urgency: Urgency,
    /// The way that was asked for.
    channel: Option<Channel>,
    /// The language that was asked for.
    language: Option<String>,
    status: NotificationStatus,
    requested_at: DateTime<Utc>,
    requested_by: String,
    /// Pages of recipients that were looked at.
    pages: u32,
    /// The last recipient looked at.
    after: Option<Uuid>,
    /// Messages that were queued.
    queued: u32,
    /// How many of those who should be told cannot be reached.
    unreachable: u32,
}

/// How far a notification is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum NotificationStatus {
    /// Whom it concerns is being looked up.
    Requested,
    /// A message to everybody whom it concerns was queued.
    Addressed,
    /// Nobody whom it concerns could be reached.
    Unreachable,
    /// It came too late to tell anybody, or the rest of them.
    Expired,
}

impl Table for Notifications {
    type Document = Notification;
    const NAME: &'static str = "notifications";
    const COLUMNS: &'static [Column<Notification>] = &[
        uuid("trial_id", |told| told.trial_id.map(Into::into)),
        uuid("site_id", |told| told.site_id.map(Into::into)),
        uuid("patient_id", |told| told.patient_id.map(Into::into)),
        text("status", |told| name_of(&told.status)),
        text("template", |told| told.template.clone().into()),
        text("urgency", |told| name_of(&told.urgency)),
        time("requested_at", |told| told.requested_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "requested_at"],
        &["site_id", "requested_at"],
        &["patient_id", "requested_at"],
        &["status", "requested_at"],
        &["template", "requested_at"],
        &["urgency", "requested_at"],
        &["requested_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "notifications",
        "notification",
        &[TRIAL, SITE, PATIENT, STATUS, is("template"), is("urgency")],
        &[Sort::by_greatest("requested_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for Notifications {
    const OF: StreamType = StreamType::Notification;

    fn fold(document: Option<Notification>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Notification> {
        match event {
            AnyEvent::Notification(NotificationEvent::NotificationRequested(requested)) => Some(Notification {
                notification_id: NotificationId::from(envelope.stream.id),
                trial_id: requested.trial_id,
                site_id: requested.site_id,
                patient_id: requested.patient_id,
                cause_event_id: requested.cause_event_id,
                template: requested.template.clone(),
                audience: requested.audience,
                urgency: requested.urgency,
                channel: requested.channel,
                language: requested.language.clone(),
                status: NotificationStatus::Requested,
                requested_at: envelope.occurred_at,
                requested_by: envelope.actor.id.clone(),
                pages: 0,
                after: None,
                queued: 0,
                unreachable: 0,
            }),
            AnyEvent::Notification(NotificationEvent::NotificationAddressed(addressed)) => {
                let mut told = document?;
                told.pages = addressed.page;
                told.after = addressed.after;
                told.queued += addressed.queued;
                told.unreachable += addressed.unreachable;
                told.status = match (addressed.complete, addressed.expired) {
                    (false, _) => NotificationStatus::Requested,
                    (true, true) => NotificationStatus::Expired,
                    (true, false) if told.queued == 0 && told.unreachable > 0 => NotificationStatus::Unreachable,
                    (true, false) => NotificationStatus::Addressed,
                };
                Some(told)
            }
            _ => document,
        }
    }
}
