//! What has to be known to send a message now, and whether it still is to be sent.

use authority::Account;
use chrono::{DateTime, Utc};
use decider::{Facts, Halt, Inquire, Need};
use events::ids::{ConsentId, MessageId, NotificationId, SubjectId};
use events::messaging::contact::Channel;
use events::messaging::message::{Recipient, SkipReason};
use events::messaging::notification::{Audience, Urgency};
use events::values::Personal;

use super::contact::{Way, way};
use super::message::{self, Message, Queued, Stage};
use super::notification::{self, Notification, Wanted, is_concerned};
use super::template;
use crate::consent::Consent;
use crate::enrolment::subject::Subject;
use crate::patient::Patient;
use crate::place::Place;
use crate::trial::{RegisteredTrial, Trial};

/// Asks for all that is needed to send a message now.
#[derive(Clone, Copy, Debug)]
pub struct PrepareMessage {
    /// The message.
    pub message_id: MessageId,
}

/// What is to be done with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Nothing: it is settled.
    Settled,
    /// Nothing yet.
    NotBefore(DateTime<Utc>),
    /// Nobody writes to them now.
    Postpone(DateTime<Utc>),
    /// It is not to be sent.
    Skip(SkipReason),
    /// It was being handed over when whoever did so went away.
    Unsettled {
        /// That attempt.
        attempt: u32,
    },
    /// It is to be sent.
    Send(Box<Outgoing>),
}

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The message.
    pub message_id: MessageId,
    /// What it is part of.
    pub notification_id: NotificationId,
    /// From 1.
    pub attempt: u32,
    /// By which way.
    pub channel: Channel,
    /// To which address; none where the settings name it.
    pub address: Option<Personal<String>>,
    /// To whom.
    pub recipient: Recipient,
    /// How it can wait.
    pub urgency: Urgency,
    /// Its template.
    pub template: String,
    /// The version of the template.
    pub template_version: u32,
    /// The language of the text.
    pub language: String,
    /// The subject line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// How somebody is reached.
pub(super) struct Reached<'facts> {
    /// By which way.
    pub way: Way<'facts>,
    /// In which language they wish to be written to.
    pub language: Option<&'facts str>,
    /// Not before: quiet hours.
    pub not_before: Option<DateTime<Utc>>,
}

/// How somebody is reached now, where they can be.
///
/// # Errors
/// [`Halt::Needs`].
pub(super) fn reach<'facts>(
    facts: &'facts Facts,
    wanted: &Wanted,
    recipient: Recipient,
    asked: Option<Channel>,
    now: DateTime<Utc>,
) -> Result<Option<Reached<'facts>>, Halt> {
    let urgency = wanted.request.urgency;
    let (contact, mobile, place) = match recipient {
        Recipient::Account { account_id } => {
            let Some(holder) = facts.get::<Account>(account_id)?.holder() else { return Ok(None) };
            let contact = &holder.contact;
            (contact, contact.mobile.as_ref(), Place::at(contact.time_zone.unwrap_or_default()))
        }
        Recipient::Patient { patient_id } => {
            let Patient::Registered(person) = facts.get::<Patient>(patient_id)? else { return Ok(None) };
            (&person.contact, person.mobile.as_ref(), person.place(facts))
        }
    };
    let Some(way) = way(contact, mobile, asked, urgency) else { return Ok(None) };
    let not_before = match contact.quiet_hours.filter(|_| urgency != Urgency::Alert) {
        Some(quiet) => quiet.end_of(now, place.zone()?),
        None => None,
    };
    Ok(Some(Reached { way, language: contact.language.as_deref(), not_before }))
}

impl Inquire for PrepareMessage {
    type Answer = Preparation;

    fn reads(&self) -> Vec<Need> {
        vec![Need::of::<Message>(self.message_id)]
    }

    fn answer(&self, now: DateTime<Utc>, facts: &Facts) -> Result<Preparation, Halt> {
        let queued = message::known(facts, self.message_id)?;
        match queued.stage {
            Stage::Waiting(_) if now >= queued.expires_at => return Ok(Preparation::Skip(SkipReason::Expired)),
            Stage::Waiting(Some(until)) if until > now => return Ok(Preparation::NotBefore(until)),
            Stage::Waiting(_) => {}
            Stage::Sending => return Ok(Preparation::Unsettled { attempt: queued.attempts + 1 }),
            Stage::Sent
            | Stage::Delivered
            | Stage::Undelivered
            | Stage::Uncertain
            | Stage::DeadLettered
            | Stage::Skipped => return Ok(Preparation::Settled),
        }
        let recipient = queued.message.recipient;
        let mut needs = vec![Need::of::<Notification>(queued.message.notification_id)];
        needs.push(match recipient {
            Recipient::Account { account_id } => Need::of::<Account>(account_id),
            Recipient::Patient { patient_id } => Need::of::<Patient>(patient_id),
        });
        facts.require(needs)?;
        let wanted = notification::requested(facts, queued.message.notification_id)?;
        facts.require(further(wanted, recipient))?;
        if !is_concerned(facts, wanted, recipient, now)? || has_withdrawn(facts, wanted, recipient)? {
            return Ok(Preparation::Skip(SkipReason::NoLongerConcerned));
        }
        let Some(reached) = reach(facts, wanted, recipient, Some(queued.message.channel), now)? else {
            return Ok(Preparation::Skip(SkipReason::Unreachable));
        };
        if let Some(until) = reached.not_before {
            return Ok(Preparation::Postpone(until));
        }
        self.outgoing(facts, queued, wanted, &reached)
    }
}

impl PrepareMessage {
    fn outgoing(
        &self,
        facts: &Facts,
        queued: &Queued,
        wanted: &Wanted,
        reached: &Reached<'_>,
    ) -> Result<Preparation, Halt> {
        let course = match wanted.request.trial_id {
            Some(trial_id) => facts.get::<Trial>(trial_id)?.registered(),
            None => None,
        };
        let message = &queued.message;
        let text = template::text(course, &message.template, message.language.as_deref());
        let Some(text) = text else { return Ok(Preparation::Skip(SkipReason::NoText)) };
        let protocol = course.map_or("", |course| course.protocol.as_str());
        let reference = message.notification_id.uuid().simple().to_string();
        // The end of an id is random, its beginning is the time.
        let reference = reference.get(reference.len().saturating_sub(8)..).unwrap_or_default();
        let [subject, filled] = text.filled(protocol, site_code(course, wanted), reference);
        Ok(Preparation::Send(Box::new(Outgoing {
            message_id: self.message_id,
            notification_id: message.notification_id,
            attempt: queued.attempts + 1,
            channel: message.channel,
            address: reached.way.address.cloned(),
            recipient: message.recipient,
            urgency: message.urgency,
            template: message.template.clone(),
            template_version: text.version,
            language: text.language.to_owned(),
            subject,
            text: filled,
        })))
    }
}

/// The code of the site that it is about; of none where it is about the trial as a whole.
fn site_code<'facts>(course: Option<&'facts RegisteredTrial>, wanted: &Wanted) -> &'facts str {
    let site_id = wanted.request.site_id;
    let sites = course.into_iter().flat_map(|course| &course.sites);
    sites.filter(|(known, _)| Some(*known) == site_id).map(|(_, code)| code.as_str()).next().unwrap_or("-")
}

/// What has to be known beside message, notification and recipient.
fn further(wanted: &Wanted, recipient: Recipient) -> Vec<Need> {
    let Some(trial_id) = wanted.request.trial_id else { return Vec::new() };
    let mut needs = vec![Need::of::<Trial>(trial_id)];
    if let Recipient::Patient { patient_id } = recipient {
        needs.push(Need::of::<Subject>(SubjectId::of(patient_id, trial_id)));
        needs.push(Need::of::<Consent>(ConsentId::of(patient_id, trial_id)));
    }
    needs
}

/// Whether a participant has withdrawn: they are not written to any more, but where somebody means them by name in an emergency.
fn has_withdrawn(facts: &Facts, wanted: &Wanted, recipient: Recipient) -> Result<bool, Halt> {
    let is_emergency =
        matches!(wanted.request.audience, Audience::Patient { .. }) && wanted.request.urgency == Urgency::Alert;
    match (recipient, wanted.request.trial_id) {
        (Recipient::Patient { patient_id }, Some(trial_id)) if !is_emergency => {
            let consent = facts.get::<Consent>(ConsentId::of(patient_id, trial_id))?;
            Ok(consent.latest().is_some() && consent.in_force().is_none())
        }
        _ => Ok(false),
    }
}
