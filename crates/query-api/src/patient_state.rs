//! What was known about a patient at a moment, folded from the log when it is asked for.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use chrono::{DateTime, Utc};
use event_store::log::{Reference, is_last};
use events::envelope::Envelope;
use events::ids::{PatientId, StreamId, StreamType};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::blinding::{Payload, Shown};
use crate::gaze::{Gaze, Seen};
use crate::history::{PIECE_EVENTS, unknown, until};
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
    /// The fields that the events had set, later ones and corrections in place of earlier ones; of a patient also
    /// `observations`, each as it was corrected, in the order in which they were recorded.
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
    let gaze = Gaze::of(&principal);
    let mut streams = BTreeMap::new();
    let mut after = 0;
    loop {
        let read = api.store.log.read_reference(reference, after, position, PIECE_EVENTS).await;
        let mut events = read.map_err(from_log)?;
        let is_last = is_last(&events, PIECE_EVENTS);
        let seen = api.eyes.look(&gaze, &events).await.map_err(from_log)?;
        api.eyes.open(&mut events).await.map_err(from_log)?;
        // The casebook only tells which reports and visits there are: they have streams of their own.
        for (event, seen) in events.iter().zip(seen).filter(|(event, _)| event.stream.kind != StreamType::Casebook) {
            if let Seen::Shown(shown) = seen {
                fold(&mut streams, event, shown);
            }
        }
        match events.last() {
            Some(last) if !is_last => after = last.position,
            _ => break,
        }
    }
    if streams.is_empty() {
        return Err(unknown(reference, position));
    }
    Ok(from_the_log(&PatientState { streams: streams.into_values().collect(), position }))
}

fn fold(streams: &mut BTreeMap<StreamId, StreamState>, event: &Envelope, shown: Shown) {
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
    let fields = match Payload::of(event, shown) {
        Payload::Whole(raw) => serde_json::from_str(raw.get()).ok(),
        Payload::Blinded(Value::Object(fields)) => Some(fields),
        Payload::Blinded(_) => None,
    };
    tell(&mut state.fields, &event.event_type, fields.unwrap_or_default());
}

/// What the stream's fields are after an event that told this.
fn tell(fields: &mut Map<String, Value>, event_type: &str, mut told: Map<String, Value>) {
    match (event_type, told.remove("changes")) {
        ("ObservationRecorded", _) => {
            if let Value::Array(observations) = fields.entry("observations").or_insert_with(|| Value::Array(Vec::new()))
            {
                observations.push(Value::Object(told));
            }
        }
        ("ObservationCorrected", Some(changes)) => {
            let is_meant = |observation: &&mut Value| {
                ["code", "observed_at"].iter().all(|name| observation.get(name) == told.get(*name))
            };
            let observations = fields.get_mut("observations").and_then(Value::as_array_mut);
            if let Some(observation) = observations.and_then(|known| known.iter_mut().rev().find(is_meant)) {
                apply(observation, changes);
            }
        }
        ("ConsentCorrected", Some(Value::Object(changes))) => {
            // Of an earlier signature nothing stands here any more; `/v1/consents` has them all.
            if fields.get("signature_number") == told.get("signature_number") {
                let own_name = |name: String| match name.as_str() {
                    "withdrawal_scope" => "scope".to_owned(),
                    "withdrawal_reason" => "reason".to_owned(),
                    _ => name,
                };
                apply_all(fields, changes.into_iter().map(|(name, change)| (own_name(name), change)).collect());
            }
        }
        ("ConsentSigned", _) => {
            // Of the withdrawal before it.
            ["scope", "reason", "withdrawn_at", "historical"].iter().for_each(|field| drop(fields.remove(*field)));
            fields.extend(told);
        }
        ("ReportCorrected", Some(Value::Object(mut changes))) => {
            // These the event tells whole.
            for whole in ["answers", "scores"] {
                changes.remove(whole);
                fields.extend(told.remove_entry(whole));
            }
            apply_all(fields, changes);
        }
        (_, Some(Value::Object(changes))) => apply_all(fields, changes),
        _ => fields.extend(told),
    }
}

/// A change takes the place of what stood there; of an object, field by field.
fn apply(known: &mut Value, change: Value) {
    match (known, change) {
        (Value::Object(known), Value::Object(changes)) => apply_all(known, changes),
        (known, change) => *known = change,
    }
}

fn apply_all(fields: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (name, change) in changes {
        apply(fields.entry(name).or_insert(Value::Null), change);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(events: &[(&str, Value)]) -> Value {
        let mut fields = Map::new();
        for (event_type, payload) in events {
            let Value::Object(payload) = payload.clone() else { panic!("{payload} is no object") };
            tell(&mut fields, event_type, payload);
        }
        Value::Object(fields)
    }

    #[test]
    fn every_observation_stays_and_is_corrected_by_itself() {
        let observed = |code: &str, day: &str, value: i32, unit: &str| json!({"code": code, "observed_at": day, "value": value, "unit": unit});
        let corrected = json!({"code": "SYSBP", "observed_at": "D1", "changes": {"value": 152},
            "previous": {"value": 132}, "reason": "misread"});
        let state = told(&[
            ("PatientRegistered", json!({"sex": "F"})),
            ("ObservationRecorded", observed("SYSBP", "D1", 132, "mm[Hg]")),
            ("ObservationRecorded", observed("SYSBP", "D2", 130, "mm[Hg]")),
            ("ObservationRecorded", observed("WEIGHT", "D1", 61, "kg")),
            ("ObservationCorrected", corrected),
        ]);
        let expected = [
            observed("SYSBP", "D1", 152, "mm[Hg]"),
            observed("SYSBP", "D2", 130, "mm[Hg]"),
            observed("WEIGHT", "D1", 61, "kg"),
        ];
        assert_eq!(state, json!({"sex": "F", "observations": expected}));
    }

    #[test]
    fn a_correction_takes_the_place_of_what_it_corrects() {
        let corrected = json!({"changes": {"answers": {"Q1": null, "Q2": 3}, "outcome": "FATAL"},
            "previous": {"answers": {"Q1": 1, "Q2": 2}, "outcome": null}, "reason": "letter"});
        let state = told(&[("E", json!({"answers": {"Q1": 1, "Q2": 2, "Q3": 1}})), ("F", corrected)]);
        assert_eq!(state, json!({"answers": {"Q1": null, "Q2": 3, "Q3": 1}, "outcome": "FATAL"}));
    }
}
