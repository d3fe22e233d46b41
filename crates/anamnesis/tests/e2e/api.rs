//! The HTTP interface as a client sees it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tonic::transport::Channel;

use crate::rpc;

/// A client with one token, which spreads its requests over all processes of a side.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    command_urls: Vec<String>,
    query_urls: Vec<String>,
    token: Option<String>,
    turn: std::sync::Arc<AtomicUsize>,
    /// By which commands are sent instead.
    grpc: Option<Channel>,
}

/// An answer: its status and its body as JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The body of a successful answer.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {:#}", self.status, self.body);
        self.body
    }

    /// Asserts a refusal by the rule named, with this status.
    #[track_caller]
    pub fn refused(self, status: u16, rule: &str) {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        assert_eq!(self.body["type"], format!("urn:anamnesis:problem:{rule}"), "{:#}", self.body);
    }
}

impl Api {
    pub fn new(command_urls: Vec<String>, query_urls: Vec<String>, token: String) -> Self {
        let http = client::http().timeout(Duration::from_secs(60)).build().expect("a client");
        Self { http, command_urls, query_urls, token: Some(token), turn: Default::default(), grpc: None }
    }

    /// Where commands are sent to.
    pub fn command_url(&self) -> &str {
        &self.command_urls[0]
    }

    /// Where queries are sent to.
    pub fn query_url(&self) -> &str {
        &self.query_urls[0]
    }

    /// Whether a query is answered well; not where nobody answers yet.
    pub async fn get_raw_checked(&self, path: &str) -> bool {
        let answer = self.request(Method::GET, path).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The same system, to which commands are sent by gRPC.
    pub fn by_grpc(&self) -> Self {
        Self { grpc: Some(rpc::channel(self.command_url())), ..self.clone() }
    }

    /// The same system with another token, or none.
    pub fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Sends a command.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    /// Sends a command with headers.
    pub async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        self.try_post(path, body, headers).await.expect("an answer")
    }

    /// Sends a command to a system that may be down.
    pub async fn try_post(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> reqwest::Result<Answer> {
        if let Some(channel) = &self.grpc {
            return Ok(rpc::execute(channel, self.token(), path, &body, headers).await);
        }
        let mut request = self.request(Method::POST, path).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send().await?).await
    }

    /// Asks a query.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.get_raw(path).await).await.expect("an answer")
    }

    /// Asks a query and gives the response as it comes.
    pub async fn get_raw(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }

    /// A request to the side that serves the method.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let is_written = method == Method::POST || path.starts_with("/v1/uploads/");
        let urls = if is_written { &self.command_urls } else { &self.query_urls };
        let url = &urls[self.turn.fetch_add(1, Ordering::Relaxed) % urls.len()];
        let request = self.http.request(method, format!("{url}{path}"));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks until the answer satisfies `condition`.
    #[track_caller]
    pub fn until(&self, path: &str, what: &str, condition: impl Fn(&Value) -> bool) -> impl Future<Output = Value> {
        let (api, path, what) = (self.clone(), path.to_owned(), what.to_owned());
        async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            loop {
                let answer = api.get(&path).await;
                if answer.status.is_success() && condition(&answer.body) {
                    return answer.body;
                }
                assert!(tokio::time::Instant::now() < deadline, "never {what}: {} {:#}", answer.status, answer.body);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(response: Response) -> reqwest::Result<Answer> {
    let status = response.status();
    let text = response.text().await?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    Ok(Answer { status, body })
}
