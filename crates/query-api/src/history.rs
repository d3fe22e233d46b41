//! A patient's history: every event about them, in order, as it is or as it was known.

use std::collections::BTreeMap;
use std::fmt;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use event_store::log::{LogError, Reference};
use events::envelope::{Actor, Envelope, References};
use events::ids::{PatientId, StreamId};
use futures::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;

use crate::QueryApi;
use crate::blinding::blind;
use crate::lists::uuid_in_path;
use crate::parameters::Parameters;
use crate::render::{from_log, log};

/// Events of a page where the caller does not say.
const LIMIT_DEFAULT: usize = 500;
/// Events of a page at most.
const LIMIT_MAX: usize = 1_000;
/// Events that are read at a time where all are wanted: more than most patients have.
const PIECE_EVENTS: usize = 4_000;
/// The columns of the CSV form.
const CSV_HEADER: &str = "position,recorded_at,occurred_at,type,stream_type,stream_id,version,actor,role,\
     command_id,correlation_id,causation_id,event_id,payload\n";

/// What form the history takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Ndjson,
    Csv,
}

/// `GET /v1/patients/<id>/history`.
pub async fn patient(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patient_id = PatientId::from(uuid_in_path(&id)?);
    let mut parameters = Parameters::of(&uri)?;
    let to_position = until(&api, &mut parameters).await?;
    let after = parameters.position("after")?.unwrap_or(0);
    let limit = limit(&mut parameters)?;
    let form = form(&mut parameters, &headers)?;
    parameters.finish()?;
    let reference = Reference::Patient(patient_id);
    // One more than is shown tells whether more follows.
    let wanted = if form == Form::Json { limit + 1 } else { PIECE_EVENTS };
    let events = api.store.log.read_reference(reference, after, to_position, wanted).await.map_err(from_log)?;
    let nothing = async || match events.first() {
        None if after > 0 => Ok(api.store.log.read_reference(reference, 0, to_position, 1).await?.is_empty()),
        first => Ok(first.is_none()),
    };
    if nothing().await.map_err(from_log)? {
        let detail = format!("Nothing is known about a patient {patient_id} up to position {to_position}.");
        return Err(Problem::not_found("not-found", detail));
    }
    match form {
        Form::Json => page(&api, &principal, reference, &events, to_position, limit).await,
        Form::Ndjson | Form::Csv => Ok(streamed(api, principal, reference, events, to_position, form)),
    }
}

/// The position up to which the caller wants to know: now, or as of a time or position.
async fn until(api: &QueryApi, parameters: &mut Parameters) -> Result<u64, Problem> {
    let (at_position, as_of) = (parameters.position("at_position")?, parameters.time("as_of")?);
    match (at_position, as_of) {
        (Some(_), Some(_)) => Err(Problem::invalid("as_of", "exclusive", "Give either `as_of` or `at_position`.")),
        (Some(position), None) => Ok(position),
        (None, Some(time)) => api.store.log.position_at(time).await.map_err(from_log),
        (None, None) => api.store.log.head().await.map_err(from_log),
    }
}

fn limit(parameters: &mut Parameters) -> Result<usize, Problem> {
    let expected = format!("a whole number from 1 to {LIMIT_MAX}");
    let limit = parameters.parsed("limit", &expected)?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Problem::invalid("limit", "out-of-range", format!("`limit` must be {expected}.")));
    }
    Ok(limit)
}

fn form(parameters: &mut Parameters, headers: &HeaderMap) -> Result<Form, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let wanted = parameters.text("format");
    match wanted.as_deref() {
        Some("json") => Ok(Form::Json),
        Some("ndjson") => Ok(Form::Ndjson),
        Some("csv") => Ok(Form::Csv),
        Some(_) => Err(Problem::invalid("format", "malformed", "`format` must be json, ndjson or csv.")),
        None if accept.contains("application/x-ndjson") => Ok(Form::Ndjson),
        None if accept.contains("text/csv") => Ok(Form::Csv),
        None => Ok(Form::Json),
    }
}

async fn page(
    api: &QueryApi,
    principal: &Principal,
    reference: Reference,
    events: &[Envelope],
    to_position: u64,
    limit: usize,
) -> Result<Response, Problem> {
    let more = events.len() > limit;
    let events = &events[..events.len().min(limit)];
    let next = events.last().filter(|_| more).map(|event| event.position.to_string());
    let items: Vec<Entry<'_>> = events.iter().map(|event| Entry::new(event, principal)).collect();
    let state = known_state(api, principal, reference, to_position).await.map_err(from_log)?;
    Ok(Json(json!({"items": items, "next": next, "position": to_position, "state": state})).into_response())
}

/// One event as the history tells it.
#[derive(Serialize)]
pub struct Entry<'event> {
    position: u64,
    recorded_at: DateTime<Utc>,
    occurred_at: DateTime<Utc>,
    r#type: &'event str,
    schema_version: u16,
    stream: StreamId,
    version: u64,
    event_id: Uuid,
    actor: &'event Actor,
    command_id: Uuid,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    #[serde(flatten)]
    references: References,
    payload: Payload<'event>,
}

/// A payload as the caller may see it.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'event> {
    /// Byte by byte as it was written.
    Whole(&'event RawValue),
    /// Without treatment allocation.
    Blinded(Value),
}

impl<'event> Entry<'event> {
    /// The event as the caller may see it.
    pub fn new(event: &'event Envelope, principal: &Principal) -> Self {
        let whole = principal.actor.role.sees_allocation();
        let payload = match serde_json::from_slice(&event.payload) {
            Ok(raw) if whole => Payload::Whole(raw),
            _ => Payload::Blinded(payload(event, principal)),
        };
        Self {
            position: event.position,
            recorded_at: event.recorded_at,
            occurred_at: event.occurred_at,
            r#type: &event.event_type,
            schema_version: event.schema_version,
            stream: event.stream,
            version: event.version,
            event_id: event.event_id,
            actor: &event.actor,
            command_id: event.command_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            references: event.references,
            payload,
        }
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// The payload's fields as the caller may see them.
fn payload(event: &Envelope, principal: &Principal) -> Value {
    let mut payload = serde_json::from_slice(&event.payload).unwrap_or(Value::Null);
    blind(principal.actor.role, &mut payload);
    payload
}

/// What was known at the position: for every stream the fields that its events
/// had set, later ones in place of earlier ones, and which event was the last.
async fn known_state(
    api: &QueryApi,
    principal: &Principal,
    reference: Reference,
    to_position: u64,
) -> Result<Vec<Value>, LogError> {
    let mut streams: BTreeMap<String, (Map<String, Value>, Value)> = BTreeMap::new();
    let mut after = 0;
    loop {
        let events = api.store.log.read_reference(reference, after, to_position, PIECE_EVENTS).await?;
        for event in &events {
            let (fields, about) = streams.entry(event.stream.to_string()).or_default();
            if let Value::Object(payload) = payload(event, principal) {
                fields.extend(payload);
            }
            *about = json!({
                "stream": event.stream, "version": event.version, "last_event": event.event_type,
                "last_changed_at": event.recorded_at,
            });
        }
        match events.last() {
            Some(last) if events.len() == PIECE_EVENTS => after = last.position,
            _ => break,
        }
    }
    let state = streams.into_values().map(|(fields, mut about)| {
        about["fields"] = Value::Object(fields);
        about
    });
    Ok(state.collect())
}

/// The whole history piece by piece, `first` the first of them: memory stays
/// the same however long it is.
fn streamed(
    api: QueryApi,
    principal: Principal,
    reference: Reference,
    first: Vec<Envelope>,
    to_position: u64,
    form: Form,
) -> Response {
    let pieces = stream::unfold(Some(Ok(first)), move |piece: Option<Result<Vec<Envelope>, LogError>>| {
        let (api, principal) = (api.clone(), principal.clone());
        async move {
            match piece? {
                Ok(events) => {
                    let last = events.last()?.position;
                    let written = Bytes::from(lines(&events, &principal, form));
                    let more = events.len() == PIECE_EVENTS;
                    let next = api.store.log.read_reference(reference, last, to_position, PIECE_EVENTS);
                    Some((Ok(written), if more { Some(next.await) } else { None }))
                }
                // The status is sent already: breaking off tells the client that it is not whole.
                Err(error) => {
                    log(&error);
                    Some((Err(error), None))
                }
            }
        }
    });
    let kind = if form == Form::Csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    let header_line = if form == Form::Csv { CSV_HEADER } else { "" };
    let begin = stream::iter([Ok(Bytes::from_static(header_line.as_bytes()))]);
    let body = Body::from_stream(futures::StreamExt::chain(begin, pieces));
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn lines(events: &[Envelope], principal: &Principal, form: Form) -> String {
    let mut text = String::new();
    for event in events {
        match form {
            Form::Csv => text.push_str(&csv_line(event, principal)),
            Form::Json | Form::Ndjson => text.extend([&*Entry::new(event, principal).to_string(), "\n"]),
        }
    }
    text
}

fn csv_line(event: &Envelope, principal: &Principal) -> String {
    let role = serde_json::to_value(event.actor.role).unwrap_or_default();
    let fields = [
        event.position.to_string(),
        event.recorded_at.to_rfc3339(),
        event.occurred_at.to_rfc3339(),
        event.event_type.clone(),
        event.stream.kind.to_string(),
        event.stream.id.to_string(),
        event.version.to_string(),
        event.actor.id.clone(),
        role.as_str().unwrap_or_default().to_owned(),
        event.command_id.to_string(),
        event.correlation_id.to_string(),
        event.causation_id.map(|id| id.to_string()).unwrap_or_default(),
        event.event_id.to_string(),
        payload(event, principal).to_string(),
    ];
    let quoted = fields.map(|field| {
        if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    });
    format!("{}\n", quoted.join(","))
}
