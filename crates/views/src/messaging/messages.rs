//! The messages: the queue of those that wait, and what became of the others.

use events::messaging::contact::Channel;
use events::messaging::message::{MessageEvent, MessageQueued, Recipient, SendingFault, SkipReason};
use events::messaging::notification::Urgency;

use crate::prelude::*;

/// The view.
pub struct Messages;

/// A message. Address and text are not kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    message_id: MessageId,
    /// What it is part of.
    notification_id: NotificationId,
    trial_id: Option<TrialId>,
    site_id: Option<SiteId>,
    patient_id: Option<PatientId>,
    /// To whom.
    recipient: Recipient,
    /// By which way.
    channel: Channel,
    template: String,
    /// The version of the template that was sent.
    template_version: Option<u32>,
    /// The language that is wanted, and once it was sent that of the text.
    language: Option<String>,
    urgency: Urgency,
    status: MessageStatus,
    queued_at: DateTime<Utc>,
    /// When it is tried, or tried again; absent where it is not.
    due: Option<DateTime<Utc>>,
    /// How often it was tried.
    attempts: u32,
    /// Why it was not sent the last time.
    fault: Option<SendingFault>,
    /// The status that the provider answered with then.
    provider_status: Option<u16>,
    /// Why it is not sent.
    skipped_because: Option<SkipReason>,
    sent_at: Option<DateTime<Utc>>,
    /// When the provider told what became of it.
    receipt_at: Option<DateTime<Utc>>,
    /// By which the provider knows it.
    provider_message_id: Option<String>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum MessageStatus {
    /// It waits to be sent, at first or again.
    Waiting,
    /// It is being handed to a provider that would send it twice.
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

impl Table for Messages {
    type Document = Message;
    const NAME: &'static str = "messages";
    const COLUMNS: &'static [Column<Message>] = &[
        uuid("trial_id", |message| message.trial_id.map(Into::into)),
        uuid("site_id", |message| message.site_id.map(Into::into)),
        uuid("patient_id", |message| message.patient_id.map(Into::into)),
        uuid("notification_id", |message| message.notification_id.uuid().into()),
        text("status", |message| name_of(&message.status)),
        text("channel", |message| name_of(&message.channel)),
        text("queue", Message::queue),
        time("due", |message| message.due),
        time("queued_at", |message| message.queued_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "queued_at"],
        &["site_id", "queued_at"],
        &["patient_id", "queued_at"],
        &["notification_id", "queued_at"],
        &["notification_id", "status", "queued_at"],
        &["status", "queued_at"],
        &["channel", "queued_at"],
        &["queue", "due"],
        &["queued_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "messages",
        "message",
        &[
            TRIAL,
            SITE,
            PATIENT,
            is("notification_id").meaning("Of which notification it is part"),
            STATUS,
            is("channel"),
        ],
        &[Sort::by_greatest("queued_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

/// The queue of messages by this channel that can wait so long; only those that wait are in one.
pub fn queue(channel: Channel, urgency: Urgency) -> String {
    format!("{channel}/{}", urgency.name())
}

impl Message {
    fn queued(queued: &MessageQueued, envelope: &Envelope) -> Self {
        let references = envelope.references;
        Self {
            message_id: MessageId::from(envelope.stream.id),
            notification_id: queued.notification_id,
            trial_id: references.trial_id,
            site_id: references.site_id,
            patient_id: references.patient_id,
            recipient: queued.recipient,
            channel: queued.channel,
            template: queued.template.clone(),
            template_version: None,
            language: queued.language.clone(),
            urgency: queued.urgency,
            status: MessageStatus::Waiting,
            queued_at: envelope.occurred_at,
            due: Some(queued.not_before.unwrap_or(envelope.occurred_at)),
            attempts: 0,
            fault: None,
            provider_status: None,
            skipped_because: None,
            sent_at: None,
            receipt_at: None,
            provider_message_id: None,
        }
    }

    fn queue(&self) -> Option<String> {
        let waits = matches!(self.status, MessageStatus::Waiting | MessageStatus::Sending);
        waits.then(|| queue(self.channel, self.urgency))
    }

    /// What became of it, and when it is tried again where it is.
    const fn come_to(&mut self, status: MessageStatus, due: Option<DateTime<Utc>>) {
        self.status = status;
        self.due = due;
    }

    fn failed(&mut self, attempts: u32, fault: SendingFault, status: Option<u16>) {
        self.attempts = attempts;
        self.fault = Some(fault);
        self.provider_status = status;
    }
}

impl View for Messages {
    const OF: StreamType = StreamType::Message;

    fn fold(document: Option<Message>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Message> {
        let AnyEvent::Message(event) = event else { return document };
        if let MessageEvent::MessageQueued(queued) = event {
            return Some(Message::queued(queued, envelope));
        }
        let (mut message, at) = (document?, envelope.occurred_at);
        match event {
            MessageEvent::MessageQueued(_) => {}
            MessageEvent::MessagePostponed(postponed) => {
                message.come_to(MessageStatus::Waiting, Some(postponed.until));
            }
            MessageEvent::MessageSending(_) => message.come_to(MessageStatus::Sending, Some(at)),
            MessageEvent::MessageSent(sent) => {
                message.come_to(MessageStatus::Sent, None);
                message.attempts = sent.attempt;
                message.template_version = Some(sent.template_version);
                message.language = Some(sent.language.clone());
                message.provider_message_id = sent.provider_message_id.clone();
                message.sent_at = Some(at);
            }
            MessageEvent::MessageFailed(failed) => {
                message.come_to(MessageStatus::Waiting, Some(failed.retry_at));
                message.failed(failed.attempt, failed.fault, failed.status);
            }
            MessageEvent::MessageDeadLettered(given_up) => {
                message.come_to(MessageStatus::DeadLettered, None);
                message.failed(given_up.attempts, given_up.fault, given_up.status);
            }
            MessageEvent::DeliveryUncertain(_) => message.come_to(MessageStatus::Uncertain, None),
            MessageEvent::MessageSkipped(skipped) => {
                message.come_to(MessageStatus::Skipped, None);
                message.skipped_because = Some(skipped.reason);
            }
            MessageEvent::MessageDelivered(_) => {
                message.come_to(MessageStatus::Delivered, None);
                message.receipt_at = Some(at);
            }
            MessageEvent::MessageUndelivered(_) => {
                message.come_to(MessageStatus::Undelivered, None);
                message.receipt_at = Some(at);
            }
            MessageEvent::MessageRetried(_) => {
                message.come_to(MessageStatus::Waiting, Some(at));
                message.skipped_because = None;
            }
        }
        Some(message)
    }
}
