//! Reading a request's body before the request takes part in what is shared: a body that trickles, or never comes,
//! holds up nobody but its own account.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;
use crate::shares::{Limit, Share, Shares};

/// How much of a body that is too large is read and thrown away, so that a
/// client that is still sending hears the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What memory is counted in.
const UNIT_BYTES: usize = 1024;
/// The part of all memory that the bodies of one account may take.
const ACCOUNT_PART: usize = 32;

const MEMORY: Limit = Limit { setting: "account_body_kib_max", rule: "too-many-bodies", of: "KiB of bodies at once" };

/// How bodies are read.
#[derive(Clone)]
pub(crate) struct Bodies {
    /// Greatest size of one.
    pub(crate) bytes_max: usize,
    /// How long one may take from the request's header to its end.
    pub(crate) time_max: Duration,
    /// Memory for what has come of all of them.
    memory: Arc<Semaphore>,
    /// The part of it that is each account's.
    parts: Shares,
}

/// Memory that a body takes until it is dropped.
pub(crate) struct Held {
    account: Share,
    all: OwnedSemaphorePermit,
}

impl Bodies {
    /// Memory for `count` bodies of the greatest size.
    pub(crate) fn new(bytes_max: usize, time_max: Duration, count: usize) -> Self {
        let units = bytes_max.div_ceil(UNIT_BYTES).saturating_mul(count).min(Semaphore::MAX_PERMITS);
        // One body of the greatest size always fits.
        let part = (units / ACCOUNT_PART).max(bytes_max.div_ceil(UNIT_BYTES));
        Self { bytes_max, time_max, memory: Arc::new(Semaphore::new(units)), parts: Shares::new(MEMORY, part) }
    }

    /// The account's request with its whole body, and the memory that this takes.
    ///
    /// # Errors
    /// 408 where it does not come in time, 413 where it is too large, 400 where it breaks off, 429 where the account's part
    /// of the memory is taken, 503 where all of it is.
    pub(crate) async fn read(&self, account: &str, request: Request) -> Result<(Request, Option<Held>), Problem> {
        if request.body().is_end_stream() {
            return Ok((request, None));
        }
        match tokio::time::timeout(self.time_max, self.read_all(account, request)).await {
            Ok(read) => read,
            Err(_) => {
                let detail = format!("The body did not come within {} s.", self.time_max.as_secs_f32());
                let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail);
                // What is still to come of it would be taken for the next request.
                Err(problem.with_header(header::CONNECTION, HeaderValue::from_static("close")))
            }
        }
    }

    async fn read_all(&self, account: &str, request: Request) -> Result<(Request, Option<Held>), Problem> {
        let announced = announced_bytes(&request);
        let (parts, body) = request.into_parts();
        let mut body = body.into_data_stream();
        let mut read = Vec::new();
        let mut held: Option<Held> = None;
        let mut is_too_large = announced.is_some_and(|bytes| bytes > self.bytes_max as u64);
        let mut drained = 0;
        while let Some(piece) = body.next().await {
            let piece =
                piece.map_err(|_| Problem::invalid("body", "unreadable", "The body could not be read to its end."))?;
            is_too_large |= read.len() + piece.len() > self.bytes_max;
            if is_too_large {
                read = Vec::new();
                drained += piece.len();
                if drained > DRAINED_BYTES_MAX {
                    break;
                }
                continue;
            }
            self.hold(account, &mut held, read.len() + piece.len())?;
            read.extend_from_slice(&piece);
        }
        if is_too_large {
            let detail = format!("The body must have at most {} bytes.", self.bytes_max);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail));
        }
        Ok((Request::from_parts(parts, Body::from(Bytes::from(read))), held))
    }

    /// Holds memory for so many bytes in all.
    fn hold(&self, account: &str, held: &mut Option<Held>, bytes: usize) -> Result<(), Problem> {
        let has = held.as_ref().map_or(0, |held| held.all.num_permits());
        let Some(more) = bytes.div_ceil(UNIT_BYTES).checked_sub(has).filter(|more| *more > 0) else { return Ok(()) };
        let overloaded = || Problem::unavailable("overloaded", "Too many bodies at once.", 1);
        let units = u32::try_from(more).map_err(|_| overloaded())?;
        let of_all = || self.memory.clone().try_acquire_many_owned(units).map_err(|_| overloaded());
        match held {
            Some(held) => {
                held.account.grow(more)?;
                held.all.merge(of_all()?);
            }
            None => *held = Some(Held { account: self.parts.take_many(account, more)?, all: of_all()? }),
        }
        Ok(())
    }
}

fn announced_bytes(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
