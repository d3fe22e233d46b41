//! Receipts: providers tell whether messages arrived. Whoever calls is known by the signature, and by nothing else.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::messaging::message::{MessageError, RecordReceipt};
use event_store::clock;
use event_store::execute::{ExecuteError, Executor};
use events::ids::MessageId;
use events::messaging::contact::Channel;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use service::problem::Problem;

use crate::commands::execute;
use crate::signature::Secret;

/// Greatest length of what is told of one message.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Receipts a second that are taken.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000).expect("a rate");
/// Seconds after which it is worth another try.
const RETRY_SECONDS: u32 = 5;

#[derive(Clone)]
struct Receipts {
    executor: Executor,
    secret: Arc<Secret>,
    rate: Arc<DefaultDirectRateLimiter>,
}

/// What a provider tells.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    /// The message, by the id under which it was handed over.
    message_id: MessageId,
    /// What became of it.
    status: ReceiptStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReceiptStatus {
    Delivered,
    Undelivered,
}

/// `POST /v1/callbacks/{channel}`, for everybody who has the secret.
pub fn router(executor: Executor, secret: Arc<Secret>) -> Router {
    let rate = Arc::new(RateLimiter::direct(Quota::per_second(PER_SECOND)));
    Router::new()
        .route("/v1/callbacks/{channel}", post(receive))
        .route_layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Receipts { executor, secret, rate })
}

async fn receive(
    State(receipts): State<Receipts>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    if receipts.rate.check().is_err() {
        let detail = format!("More than {PER_SECOND} receipts a second are not taken.");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-fast", detail).retry_after(1));
    }
    if !Channel::ALL.iter().any(|known| known.name() == channel) {
        let known = Channel::ALL.map(Channel::name).join(", ");
        return Err(Problem::not_found("channel-not-found", format!("There is no such channel, only {known}.")));
    }
    let body = body.map_err(|_| {
        let detail = format!("The body cannot be read, or is longer than {BODY_BYTES_MAX} bytes.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    })?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
    receipts
        .secret
        .verify(signed, &body, clock::now())
        .map_err(|error| Problem::unauthenticated(&format!("The receipt is not signed as agreed: {error}.")))?;
    let Receipt { message_id, status } = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid("", "malformed", format!("The body is no receipt: {error}.")))?;
    let delivered = matches!(status, ReceiptStatus::Delivered);
    match execute(&receipts.executor, &(message_id, RecordReceipt { delivered }).into()).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(ExecuteError::Refused(refusal)) if refusal.rule == MessageError::NOT_FOUND => {
            Err(Problem::not_found(MessageError::NOT_FOUND, "There is no such message."))
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a receipt cannot be recorded");
            Err(Problem::unavailable("log-unavailable", "It cannot be recorded now; send it again.", RETRY_SECONDS))
        }
    }
}
