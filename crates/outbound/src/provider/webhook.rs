//! Another system that is told: a signed request (Standard Webhooks 1.0), which it knows again by its `webhook-id`.

use async_trait::async_trait;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use calls::{Address, Outgoing as Call, Service};
use domain::messaging::delivery::Outgoing;
use event_store::clock;
use events::messaging::contact::Channel;
use events::messaging::message::SendingFault;
use serde_json::json;

use super::gateway::policy;
use super::{Handed, Provider, handed};
use crate::signature::Secret;

/// A system that is told.
pub struct Webhook {
    service: Service,
    secret: Secret,
}

impl Webhook {
    /// At this address; it knows us by the secret.
    pub fn new(address: Address, secret: Secret) -> Self {
        Self { service: Service::new(Channel::Webhook.name(), vec![address], policy()), secret }
    }

    fn call(&self, outgoing: &Outgoing) -> Option<Call> {
        let (id, now) = (outgoing.message_id.to_string(), clock::now());
        let body = json!({
            "type": "notification",
            "timestamp": now,
            "data": {
                "message_id": outgoing.message_id,
                "notification_id": outgoing.notification_id,
                "recipient": outgoing.recipient,
                "template": outgoing.template,
                "urgency": outgoing.urgency,
                "language": outgoing.language,
                "subject": outgoing.subject,
                "text": outgoing.text,
            },
        })
        .to_string();
        let signature = self.secret.sign(&id, now.timestamp(), body.as_bytes());
        let header = |name, value: String| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?));
        let headers = [
            header("webhook-id", id)?,
            header("webhook-timestamp", now.timestamp().to_string())?,
            header("webhook-signature", signature)?,
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        let call = Call::post("", body).known_again();
        Some(headers.into_iter().fold(call, |call, (name, value)| call.with(name, value)))
    }
}

#[async_trait]
impl Provider for Webhook {
    fn knows_again(&self) -> bool {
        true
    }

    async fn hand_over(&self, outgoing: &Outgoing) -> Handed {
        match self.call(outgoing) {
            Some(call) => handed(self.service.ask(&call).await),
            None => Handed::NotTaken { fault: SendingFault::Rejected, status: None, may_have_arrived: false },
        }
    }
}
