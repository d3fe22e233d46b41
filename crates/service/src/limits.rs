//! Limits that every server sets: how many requests at once, in all and of one account, and how long each may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::sync::Semaphore;

use crate::auth::Principal;
use crate::problem::Problem;

/// How much of a body that is too large is read and thrown away, so that a
/// client that is still sending hears the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The limits of a server.
#[derive(Clone)]
pub struct Limits {
    /// Greatest size of a body.
    pub body_bytes_max: usize,
    /// How long a request may take until its answer begins.
    pub request_time_max: Duration,
    concurrent: Arc<Semaphore>,
    account_requests_max: usize,
    accounts: Accounts,
}

/// How many requests of each account are worked on.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<HashMap<String, usize>>>);

impl Limits {
    /// Limits of these sizes, and none of its own for an account.
    pub fn new(body_bytes_max: usize, request_time_max: Duration, concurrent_max: usize) -> Self {
        Self {
            body_bytes_max,
            request_time_max,
            concurrent: Arc::new(Semaphore::new(concurrent_max)),
            account_requests_max: usize::MAX,
            accounts: Accounts::default(),
        }
    }

    /// No account takes more than so many requests at once, so that one does not take them all.
    #[must_use]
    pub fn with_account_requests_max(mut self, max: usize) -> Self {
        self.account_requests_max = max;
        self
    }
}

impl Accounts {
    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of this account; `None` where it has `max` already.
    fn begin(&self, account: &str, max: usize) -> Option<AccountRequest> {
        let mut counts = self.counts();
        match counts.get_mut(account) {
            Some(count) if *count >= max => return None,
            Some(count) => *count += 1,
            None => drop(counts.insert(account.to_owned(), 1)),
        }
        drop(counts);
        Some(AccountRequest { accounts: self.clone(), account: account.to_owned() })
    }
}

/// One request of an account.
struct AccountRequest {
    accounts: Accounts,
    account: String,
}

impl Drop for AccountRequest {
    fn drop(&mut self) {
        let mut counts = self.accounts.counts();
        if let Some(count) = counts.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

/// Refuses requests beyond the limits, at once rather than late.
pub async fn layer(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let account = request.extensions().get::<Principal>().map(|principal| &*principal.username);
    let begun = account.map(|account| limits.accounts.begin(account, limits.account_requests_max));
    if let Some(None) = begun {
        let detail = "This account has too many requests at once. Send it again when others are answered.";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail);
        return problem.retry_after(1).into_response();
    }
    let Ok(_permit) = limits.concurrent.try_acquire() else {
        return Problem::unavailable("overloaded", "Too many requests at once.", 1).into_response();
    };
    let answered = async {
        match announced_bytes(&request) {
            Some(bytes) if bytes > limits.body_bytes_max as u64 => too_large(request, limits.body_bytes_max).await,
            _ => next.run(request).await,
        }
    };
    match tokio::time::timeout(limits.request_time_max, answered).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(
            "timed-out",
            "The request took too long. A command may have been carried out: send it again with the same Idempotency-Key.",
            1,
        )
        .into_response(),
    }
}

fn announced_bytes(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn too_large(request: Request, max: usize) -> Response {
    let mut drained = 0;
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(piece)) = body.next().await {
        drained += piece.len();
        if drained > DRAINED_BYTES_MAX {
            break;
        }
    }
    let detail = format!("The body must have at most {max} bytes.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail).into_response()
}
