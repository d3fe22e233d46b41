//! Asking OpenBao or Vault, and what its answers mean.

use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::{TransitError, TransitOptions};
use crate::master::MasterError;
use crate::private_file;

/// The first pause before a request is repeated; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The way to the server.
#[derive(Debug)]
pub struct Connection {
    http: Client,
    url: String,
    token_file: PathBuf,
    token: RwLock<Option<HeaderValue>>,
    patience: Duration,
}

/// What the server answers with, other than nothing.
#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<String>,
}

/// Why the server does not answer, where it is reached.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {}", errors.join("; "))]
struct Unavailable {
    status: StatusCode,
    errors: Vec<String>,
}

/// An answer that says no.
enum Refusal {
    Away(Box<dyn std::error::Error + Send + Sync>),
    Token(String),
    Other(String),
}

impl Connection {
    /// A way to the server; nothing is connected yet.
    ///
    /// # Errors
    /// [`TransitError`].
    pub fn new(options: &TransitOptions) -> Result<Self, TransitError> {
        let url = options.url.trim_end_matches('/').to_owned();
        let parsed = Url::parse(&url).map_err(|_| TransitError::Address(url.clone()))?;
        let is_here = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_here) {
            return Err(TransitError::Address(url));
        }
        // Whoever was first installed one; all of them are the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut http = Client::builder()
            .user_agent(concat!("anamnesis/", env!("CARGO_PKG_VERSION")))
            .timeout(options.answer_within)
            // Neither keys nor the token go anywhere else.
            .redirect(Policy::none())
            .no_proxy();
        if let Some(path) = &options.ca_file {
            let read = std::fs::read(path).map_err(|error| TransitError::Certificates(path.clone(), error.into()))?;
            let certificates = Certificate::from_pem_bundle(&read);
            let certificates = certificates.map_err(|error| TransitError::Certificates(path.clone(), error.into()))?;
            http = http.tls_certs_merge(certificates);
        }
        Ok(Self {
            http: http.build().map_err(TransitError::Setup)?,
            url,
            token_file: options.token_file.clone(),
            token: RwLock::new(None),
            patience: options.patience,
        })
    }

    /// Asks until there is an answer, as long as patience lasts; gives its `data`.
    ///
    /// # Errors
    /// [`MasterError`].
    pub async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Zeroizing<String>>,
    ) -> Result<T, MasterError> {
        let deadline = Instant::now() + self.patience;
        let (mut pause, mut renewed) = (FIRST_PAUSE, false);
        let master = || self.url.clone();
        loop {
            let token = self.token().await?;
            let refusal = match self.once(method.clone(), path, body, token.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Other(reason) => return Err(MasterError::Refused { master: master(), reason }),
                // Whoever renews the token may have written another since.
                Refusal::Token(reason) => {
                    *self.token.write().unwrap_or_else(PoisonError::into_inner) = None;
                    if renewed || self.token().await? == token {
                        return Err(MasterError::Refused { master: master(), reason });
                    }
                    renewed = true;
                }
                Refusal::Away(source) if Instant::now() + pause > deadline => {
                    return Err(MasterError::Away { master: master(), source });
                }
                Refusal::Away(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn once<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Zeroizing<String>>,
        token: HeaderValue,
    ) -> Result<T, Refusal> {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.url)).header("x-vault-token", token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.as_bytes().to_vec());
        }
        let away = |error: reqwest::Error| Refusal::Away(Box::new(error.without_url()));
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let bytes = Zeroizing::new(response.bytes().await.map_err(away)?.to_vec());
        // Where nothing is to be said the body is empty.
        let text = if bytes.is_empty() { b"{}" } else { &bytes[..] };
        let envelope: Result<Envelope<T>, _> = serde_json::from_slice(text);
        match status {
            // Of several keys some could not be used: which, is said with each.
            StatusCode::BAD_REQUEST if matches!(&envelope, Ok(Envelope { data: Some(_), .. })) => {}
            status if status.is_success() => {}
            status => {
                let errors = serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(text);
                return Err(refusal(status, errors.map(|answer| answer.errors).unwrap_or_default()));
            }
        }
        let unreadable = || Refusal::Other("its answer cannot be read".to_owned());
        match envelope.map_err(|_| unreadable())?.data {
            Some(data) => Ok(data),
            None => serde_json::from_str("null").map_err(|_| unreadable()),
        }
    }

    /// The token as it was read the last time.
    async fn token(&self) -> Result<HeaderValue, MasterError> {
        let kept = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = kept {
            return Ok(token);
        }
        let path = self.token_file.clone();
        let unusable = |error| MasterError::File(self.token_file.clone(), error);
        let read = tokio::task::spawn_blocking(move || private_file::read(&path)).await;
        let bytes = read.map_err(io::Error::other).and_then(|read| read).map_err(unusable)?;
        let mut token = HeaderValue::from_bytes(bytes.trim_ascii())
            .map_err(|_| unusable(io::Error::new(io::ErrorKind::InvalidData, "the file holds no token")))?;
        token.set_sensitive(true);
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }
}

/// What a status means: <https://openbao.org/api-docs/#http-status-codes>.
fn refusal(status: StatusCode, errors: Vec<String>) -> Refusal {
    let said = if errors.is_empty() { status.to_string() } else { errors.join("; ") };
    match status {
        StatusCode::FORBIDDEN => Refusal::Token(said),
        // Sealed, a standby, at its limits, or broken.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PRECONDITION_FAILED => {
            Refusal::Away(Box::new(Unavailable { status, errors }))
        }
        status if status.is_server_error() || status.is_redirection() => {
            Refusal::Away(Box::new(Unavailable { status, errors }))
        }
        _ => Refusal::Other(said),
    }
}
