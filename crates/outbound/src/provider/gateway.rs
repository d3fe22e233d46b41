//! Gateways of text messages and of apps' messages over HTTP (docs/guides/notifications.md): a POST for each message, which the
//! gateway knows again by its `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use calls::{Address, Breaking, Outgoing as Call, Policy, Service};
use domain::messaging::delivery::Outgoing;
use events::messaging::contact::Channel;
use events::messaging::message::SendingFault;
use events::messaging::notification::Urgency;
use events::values::Personal;
use serde_json::json;

use super::{Handed, Provider, handed};

/// How long a gateway may take to take a message.
const PER_TRY: Duration = Duration::from_secs(5);
/// How long all tries of one attempt may take.
const IN_ALL: Duration = Duration::from_secs(8);

/// A gateway.
pub struct Gateway {
    service: Service,
    channel: Channel,
    authorization: Option<HeaderValue>,
}

/// How providers are called: what is not taken in seconds is tried again by the queue.
pub(super) fn policy() -> Policy {
    Policy {
        per_try: PER_TRY,
        in_all: IN_ALL,
        repeats_max: 1,
        asked_pause_max: Duration::from_secs(2),
        breaking: Breaking::default(),
        answer_bytes_max: 64 * 1024,
        ..Policy::default()
    }
}

impl Gateway {
    /// Of this channel, at these addresses; knows us by the token.
    pub fn new(channel: Channel, addresses: Vec<Address>, token: Option<String>) -> Self {
        let authorization = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self { service: Service::new(channel.name(), addresses, policy()), channel, authorization }
    }

    fn call(&self, outgoing: &Outgoing, address: &str) -> Option<Call> {
        let mut body = json!({
            "id": outgoing.message_id,
            "to": address,
            "text": outgoing.text,
            "language": outgoing.language,
            "urgent": outgoing.urgency == Urgency::Alert,
        });
        if self.channel == Channel::Push {
            body["title"] = json!(outgoing.subject);
        }
        let key = HeaderValue::try_from(outgoing.message_id.to_string()).ok()?;
        let mut call = Call::post("", body.to_string())
            .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with(HeaderName::from_static("idempotency-key"), key)
            .known_again();
        if let Some(authorization) = &self.authorization {
            call = call.with(AUTHORIZATION, authorization.clone());
        }
        Some(call)
    }
}

#[async_trait]
impl Provider for Gateway {
    fn knows_again(&self) -> bool {
        true
    }

    async fn hand_over(&self, outgoing: &Outgoing) -> Handed {
        let address = outgoing.address.as_ref().and_then(Personal::expose);
        match address.and_then(|address| self.call(outgoing, address)) {
            Some(call) => handed(self.service.ask(&call).await),
            None => Handed::NotTaken { fault: SendingFault::Rejected, status: None, may_have_arrived: false },
        }
    }
}
