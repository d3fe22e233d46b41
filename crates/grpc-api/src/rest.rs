//! Asking the REST interface in this process.

use std::fmt::Display;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::auth::Principal;
use service::connections::Peer;
use tonic::Status;
use tower::ServiceExt as _;

use crate::status;

/// What may stand in an address as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// What a call's metadata say that a request's headers say as well.
const PASSED_ON: [HeaderName; 1] = [HeaderName::from_static("anamnesis-purpose")];
/// How far a view stands that an answer was read from.
const POSITION: &str = "anamnesis-position";

/// The REST interface of this process.
#[derive(Clone)]
pub struct Rest {
    router: Router,
}

/// Who calls, as the transport tells.
pub struct Caller {
    headers: HeaderMap,
    principal: Option<Principal>,
    peer: Option<Peer>,
}

impl Caller {
    /// Who makes this call.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let metadata: &HeaderMap = request.metadata().as_ref();
        let extensions = request.extensions();
        let mut headers = HeaderMap::new();
        for name in PASSED_ON {
            headers.extend(metadata.get(&name).map(|value| (name, value.clone())));
        }
        Self { principal: extensions.get().cloned(), peer: extensions.get().copied(), headers }
    }

    /// The same caller, who asks once more.
    pub fn again(&self) -> Self {
        Self { headers: self.headers.clone(), principal: self.principal.clone(), peer: self.peer }
    }

    /// The same, with a header more.
    pub fn with(mut self, name: &'static str, value: &str) -> Result<Self, Status> {
        let malformed = |_| status::invalid(name, "malformed", "It must be visible ASCII characters.");
        self.headers.insert(HeaderName::from_static(name), value.parse().map_err(malformed)?);
        Ok(self)
    }
}

/// An answer that is there as a whole.
pub struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// The position that the answer is as of.
    pub fn position(&self) -> u64 {
        let value = self.headers.get(POSITION).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Whether the answer has this header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// The body, read as this message.
    ///
    /// # Errors
    /// Where it is none: a fault of this program.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Status> {
        serde_json::from_slice(&self.body).map_err(|error| status::misfit(&error))
    }
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What the next one begins behind.
    pub next: Option<String>,
    /// How far the view stood.
    pub position: u64,
}

impl Rest {
    /// All of it.
    pub const fn new(router: Router) -> Self {
        Self { router }
    }

    /// The routes themselves.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Asks a query.
    ///
    /// # Errors
    /// The problem that it is answered with.
    pub async fn get(&self, caller: Caller, address: &Address) -> Result<Answer, Status> {
        whole(self.follow(caller, address).await?).await
    }

    /// Asks a query whose answer goes on.
    ///
    /// # Errors
    /// The problem that it is answered with.
    pub async fn follow(&self, caller: Caller, address: &Address) -> Result<Response<Body>, Status> {
        self.ask(caller, Method::GET, &address.0, Body::empty()).await
    }

    /// Sends a command.
    ///
    /// # Errors
    /// The problem that it is answered with.
    pub async fn post(&self, mut caller: Caller, address: &Address, body: String) -> Result<Answer, Status> {
        caller.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        whole(self.ask(caller, Method::POST, &address.0, Body::from(body)).await?).await
    }

    async fn ask(&self, caller: Caller, method: Method, address: &str, body: Body) -> Result<Response<Body>, Status> {
        let request = Request::builder().method(method).uri(address);
        let mut request =
            request.body(body).map_err(|_| Status::invalid_argument("It cannot be part of an address."))?;
        request.headers_mut().extend(caller.headers);
        let extensions = request.extensions_mut();
        if let Some(principal) = caller.principal {
            extensions.insert(principal);
        }
        if let Some(peer) = caller.peer {
            extensions.insert(peer);
        }
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        match response.status().is_success() {
            true => Ok(response),
            false => Err(status::of(response).await),
        }
    }
}

async fn whole(response: Response<Body>) -> Result<Answer, Status> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| status::cut_off())?.to_bytes();
    Ok(Answer { headers: parts.headers, body })
}

/// An address of the REST interface.
pub struct Address(String);

impl Address {
    /// Below `/v1`; what callers name is given apart, by [`Address::then`] and [`Address::with`].
    pub fn of(path: &'static str) -> Self {
        Self(format!("/v1/{path}"))
    }

    /// A further part, given by the caller.
    #[must_use]
    pub fn then(mut self, part: &str) -> Self {
        self.0.push('/');
        self.0.extend(utf8_percent_encode(part, PLAIN));
        self
    }

    /// A further part of the interface's own.
    #[must_use]
    pub fn then_plain(mut self, part: &'static str) -> Self {
        self.0.push('/');
        self.0.push_str(part);
        self
    }

    /// With a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(&value.to_string(), PLAIN));
        self
    }

    /// With a parameter, where there is something to say.
    #[must_use]
    pub fn with_any(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    /// Which page; as long as the interface makes it where `size` is 0.
    #[must_use]
    pub fn page(self, size: u32, token: &str, at_least: &str) -> Self {
        let address = self.with_any("after", token).with_any("at_least", at_least);
        if size > 0 { address.with("limit", size) } else { address }
    }

    /// With a parameter that may be repeated.
    #[must_use]
    pub fn with_each(self, name: &str, values: &[String]) -> Self {
        values.iter().fold(self, |address, value| address.with(name, value))
    }
}
