//! What was known about a patient at a moment, folded from the log when it is asked for.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use chrono::{DateTime, Utc};
use event_store::log::Reference;
use events::envelope::Envelope;
use events::ids::{PatientId, StreamId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::blinding::Payload;
use crate::history::{PIECE_EVENTS, must_be_known, until};
use crate::lists::uuid_in_path;
use crate::parameters::Parameters;
use crate::render::{from_log, from_the_log};

/// What was known about a patient.
#[derive(Serialize, JsonSchema)]
pub struct PatientState {
    /// What each stream about the patient had told.
    streams: Vec<StreamState>,
    /// Up to where the log was read.
    position: u64,
}

/// What the events of one stream had told.
#[derive(Serialize, JsonSchema)]
struct StreamState {
    stream: StreamId,
    /// The stream's version.
    version: u64,
    /// The type of the last event.
    last_event: String,
    last_changed_at: DateTime<Utc>,
    /// The fields that the events had set, later ones in place of earlier ones.
    fields: Map<String, Value>,
}

/// `GET /v1/patients/<id>/state`: now, or as of a time or position.
pub async fn patient(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let reference = Reference::Patient(PatientId::from(uuid_in_path(&id)?));
    let mut parameters = Parameters::of(&uri)?;
    let position = until(&api, &mut parameters).await?;
    parameters.finish()?;
    must_be_known(&api, reference, position).await?;
    let mut streams = BTreeMap::new();
    let mut after = 0;
    loop {
        let read = api.store.log.read_reference(reference, after, position, PIECE_EVENTS).await;
        let events = read.map_err(from_log)?;
        let allocation = api.blindings.show(&events, principal.actor.role).await.map_err(from_log)?;
        events.iter().zip(allocation).for_each(|(event, shown)| fold(&mut streams, event, shown));
        match events.last() {
            Some(last) if events.len() == PIECE_EVENTS => after = last.position,
            _ => break,
        }
    }
    Ok(from_the_log(&PatientState { streams: streams.into_values().collect(), position }))
}

fn fold(streams: &mut BTreeMap<StreamId, StreamState>, event: &Envelope, allocation_is_shown: bool) {
    let state = streams.entry(event.stream).or_insert_with(|| StreamState {
        stream: event.stream,
        version: 0,
        last_event: String::new(),
        last_changed_at: event.recorded_at,
        fields: Map::new(),
    });
    state.version = event.version;
    state.last_event.clone_from(&event.event_type);
    state.last_changed_at = event.recorded_at;
    let fields = match Payload::of(event, allocation_is_shown) {
        Payload::Whole(raw) => serde_json::from_str(raw.get()).ok(),
        Payload::Blinded(Value::Object(fields)) => Some(fields),
        Payload::Blinded(_) => None,
    };
    state.fields.extend(fields.into_iter().flatten());
}
