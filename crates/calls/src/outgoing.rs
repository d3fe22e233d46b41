//! What is asked, and what became of one try.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};

/// A call, ready to be made as often as needed.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The path behind the address, with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether the same call may be made again where it is not known what became of it: it changes nothing, or carries a key by
    /// which the other side knows it again.
    pub idempotent: bool,
}

impl Outgoing {
    /// A question.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: Bytes::new(), idempotent: true }
    }

    /// Something that changes something, perhaps each time that it is sent.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), idempotent: false, ..Self::get(path) }
    }

    /// The same, with a header more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same, of which the other side knows that it is the same when it comes again.
    #[must_use]
    pub const fn known_again(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// How long the other side asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Whether the same may be answered otherwise in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => true,
            // Others were faster; who says when to come again says that it is worth it.
            StatusCode::CONFLICT => self.headers.contains_key(RETRY_AFTER),
            _ => false,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The name of the address is not known now.
    #[error("the name could not be looked up")]
    Unresolved(#[source] std::io::Error),
    /// Nothing was sent.
    #[error("no connection came about")]
    Connect(#[source] reqwest::Error),
    /// Something may have been sent, and what became of it is not known.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// The same.
    #[error("no answer came within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The answer is longer than any that is read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// Too much failed of late: nothing was sent.
    #[error("it is left alone for a while, because too much failed")]
    LeftAlone,
    /// It cannot be sent.
    #[error("the request cannot be made")]
    Malformed(#[source] reqwest::Error),
}

impl Failure {
    /// Whether the same may go well in a moment: at once where nothing was sent, otherwise only what may be sent twice.
    pub(crate) const fn may_pass(&self, idempotent: bool) -> bool {
        match self {
            Failure::Unresolved(_) | Failure::Connect(_) | Failure::LeftAlone => true,
            Failure::Broken(_) | Failure::TimedOut(_) => idempotent,
            Failure::TooLong(_) | Failure::Malformed(_) => false,
        }
    }

    /// Whether it may have been sent.
    pub const fn may_have_arrived(&self) -> bool {
        matches!(self, Failure::Broken(_) | Failure::TimedOut(_) | Failure::TooLong(_))
    }
}
