//! A body that holds something for as long as it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The body of an answer, and what is given back when it ends.
pub(crate) struct Guarded<Guard> {
    body: Body,
    _guard: Guard,
}

impl<Guard> Guarded<Guard> {
    /// The body; `guard` is dropped with it.
    pub(crate) fn new(body: Body, guard: Guard) -> Self {
        Self { body, _guard: guard }
    }
}

impl<Guard: Unpin> HttpBody for Guarded<Guard> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
