//! A rebuild of all views beside reading and deserialising the same events.

use std::time::Instant;

use event_store::Store;
use event_store::log::{Expected, Write};
use events::envelope::{NewEvent, References};
use events::ids::{PatientId, ReportId, SiteId, StreamKey, SubjectId, TrialId};
use events::registry::AnyEvent;
use futures::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::measure::{Goal, Row};
use crate::workload::of_writes;
use crate::{Bench, BenchError};

/// Patients of the trial whose events are folded.
const PATIENTS: usize = 2_000;

/// Figure 8.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let events = if bench.is_short() { 30_000 } else { 1_000_000 };
    let database = bench.database().await?;
    let events = fill(&database.store, events).await?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds().min(3) {
        let begun = Instant::now();
        projector::rebuild_all(&database.store, &mut |_, _| {})
            .await
            .map_err(|error| BenchError::Said(format!("{error:?}")))?;
        let ours = events as f64 / begun.elapsed().as_secs_f64();
        rounds.push((ours, read(&database.store, events).await?));
    }
    database.close().await?;
    let figure = format!("events through a rebuild of all views, {events} events, PostgreSQL");
    Ok(vec![Row::new(8, figure, "/s", Goal::AtLeast(0.35), "reading and deserialising them", rounds).so_far(0.13)])
}

/// Events a second that are read and deserialised, and nothing more.
async fn read(store: &Store, events: usize) -> Result<f64, BenchError> {
    let begun = Instant::now();
    let mut after = 0;
    loop {
        let envelopes = store.log.read_all(after, 2_000).await?;
        let Some(last) = envelopes.last() else { break };
        after = last.position;
        for envelope in &envelopes {
            let event = AnyEvent::from_envelope(envelope).map_err(|error| BenchError::Said(error.to_string()))?;
            std::hint::black_box(event);
        }
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

/// A trial whose patients are screened and report their pain; gives how many events there are.
pub async fn fill(store: &Store, events: usize) -> Result<usize, BenchError> {
    let trial_id = TrialId::from(Uuid::now_v7());
    let site_id = SiteId::from(Uuid::now_v7());
    let references = References::trial(trial_id);
    let registered = json!({"protocol": "BENCH", "title": "T", "phase": null, "blinding": "open-label",
        "planned_enrolment": 10_000, "enrolment_mode": "manual"});
    append(store, vec![write(trial_id, references, "TrialRegistered", &registered)?]).await?;
    let patients: Vec<PatientId> = (0..PATIENTS).map(|_| PatientId::from(Uuid::now_v7())).collect();
    let mut streams = Vec::new();
    for (number, patient_id) in patients.iter().enumerate() {
        let references = References::subject(trial_id, site_id, *patient_id);
        let patient = json!({"name": null, "national_id": null, "mobile": null, "birth_date": null, "sex": null});
        streams.push(write(*patient_id, References::patient(*patient_id), "PatientRegistered", &patient)?);
        let screened = json!({"patient_id": patient_id, "trial_id": trial_id, "site_id": site_id,
            "subject_number": number.to_string()});
        streams.push(write(SubjectId::of(*patient_id, trial_id), references, "PatientScreened", &screened)?);
    }
    let reports = events.saturating_sub(streams.len() + 1);
    for number in 0..reports {
        let patient_id = patients[number % PATIENTS];
        let references = References::subject(trial_id, site_id, patient_id);
        let pain = number % 11;
        let submitted = json!({"subject_id": SubjectId::of(patient_id, trial_id), "trial_id": trial_id,
            "site_id": site_id, "patient_id": patient_id, "instrument": "PAIN-NRS", "questionnaire_version": "1",
            "answers": {"PAIN": pain},
            "scores": [{"code": "PAIN", "value": pain, "band": null, "answered": 1, "items": 1}],
            "triggered_rules": [], "started_at": null, "completed_at": "2026-01-01T12:00:00Z",
            "time_zone": null, "device": null, "visit": null});
        streams.push(write(ReportId::from(Uuid::now_v7()), references, "ReportSubmitted", &submitted)?);
    }
    let count = streams.len() + 1;
    let batches: Vec<Vec<Write>> = {
        let mut streams = streams.into_iter().peekable();
        std::iter::from_fn(|| streams.peek().is_some().then(|| streams.by_ref().take(200).collect())).collect()
    };
    let mut appends = futures::stream::iter(batches.into_iter().map(|batch| append(store, batch))).buffer_unordered(8);
    while let Some(appended) = appends.next().await {
        appended?;
    }
    Ok(count)
}

async fn append(store: &Store, writes: Vec<Write>) -> Result<(), BenchError> {
    store.log.append(of_writes(writes)).await?;
    Ok(())
}

/// One event for a new stream; its payload is checked against its type.
fn write(
    id: impl StreamKey,
    references: References,
    event_type: &'static str,
    payload: &Value,
) -> Result<Write, BenchError> {
    let stream = id.stream();
    let contract = events::registry::contracts()
        .into_iter()
        .find(|contract| contract.event_type == event_type && contract.stream_type == stream.kind);
    let contract = contract.ok_or_else(|| BenchError::Said(format!("there is no event {event_type}")))?;
    let bytes = payload.to_string().into_bytes();
    (contract.rewrite)(contract.schema_version, &bytes).map_err(|error| BenchError::Said(format!("{error:?}")))?;
    let event = NewEvent {
        event_type,
        schema_version: contract.schema_version,
        payload: bytes.into(),
        occurred_at: chrono::DateTime::UNIX_EPOCH,
        references,
        typed: None,
    };
    Ok(Write { stream, expected: Expected::NoStream, events: vec![event] })
}
