//! One handler for every command: parse, execute, render.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::access::{Authorised, AuthorityError};
use domain::commands::{AnyCommand, CommandSpec};
use event_store::execute::{Executed, Request};
use event_store::log::RecordedEvent;
use events::envelope::{Actor, Role};
use events::ids::StreamId;
use events::messaging::notification::Urgency;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;
use service::trace;
use uuid::Uuid;

use crate::CommandApi;
use crate::headers::{command_id, if_match, require_json};
use crate::problems::{from_body, from_execute, from_rejection};
use crate::sending::sender;

/// What a command is answered with.
#[derive(Serialize)]
struct Answer {
    stream: StreamId,
    version: u64,
    position: u64,
    events: Vec<RecordedEvent>,
}

/// `POST /v1/<collection>`: creates, with an id that the server derives.
pub async fn create(
    spec: &'static CommandSpec,
    State(api): State<CommandApi>,
    principal: Principal,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let marks = api.executor.marks().map_err(from_execute)?;
    let command_id = command_id(marks, &principal, &headers)?;
    // From the command's id, so that a repeated command names the same thing.
    let target = Target::New(marks.created_by(spec.name, command_id));
    counted(spec.name, decide(&api, principal, spec, target, command_id, &headers, body)).await
}

/// `POST /v1/<collection>/<id>/<command>`.
pub async fn execute(
    spec: &'static CommandSpec,
    State(api): State<CommandApi>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let id = Uuid::try_parse(&id)
        .map_err(|_| Problem::invalid("id", "malformed", "The id in the address must be a UUID."))?;
    let marks = api.executor.marks().map_err(from_execute)?;
    let command_id = command_id(marks, &principal, &headers)?;
    counted(spec.name, decide(&api, principal, spec, Target::Named(id), command_id, &headers, body)).await
}

/// What the command is about.
#[derive(Clone, Copy)]
enum Target {
    /// The address names it.
    Named(Uuid),
    /// Nobody does.
    New(Uuid),
}

/// Waits for what becomes of a command; counts and times it.
async fn counted(
    command: &'static str,
    answer: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let answered = answer.await;
    let outcome = match &answered {
        Ok(_) => "done",
        Err(problem) if problem.status().is_server_error() => "failed",
        Err(problem) => {
            let rule = problem.rule().to_owned();
            metrics::counter!("anamnesis_command_refusals_total", "command" => command, "rule" => rule).increment(1);
            "refused"
        }
    };
    metrics::counter!("anamnesis_commands_total", "command" => command, "outcome" => outcome).increment(1);
    let seconds = begun.elapsed().as_secs_f64();
    metrics::histogram!("anamnesis_command_duration_seconds", "command" => command).record(seconds);
    answered
}

async fn decide(
    api: &CommandApi,
    principal: Principal,
    spec: &'static CommandSpec,
    target: Target,
    command_id: Uuid,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    require_duty(api, &principal, spec).await?;
    require_json(headers)?;
    let body = body.map_err(from_rejection)?;
    let (id, target_named) = match target {
        Target::Named(id) => (id, true),
        Target::New(id) => (id, false),
    };
    let command = (spec.parse)(id, &body).map_err(|error| from_body(spec, &body, error))?;
    if let AnyCommand::RequestNotification { body, .. } = &command
        && body.urgency == Urgency::Bulk
    {
        api.backlog.admit_bulk()?;
    }
    let request = Request {
        command_id,
        // Of the command as this program understands it: blanks and the order of fields do not make another one.
        fingerprint: api.executor.marks().map_err(from_execute)?.fingerprint(&command.to_json()),
        // In which role is decided with the command.
        actor: Actor { id: principal.username.to_string(), role: Role::Participant, organisation: None },
        target: command.target(),
        creates: spec.creates,
        if_match: if_match(headers)?,
        correlation_id: None,
        causation_id: None,
        trace_context: trace::current().map(|trace| trace.traceparent()),
        keep_refusal: false,
        target_named,
    };
    let target = command.target();
    let authorised = Authorised::new(command, spec, sender(&principal));
    let executed = api.executor.execute(&request, &authorised).await.map_err(from_execute)?;
    Ok(render(spec, target, executed))
}

/// Refuses a command that none of the sender's roles may send, before anything of it is looked at. Whether they may
/// send this one, is decided with it.
async fn require_duty(api: &CommandApi, principal: &Principal, spec: &CommandSpec) -> Result<(), Problem> {
    // Who is asking may be known as of a while ago.
    if principal.duties.contains(&spec.duty)
        || api.accounts.of(principal.identity_id).await?.duties.contains(&spec.duty)
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        AuthorityError::NOT_A_DUTY,
        AuthorityError::NotADuty(spec.name).to_string(),
    ))
}

fn render(spec: &CommandSpec, target: StreamId, executed: Executed) -> Response {
    let Executed { receipt, repeated, seen } = executed;
    let stream = receipt.events.first().map_or(target, |event| event.stream);
    let version = receipt.events.iter().filter(|event| event.stream == stream).map(|event| event.version).max();
    let answer =
        Answer { stream, version: version.or(seen).unwrap_or(0), position: receipt.position, events: receipt.events };
    let status = match (spec.accepted, spec.creates) {
        (true, _) => StatusCode::ACCEPTED,
        (false, true) => StatusCode::CREATED,
        (false, false) => StatusCode::OK,
    };
    let mut response = (status, Json(answer)).into_response();
    let headers = response.headers_mut();
    if (spec.creates || spec.accepted)
        && let Ok(location) = HeaderValue::from_str(&format!("/v1/{}/{}", spec.collection, target.id))
    {
        headers.insert(header::LOCATION, location);
    }
    if repeated {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}
