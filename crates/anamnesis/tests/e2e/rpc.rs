//! The gRPC interface as a client sees it, told as REST tells it.

use proto::v1::ExecuteRequest;
use proto::v1::command_service_client::CommandServiceClient;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::api::Answer;

/// A client's end, which connects when it is used.
pub fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).expect("an address").connect_lazy()
}

/// A call with a token, or without.
pub fn call<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).expect("a token is text");
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// Sends the command that REST has at this address.
pub async fn execute(
    channel: &Channel,
    token: Option<&str>,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    let is_at = |spec: &&domain::commands::CommandSpec| {
        spec.collection == parts[0] && parts.get(2).map_or(spec.creates, |path| *path == spec.path)
    };
    let spec = domain::commands::COMMANDS.iter().find(is_at).expect("a command's address");
    let header = |name: &str| {
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value).to_owned()
    };
    let request = ExecuteRequest {
        command: spec.name.to_owned(),
        target_id: parts.get(1).copied().unwrap_or_default().to_owned(),
        fields_json: body.to_string(),
        idempotency_key: header("idempotency-key"),
        if_match: header("if-match"),
    };
    let answered = CommandServiceClient::new(channel.clone()).execute(call(request, token)).await;
    match answered {
        Ok(answered) => {
            let answer = answered.into_inner().answer.expect("an answer");
            Answer { status: StatusCode::OK, body: json!({"version": answer.version, "position": answer.position}) }
        }
        Err(status) if !spec.is_sent() => {
            // To whoever sends it, it does not exist.
            assert_eq!((status.code(), &*fields(&status)), (tonic::Code::InvalidArgument, &["command".to_owned()][..]));
            Answer { status: StatusCode::NOT_FOUND, body: Value::Null }
        }
        Err(status) => told(&status),
    }
}

/// The fields that are at fault.
fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

/// The problem that a status tells, as REST tells it.
pub fn told(status: &Status) -> Answer {
    let information = status.get_details_error_info().unwrap_or_else(|| panic!("why? {status:?}"));
    let of = |name: &str| information.metadata.get(name).cloned().unwrap_or_default();
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    let errors: Vec<Value> = violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| json!({"field": violation.field, "rule": violation.reason, "message": violation.description}))
        .collect();
    let number: u16 = of("http_status").parse().unwrap_or_else(|_| panic!("{status:?}"));
    let body = json!({"type": of("type"), "detail": status.message(), "errors": errors});
    Answer { status: StatusCode::from_u16(number).expect("a status"), body }
}
