//! The REST interface as the operator's commands use it: like any other client.

pub mod accounts;
pub mod console;
mod error;
pub mod invocation;
mod retry;
mod tool_error;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use decider::Command;
use domain::commands::{AnyCommand, COMMANDS, CommandSpec};
use events::ids::{StreamId, StreamKey, derive_id};
use futures::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use error::{ClientError, Problem};
pub use invocation::Invocation;
pub use tool_error::ToolError;

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// Connections that are kept open while they are not used.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Where the server is, and the token that tells it who is asking.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// Address of the server, such as `http://127.0.0.1:8080` or `localhost:8080`.
    #[arg(long, env = "ANAMNESIS_URL", default_value = "http://127.0.0.1:8080", value_parser = server_url, value_name = "URL")]
    pub url: Url,
    /// Token; by variable or settings file only, never as a flag. By default the administrator's, which the embedded
    /// engine leaves in its data folder.
    #[arg(long, env = "ANAMNESIS_TOKEN", value_name = "TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File of the token.
    #[arg(long, env = "ANAMNESIS_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Data folder of the embedded engine, where the administrator's token is.
    #[arg(long, env = "ANAMNESIS_DATA_DIR", default_value = "anamnesis-data", value_name = "FOLDER")]
    pub data_dir: PathBuf,
}

impl ClientArgs {
    /// Where the token is, if it is not given itself.
    fn token_file(&self) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| self.data_dir.join("admin.token"))
    }
}

/// An address as people write it, also without its scheme.
fn server_url(text: &str) -> Result<Url, String> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.map_err(|error| format!("{error}; an address is of the form http://host:port"))
}

/// An attempt that failed, and how long the server asks to be left alone.
type Failure = (ClientError, Option<Duration>);

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    bearer: HeaderValue,
    url: Url,
    told_of_waiting: Arc<AtomicBool>,
}

/// A command, ready to be sent: the same target and fields always make the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRequest {
    /// The command's name, such as `SignConsent`.
    pub name: &'static str,
    /// The stream in its address.
    pub target: StreamId,
    /// Its address.
    pub path: String,
    /// Its fields as JSON.
    pub body: Vec<u8>,
    /// Derived from address and fields: sending it again changes nothing.
    pub idempotency_key: Uuid,
}

/// What a command was answered with.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Where the log stood after it.
    pub position: u64,
    /// The events that followed.
    pub events: Vec<IgnoredAny>,
    /// Whether the server had carried it out before.
    #[serde(skip)]
    pub repeated: bool,
}

impl CommandRequest {
    /// The command with its target.
    ///
    /// # Panics
    /// Where the domain does not list the command; its tests see to that.
    pub fn of(command: &AnyCommand) -> Self {
        let spec = COMMANDS.iter().find(|spec| spec.name == command.name()).expect("every command is in the list");
        let whole = serde_json::to_value(command).expect("commands serialise to JSON by construction");
        let body = whole["body"].to_string().into_bytes();
        Self::to(spec, command.target(), body)
    }

    /// The command `body` to `target`.
    ///
    /// # Panics
    /// Where the domain does not list the command; its tests see to that.
    pub fn new<C: Command + Serialize>(target: C::Target, body: &C) -> Self {
        let spec = COMMANDS.iter().find(|spec| spec.name == C::NAME).expect("every command is in the domain's list");
        let body = serde_json::to_vec(body).expect("commands serialise to JSON by construction");
        Self::to(spec, target.stream(), body)
    }

    fn to(spec: &CommandSpec, target: StreamId, body: Vec<u8>) -> Self {
        let path = format!("/v1/{}/{}/{}", spec.collection, target.id, spec.path);
        // Whoever knows what may be said can compute it, and it names what is said: it is told to the server alone, which
        // keeps a keyed MAC of it and gives nobody the key.
        let idempotency_key = derive_id("client-command", &[path.as_bytes(), &body]);
        Self { name: spec.name, target, path, body, idempotency_key }
    }

    /// The same command as one of its own to what stands at `version`: sent once more after something else came of the
    /// stream, it is carried out again.
    #[must_use]
    pub fn at_version(mut self, version: u64) -> Self {
        let parts = [self.idempotency_key.as_bytes().as_slice(), &version.to_be_bytes()];
        self.idempotency_key = derive_id("client-command", &parts);
        self
    }
}

impl Client {
    /// A client of the server that `args` name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError`] where the address or the token cannot be used.
    pub fn new(args: &ClientArgs) -> Result<Self, ClientError> {
        if args.url.scheme() != "http" || args.url.host_str().is_none() {
            return Err(ClientError::Address(args.url.clone()));
        }
        let token = match &args.token {
            Some(token) => token.clone(),
            None => {
                let path = args.token_file();
                std::fs::read_to_string(&path).map_err(|source| ClientError::NoToken { path, source })?
            }
        };
        let bearer = bearer(&token)?;
        let http = http()
            .user_agent(concat!("anamnesis/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(REQUEST_TIME_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_nodelay(true)
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, bearer, url: args.url.clone(), told_of_waiting: Arc::default() })
    }

    /// The same server, asked as the account of another token.
    ///
    /// # Errors
    /// [`ClientError`] where the token cannot be used.
    pub fn with_token(&self, token: &str) -> Result<Self, ClientError> {
        Ok(Self { bearer: bearer(token)?, ..self.clone() })
    }

    /// The server's address.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a command until it is answered, within bounds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(&self, command: &CommandRequest) -> Result<Answer, ClientError> {
        let url = self.address(&command.path)?;
        let request = || {
            self.http
                .post(url.clone())
                .header(CONTENT_TYPE, "application/json")
                .header("idempotency-key", command.idempotency_key.to_string())
                .body(command.body.clone())
        };
        let (headers, body) = self.patiently(&request).await?;
        let answer: Answer = self.decode(&body)?;
        Ok(Answer { repeated: headers.contains_key("idempotency-replayed"), ..answer })
    }

    /// Asks a query.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        let url = self.address(path)?;
        let (_, body) = self.patiently(&|| self.http.get(url.clone()).query(query)).await?;
        self.decode(&body)
    }

    /// Asks a query whose answer is text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, ClientError> {
        let url = self.address(path)?;
        let (_, body) = self.patiently(&|| self.http.get(url.clone()).query(query)).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Asks a query whose answer is text with personal data as they are, for a purpose that is recorded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text_for(&self, purpose: &str, path: &str, query: &[(&str, &str)]) -> Result<String, ClientError> {
        let url = self.address(path)?;
        let request = || self.http.get(url.clone()).query(query).header("anamnesis-purpose", purpose);
        let (_, body) = self.patiently(&request).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn address(&self, path: &str) -> Result<Url, ClientError> {
        let base = self.url.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|_| ClientError::Address(self.url.clone()))
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|source| ClientError::Answer { url: self.url.clone(), source })
    }

    /// Sends a request again, with the same key, while the failure may pass.
    async fn patiently(
        &self,
        request: &(dyn Fn() -> RequestBuilder + Sync),
    ) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        let mut attempts = retry::Attempts::new();
        loop {
            let (error, retry_after) = match self.once(request()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !error.may_pass() {
                return Err(error);
            }
            if matches!(error, ClientError::Unreachable { .. }) && !self.told_of_waiting.swap(true, Ordering::Relaxed) {
                eprintln!("{} does not answer; trying again for a while", self.url);
            }
            match attempts.next_pause(retry_after) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Boxed: whoever awaits it does not compile the HTTP client once more.
    fn once(&self, request: RequestBuilder) -> BoxFuture<'_, Result<(HeaderMap, Vec<u8>), Failure>> {
        Box::pin(async move {
            let unreachable = |source| (ClientError::Unreachable { url: self.url.clone(), source }, None);
            let response = request.header(AUTHORIZATION, self.bearer.clone()).send().await.map_err(unreachable)?;
            let (status, retry_after) = (response.status(), retry_after(&response));
            let headers = response.headers().clone();
            let body = response.bytes().await.map_err(unreachable)?;
            if status.is_success() {
                return Ok((headers, body.into()));
            }
            Err((self.failure(status, &body), retry_after))
        })
    }

    fn failure(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            return ClientError::Foreign { url: self.url.clone(), status };
        };
        match status {
            StatusCode::UNAUTHORIZED => ClientError::Unauthenticated(problem),
            StatusCode::FORBIDDEN => ClientError::Forbidden(problem),
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ClientError::Busy(problem)
            }
            status if status.is_server_error() => ClientError::Failed(problem),
            _ => ClientError::Refused(problem),
        }
    }
}

/// A client of HTTP, to be set up further. Who makes one without this panics where the program has been built with TLS
/// for others of its parts.
pub fn http() -> reqwest::ClientBuilder {
    // Whoever was first installed one; all of them are the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut bearer = bearer.map_err(|_| ClientError::MalformedToken)?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use domain::enrolment::subject::EnrolSubject;
    use events::ids::SubjectId;

    use super::*;

    #[test]
    fn the_same_command_is_the_same_request() {
        let target = SubjectId::from(Uuid::nil());
        let first = CommandRequest::new(target, &EnrolSubject::default());
        assert_eq!(first, CommandRequest::new(target, &EnrolSubject::default()));
        assert_eq!(first.path, "/v1/subjects/00000000-0000-0000-0000-000000000000/enrol-subject");
        let other = CommandRequest::new(SubjectId::from(Uuid::max()), &EnrolSubject::default());
        assert_ne!(first.idempotency_key, other.idempotency_key);
    }
}
