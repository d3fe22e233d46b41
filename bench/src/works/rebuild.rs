//! A rebuild of all views beside reading and deserialising the same events.

use std::time::Instant;

use event_store::Store;
use event_store::log::{Expected, Write};
use events::enrolment::subject::{PatientScreened, SubjectEvent};
use events::envelope::{NewEvent, References};
use events::epro::report::{ReportEvent, ReportSubmitted};
use events::ids::{PatientId, ReportId, SiteId, StreamKey, SubjectId, TrialId};
use events::patient::{PatientEvent, PatientRegistered};
use events::registry::AnyEvent;
use events::set::EventSet;
use events::trial::questionnaire::{Answer, Answers, Score};
use events::trial::{Blinding, EnrolmentMode, TrialEvent, TrialRegistered};
use events::values::Quantity;
use futures::StreamExt;
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
    let registered = TrialEvent::from(TrialRegistered {
        protocol: "BENCH".to_owned(),
        title: "T".to_owned(),
        phase: None,
        blinding: Blinding::OpenLabel,
        planned_enrolment: 10_000,
        enrolment_mode: EnrolmentMode::Manual,
    });
    append(store, vec![write(trial_id, references, &registered)]).await?;
    let patients: Vec<PatientId> = (0..PATIENTS).map(|_| PatientId::from(Uuid::now_v7())).collect();
    let mut streams = Vec::new();
    for (number, patient_id) in patients.iter().copied().enumerate() {
        let references = References::subject(trial_id, site_id, patient_id);
        streams.push(write(
            patient_id,
            References::patient(patient_id),
            &PatientEvent::from(PatientRegistered::default()),
        ));
        let screened = PatientScreened { patient_id, trial_id, site_id, subject_number: number.to_string() };
        streams.push(write(SubjectId::of(patient_id, trial_id), references, &SubjectEvent::from(screened)));
    }
    let reports = events.saturating_sub(streams.len() + 1);
    for number in 0..reports {
        let patient_id = patients[number % PATIENTS];
        let references = References::subject(trial_id, site_id, patient_id);
        let submitted = ReportEvent::from(report(number, patient_id, trial_id, site_id));
        streams.push(write(ReportId::from(Uuid::now_v7()), references, &submitted));
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

/// A report of pain, from 0 to 10.
fn report(number: usize, patient_id: PatientId, trial_id: TrialId, site_id: SiteId) -> ReportSubmitted {
    let pain = Quantity::from((number % 11) as i32);
    let completed_at = chrono::DateTime::UNIX_EPOCH;
    ReportSubmitted {
        subject_id: SubjectId::of(patient_id, trial_id),
        trial_id,
        site_id,
        patient_id,
        instrument: "PAIN-NRS".to_owned(),
        questionnaire_version: "1".to_owned(),
        answers: Answers::from([("PAIN".to_owned(), Answer::Number(pain))]),
        scores: vec![Score { code: "PAIN".to_owned(), value: Some(pain), band: None, answered: 1, items: 1 }],
        triggered_rules: Vec::new(),
        started_at: None,
        completed_at,
        completed_on: completed_at.date_naive(),
        time_zone: None,
        device: None,
        visit: None,
        historical: false,
    }
}

/// One event for a new stream.
fn write(id: impl StreamKey, references: References, event: &impl EventSet) -> Write {
    let event = NewEvent::of(event, chrono::DateTime::UNIX_EPOCH, references);
    Write { stream: id.stream(), expected: Expected::NoStream, events: vec![event] }
}
