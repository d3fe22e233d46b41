//! Limits that every server sets: how many requests at once, and how long each may take.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// The limits of a server.
#[derive(Clone)]
pub struct Limits {
    /// Greatest size of a body.
    pub body_bytes_max: usize,
    /// How long a request may take until its answer begins.
    pub request_time_max: Duration,
    concurrent: Arc<Semaphore>,
}

impl Limits {
    /// Limits of these sizes.
    pub fn new(body_bytes_max: usize, request_time_max: Duration, concurrent_max: usize) -> Self {
        Self { body_bytes_max, request_time_max, concurrent: Arc::new(Semaphore::new(concurrent_max)) }
    }
}

/// Refuses requests beyond the limits, at once rather than late.
pub async fn layer(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let Ok(_permit) = limits.concurrent.try_acquire() else {
        return Problem::unavailable("overloaded", "Too many requests at once.", 1).into_response();
    };
    match tokio::time::timeout(limits.request_time_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(
            "timed-out",
            "The request took too long. A command may have been carried out: send it again with the same Idempotency-Key.",
            1,
        )
        .into_response(),
    }
}
