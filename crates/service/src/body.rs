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

/// How much of a body that is too large is read and thrown away, so that a
/// client that is still sending hears the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What memory is counted in.
const UNIT_BYTES: usize = 1024;

/// How bodies are read.
#[derive(Clone)]
pub(crate) struct Bodies {
    /// Greatest size of one.
    pub(crate) bytes_max: usize,
    /// How long one may take from the request's header to its end.
    pub(crate) time_max: Duration,
    /// Memory for what has come of all of them.
    memory: Arc<Semaphore>,
}

impl Bodies {
    /// Memory for `count` bodies of the greatest size.
    pub(crate) fn new(bytes_max: usize, time_max: Duration, count: usize) -> Self {
        let units = bytes_max.div_ceil(UNIT_BYTES).saturating_mul(count).min(Semaphore::MAX_PERMITS);
        Self { bytes_max, time_max, memory: Arc::new(Semaphore::new(units)) }
    }

    /// The request with its whole body, and the memory that this takes.
    ///
    /// # Errors
    /// 408 where it does not come in time, 413 where it is too large, 400 where it breaks off, 503 where there is no
    /// memory for it.
    pub(crate) async fn read(&self, request: Request) -> Result<(Request, Option<OwnedSemaphorePermit>), Problem> {
        if request.body().is_end_stream() {
            return Ok((request, None));
        }
        match tokio::time::timeout(self.time_max, self.read_all(request)).await {
            Ok(read) => read,
            Err(_) => {
                let detail = format!("The body did not come within {} s.", self.time_max.as_secs_f32());
                let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail);
                // What is still to come of it would be taken for the next request.
                Err(problem.with_header(header::CONNECTION, HeaderValue::from_static("close")))
            }
        }
    }

    async fn read_all(&self, request: Request) -> Result<(Request, Option<OwnedSemaphorePermit>), Problem> {
        let announced = announced_bytes(&request);
        let (parts, body) = request.into_parts();
        let mut body = body.into_data_stream();
        let mut read = Vec::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
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
            self.hold(&mut held, read.len() + piece.len())?;
            read.extend_from_slice(&piece);
        }
        if is_too_large {
            let detail = format!("The body must have at most {} bytes.", self.bytes_max);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail));
        }
        Ok((Request::from_parts(parts, Body::from(Bytes::from(read))), held))
    }

    /// Holds memory for so many bytes in all.
    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Problem> {
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.div_ceil(UNIT_BYTES).checked_sub(has).filter(|more| *more > 0) else { return Ok(()) };
        let overloaded = || Problem::unavailable("overloaded", "Too many bodies at once.", 1);
        let more = u32::try_from(more).map_err(|_| overloaded())?;
        let more = self.memory.clone().try_acquire_many_owned(more).map_err(|_| overloaded())?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

fn announced_bytes(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
