//! The notification: what somebody is to be told. Messages are queued to those whom it concerns, page by page.

use std::collections::BTreeSet;

use authority::Account;
use chrono::{DateTime, TimeDelta, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::envelope::{References, Role};
use events::ids::{MessageId, NotificationId, PatientId, SiteId, SubjectId, TrialId};
use events::messaging::contact::Channel;
use events::messaging::message::{MessageQueued, Recipient};
use events::messaging::notification::{
    Audience, NotificationAddressed, NotificationEvent, NotificationRequested, Urgency,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::delivery::reach;
use super::message::{Message, about_of};
use super::template;
use crate::enrolment::subject::{self, Subject};
use crate::patient::Patient;
use crate::site::{Site, SiteError};
use crate::trial;
use crate::validate::{self, NotFound};

/// Recipients that are looked at by one command.
pub const PAGE_LENGTH_MAX: usize = 200;

/// A notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notification {
    /// Not asked for.
    #[default]
    Absent,
    /// Asked for.
    Requested(Box<Wanted>),
}

/// What is to be told to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// As it was asked for.
    pub request: NotificationRequested,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// How many pages of recipients were looked at.
    pub pages: u32,
    /// Whether all were.
    pub is_complete: bool,
}

impl Wanted {
    /// What it is about.
    pub const fn references(&self) -> References {
        let NotificationRequested { trial_id, site_id, patient_id, .. } = self.request;
        References { trial_id, site_id, patient_id }
    }

    /// When it is of no use any more: nobody is woken by the alert of yesterday, and news are news for a week.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.requested_at
            + match self.request.urgency {
                Urgency::Alert => TimeDelta::hours(24),
                Urgency::Usual => TimeDelta::hours(72),
                Urgency::Bulk => TimeDelta::days(7),
            }
    }
}

/// Has somebody told something. It names ids only, never personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestNotification {
    /// The event that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_event_id: Option<Uuid>,
    /// The message's template: one of the program, or one that the trial defined.
    pub template: String,
    /// Who is told.
    pub audience: Audience,
    /// How it can wait.
    #[serde(default)]
    pub urgency: Urgency,
    /// The way; by default as each of them wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// BCP 47 language tag; by default as each of them wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The trial that it is about; only the program itself tells something about none.
    #[serde(default)]
    pub trial_id: Option<TrialId>,
    /// The site, where only that is concerned.
    #[serde(default)]
    pub site_id: Option<SiteId>,
    /// The patient, where it is about one.
    #[serde(default)]
    pub patient_id: Option<PatientId>,
}

/// Queues messages to some of those who are told: whoever follows in the order of their ids on those who were looked at before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressNotification {
    /// From 1; of each page only the first command counts.
    pub page: u32,
    /// Who may be concerned; each is looked at.
    pub recipients: Vec<Recipient>,
    /// Whether nobody follows.
    pub complete: bool,
    /// The last one looked at.
    #[serde(default)]
    pub after: Option<Uuid>,
}

rules! {
    /// Why a command to a notification is refused.
    pub enum NotificationError {
        AlreadyRequested => ALREADY_REQUESTED = "notification-already-requested":
            "the notification was requested already";
        NoTrial => NO_TRIAL = "notification-without-trial":
            "name the trial that it is about", field "trial_id";
        OtherPatient => OTHER_PATIENT = "notification-about-another":
            "a participant is told of nobody else: leave the patient out, or name the same", field "patient_id";
        PageMissing(page: u32) => PAGE_MISSING = "notification-page-missing": "page {0} was not looked at yet", field "page";
        _ => NOT_FOUND = "notification-not-found";
    }
}

impl RequestNotification {
    /// What a process manager has the holders of a role told.
    pub fn to_role(cause_event_id: Uuid, template: &str, role: Role, urgency: Urgency, about: References) -> Self {
        Self {
            cause_event_id: Some(cause_event_id),
            template: template.to_owned(),
            audience: Audience::Role { role },
            urgency,
            channel: None,
            language: None,
            trial_id: about.trial_id,
            site_id: about.site_id,
            patient_id: about.patient_id,
        }
    }

    /// What it is about, where people ask for it: all of that exists, and belongs together.
    fn about(&self, facts: &Facts) -> Result<References, Halt> {
        let trial_id = self.trial_id.ok_or(NotificationError::NoTrial)?;
        let course = trial::registered(facts, trial_id, Some("trial_id"))?;
        let to_participants = matches!(self.audience, Audience::Patient { .. } | Audience::Subjects);
        template::require(Some(course), &self.template, to_participants)?;
        if let Some(site_id) = self.site_id
            && facts.get::<Site>(site_id)?.identity(site_id, Some("site_id"))?.trial_id != trial_id
        {
            return Err(SiteError::OtherTrial.into());
        }
        let patient_id = match self.audience {
            Audience::Patient { patient_id } => {
                if self.patient_id.is_some_and(|about| about != patient_id) {
                    return Err(NotificationError::OtherPatient.into());
                }
                Some((patient_id, "audience/patient_id"))
            }
            Audience::Subjects if self.patient_id.is_some() => return Err(NotificationError::OtherPatient.into()),
            _ => self.patient_id.map(|patient_id| (patient_id, "patient_id")),
        };
        let Some((patient_id, field)) = patient_id else {
            return Ok(References { trial_id: Some(trial_id), site_id: self.site_id, patient_id: None });
        };
        let taking_part = subject::screened(facts, SubjectId::of(patient_id, trial_id), Some(field))?;
        Ok(References::subject(trial_id, taking_part.site_id, patient_id))
    }
}

impl Command for RequestNotification {
    type Target = NotificationId;
    const NAME: &'static str = "RequestNotification";

    fn decide(&self, notification_id: NotificationId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("template", &self.template),
            self.language.as_deref().map_or(Ok(()), |language| validate::language("language", language)),
        ])?;
        if *facts.get::<Notification>(notification_id)? != Notification::Absent {
            return Err(NotificationError::AlreadyRequested.into());
        }
        // What the program says by itself is as it says it.
        let about = match context.actor.role {
            Role::System => References { trial_id: self.trial_id, site_id: self.site_id, patient_id: self.patient_id },
            _ => self.about(facts)?,
        };
        let requested = NotificationRequested {
            cause_event_id: self.cause_event_id,
            template: self.template.clone(),
            audience: self.audience,
            urgency: self.urgency,
            channel: self.channel,
            language: self.language.clone(),
            trial_id: about.trial_id,
            site_id: about.site_id,
            patient_id: about.patient_id,
        };
        Ok(Decision::new(about, context.now).append(notification_id, requested))
    }
}

impl Command for AddressNotification {
    type Target = NotificationId;
    const NAME: &'static str = "AddressNotification";

    fn decide(&self, notification_id: NotificationId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::count("recipients", self.recipients.len(), PAGE_LENGTH_MAX)?;
        let wanted = requested(facts, notification_id)?;
        let decision = Decision::new(wanted.references(), context.now);
        if wanted.is_complete || self.page <= wanted.pages {
            return Ok(decision);
        }
        if self.page != wanted.pages + 1 {
            return Err(NotificationError::PageMissing(wanted.pages + 1).into());
        }
        let (mut queued, mut unreachable) = (0, 0);
        let is_expired = context.now >= wanted.expires_at();
        let mut queue = Vec::new();
        if !is_expired {
            // Whoever is named twice is told once.
            let recipients: BTreeSet<Recipient> = self.recipients.iter().copied().collect();
            facts.require(recipients.iter().flat_map(|recipient| needs(wanted, *recipient)))?;
            let of_messages = recipients.iter().map(|recipient| MessageId::of(notification_id, *recipient));
            facts.require(of_messages.map(Need::of::<Message>))?;
            for recipient in &recipients {
                let message_id = MessageId::of(notification_id, *recipient);
                if !is_concerned(facts, wanted, *recipient, context.now)?
                    || *facts.get::<Message>(message_id)? != Message::Absent
                {
                    continue;
                }
                let Some(reached) = reach(facts, wanted, *recipient, wanted.request.channel, context.now)? else {
                    unreachable += 1;
                    continue;
                };
                queued += 1;
                let message = MessageQueued {
                    notification_id,
                    recipient: *recipient,
                    channel: reached.way.channel,
                    template: wanted.request.template.clone(),
                    language: wanted.request.language.as_deref().or(reached.language).map(str::to_owned),
                    urgency: wanted.request.urgency,
                    not_before: reached.not_before,
                    expires_at: wanted.expires_at(),
                };
                queue.push((message_id, message));
            }
        }
        let addressed = NotificationAddressed {
            page: self.page,
            queued,
            unreachable,
            complete: self.complete || is_expired,
            expired: is_expired,
            after: self.after,
        };
        let decision = decision.append(notification_id, addressed);
        Ok(queue.into_iter().fold(decision, |decision, (id, message)| {
            let about = about_of(decision.references(), message.recipient);
            decision.append_about(about, id, message)
        }))
    }
}

/// What has to be known of a recipient.
fn needs(wanted: &Wanted, recipient: Recipient) -> Vec<Need> {
    match recipient {
        Recipient::Account { account_id } => vec![Need::of::<Account>(account_id)],
        Recipient::Patient { patient_id } => {
            let subject = wanted.request.trial_id.map(|trial_id| SubjectId::of(patient_id, trial_id));
            let subject = subject.map(Need::of::<Subject>);
            [Some(Need::of::<Patient>(patient_id)), subject].into_iter().flatten().collect()
        }
    }
}

/// Whether it concerns somebody now: they hold the role, take part, or are meant by name.
///
/// # Errors
/// [`Halt::Needs`].
pub(super) fn is_concerned(
    facts: &Facts,
    wanted: &Wanted,
    recipient: Recipient,
    now: DateTime<Utc>,
) -> Result<bool, Halt> {
    match (wanted.request.audience, recipient) {
        (Audience::Role { role }, Recipient::Account { account_id }) => {
            let about = wanted.references();
            Ok(facts.get::<Account>(account_id)?.holder().is_some_and(|holder| {
                let holds = holder.grants_in_force(now).any(|grant| grant.role == role && grant.scope.covers(&about));
                holds && holder.may_act(now)
            }))
        }
        (Audience::Account { account_id: named }, Recipient::Account { account_id }) => {
            let holder = facts.get::<Account>(account_id)?.holder();
            Ok(named == account_id && holder.is_some_and(|holder| holder.may_act(now)))
        }
        (Audience::Patient { patient_id: named }, Recipient::Patient { patient_id }) if named != patient_id => {
            Ok(false)
        }
        (Audience::Patient { .. } | Audience::Subjects, Recipient::Patient { patient_id }) => {
            let Some(trial_id) = wanted.request.trial_id else { return Ok(true) };
            Ok(match facts.get::<Subject>(SubjectId::of(patient_id, trial_id))? {
                Subject::Unscreened => false,
                Subject::Screened(taking_part) => {
                    let is_there = wanted.request.site_id.is_none_or(|site_id| site_id == taking_part.site_id);
                    is_there && !taking_part.has_left()
                }
            })
        }
        (Audience::Role { .. } | Audience::Account { .. }, Recipient::Patient { .. })
        | (Audience::Patient { .. } | Audience::Subjects, Recipient::Account { .. }) => Ok(false),
    }
}

/// A notification that was asked for.
///
/// # Errors
/// [`Halt`] where it is not loaded, or was not.
pub fn requested(facts: &Facts, notification_id: NotificationId) -> Result<&Wanted, Halt> {
    match facts.get::<Notification>(notification_id)? {
        Notification::Requested(wanted) => Ok(wanted),
        Notification::Absent => {
            Err(NotFound::halt(NotificationError::NOT_FOUND, "notification", notification_id, None))
        }
    }
}

impl Aggregate for Notification {
    type Id = NotificationId;
    type Event = NotificationEvent;
    const SNAPSHOT_VERSION: u16 = 2;

    fn evolve(self, event: &NotificationEvent, occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Notification::Absent, NotificationEvent::NotificationRequested(request)) => {
                Notification::Requested(Box::new(Wanted {
                    request: request.clone(),
                    requested_at: occurred_at,
                    pages: 0,
                    is_complete: false,
                }))
            }
            (Notification::Requested(mut wanted), NotificationEvent::NotificationAddressed(addressed)) => {
                wanted.pages = addressed.page;
                wanted.is_complete = addressed.complete;
                Notification::Requested(wanted)
            }
            // Not decided by any command; the log is read all the same.
            (
                notification,
                NotificationEvent::NotificationRequested(_) | NotificationEvent::NotificationAddressed(_),
            ) => notification,
        }
    }
}

impl Notification {
    /// What it is about, where it was asked for.
    pub const fn references(&self) -> Option<References> {
        match self {
            Notification::Absent => None,
            Notification::Requested(wanted) => Some(wanted.references()),
        }
    }
}
