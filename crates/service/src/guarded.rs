//! A body that holds something for as long as it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The most that is given to the connection at once. What it was given it holds: only from what is still here is known that
/// it was not sent.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of an answer, and what is given back when it ends.
pub(crate) struct Guarded<Guard> {
    body: Body,
    /// What has come of the body and was not passed on.
    rest: Bytes,
    _guard: Guard,
}

impl<Guard> Guarded<Guard> {
    /// The body; `guard` is dropped with it.
    pub(crate) fn new(body: Body, guard: Guard) -> Self {
        Self { body, rest: Bytes::new(), _guard: guard }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(self.rest.len().min(PIECE_BYTES)))
    }
}

impl<Guard: Unpin> HttpBody for Guarded<Guard> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|frame| {
            Some(frame?.map(|frame| match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    self.piece()
                }
                Err(trailers) => trailers,
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
