//! The REST interface as the operator's commands use it: like any other client.

pub mod accounts;
pub mod console;
mod error;
pub mod invocation;
mod tool_error;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub use calls::http;
use calls::{Address, Outgoing, Policy, Reply, Service};
use clap::Args;
use decider::Command;
use domain::commands::{AnyCommand, COMMANDS, CommandSpec};
use events::ids::{StreamId, StreamKey, derive_id};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use error::{ClientError, Problem};
pub use invocation::Invocation;
use invocation::URL;
pub use tool_error::ToolError;

/// How our tools call: whoever waits for them has them try for a while, and there is nobody else to be asked instead.
fn policy() -> Policy {
    Policy {
        connect_within: Duration::from_secs(5),
        per_try: Duration::from_secs(60),
        in_all: Duration::from_secs(180),
        repeats_max: 10,
        budget: None,
        answer_bytes_max: 1024 * 1024 * 1024,
        tells_deadline: true,
        ..Policy::default()
    }
}

/// Where the server is, and the token that tells it who is asking.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// Address of the server, such as `http://127.0.0.1:8080` or `localhost:8080`; of several that do the same, with commas in
    /// between.
    #[arg(
        long = "url",
        env = "ANAMNESIS_URL",
        default_value = "http://127.0.0.1:8080",
        value_delimiter = ',',
        value_name = "URL,…"
    )]
    pub urls: Vec<Address>,
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
    /// The address of the server, the first of several.
    pub fn url(&self) -> &Url {
        static USUAL: LazyLock<Url> = LazyLock::new(|| Url::parse(URL).expect("an address"));
        self.urls.first().map_or(&USUAL, Address::url)
    }

    /// Where the token is, if it is not given itself.
    fn token_file(&self) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| self.data_dir.join("admin.token"))
    }
}

/// A client of one server, or of several that do the same.
#[derive(Clone)]
pub struct Client {
    service: Service,
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
        let token = match &args.token {
            Some(token) => token.clone(),
            None => {
                let path = args.token_file();
                std::fs::read_to_string(&path).map_err(|source| ClientError::NoToken { path, source })?
            }
        };
        let (bearer, url) = (bearer(&token)?, args.url().clone());
        let service = Service::new("anamnesis", args.urls.clone(), policy());
        Ok(Self { service, bearer, url, told_of_waiting: Arc::default() })
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
        let key =
            HeaderValue::from_str(&command.idempotency_key.to_string()).map_err(|_| ClientError::MalformedToken)?;
        let outgoing = Outgoing::post(&command.path, command.body.clone())
            .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with(HeaderName::from_static("idempotency-key"), key)
            .known_again();
        let reply = self.ask(outgoing).await?;
        let answer: Answer = self.decode(&reply.body)?;
        Ok(Answer { repeated: reply.headers.contains_key("idempotency-replayed"), ..answer })
    }

    /// Asks a query.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.decode(&self.ask(Outgoing::get(with_query(path, query))).await?.body)
    }

    /// Asks a query whose answer is text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, ClientError> {
        let reply = self.ask(Outgoing::get(with_query(path, query))).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// Asks a query whose answer is text with personal data as they are, for a purpose that is recorded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text_for(&self, purpose: &str, path: &str, query: &[(&str, &str)]) -> Result<String, ClientError> {
        let malformed =
            || ClientError::Refused(Problem::of("malformed", "the purpose must be visible ASCII characters"));
        let purpose = HeaderValue::from_str(purpose).map_err(|_| malformed())?;
        let outgoing =
            Outgoing::get(with_query(path, query)).with(HeaderName::from_static("anamnesis-purpose"), purpose);
        Ok(String::from_utf8_lossy(&self.ask(outgoing).await?.body).into_owned())
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|source| ClientError::Answer { url: self.url.clone(), source })
    }

    /// Asks until there is an answer, under one trace.
    async fn ask(&self, outgoing: Outgoing) -> Result<Reply, ClientError> {
        let trace = format!("00-{:032x}-{:016x}-01", Uuid::now_v7().as_u128(), rand::random_range(1..=u64::MAX));
        let mut outgoing = outgoing.with(AUTHORIZATION, self.bearer.clone());
        if let Ok(trace) = HeaderValue::from_str(&trace) {
            outgoing = outgoing.with(HeaderName::from_static("traceparent"), trace);
        }
        let mut told = |_: &calls::Failure| {
            if !self.told_of_waiting.swap(true, Ordering::Relaxed) {
                eprintln!("{} does not answer; trying again for a while", self.url);
            }
        };
        let reply = self.service.ask_within(&outgoing, Duration::MAX, &mut told).await;
        let reply =
            reply.map_err(|source| ClientError::Unreachable { url: self.url.clone(), source: Box::new(source) })?;
        if reply.status.is_success() { Ok(reply) } else { Err(self.failure(reply.status, &reply.body)) }
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

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (number, (name, value)) in query.iter().enumerate() {
        address.push(if number == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        address.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    address
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut bearer = bearer.map_err(|_| ClientError::MalformedToken)?;
    bearer.set_sensitive(true);
    Ok(bearer)
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
