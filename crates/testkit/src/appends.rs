//! Appends for tests of what lies below the domain.

use event_store::checkpoints::Checkpoint;
use event_store::log::{Append, EventLog, Expected, Guard, Receipt, Write};
use events::envelope::{Actor, NewEvent, References};
use events::ids::{PatientId, StreamId, StreamKey, TrialId};
use events::patient::{PatientEvent, PatientRegistered};
use uuid::Uuid;

pub use crate::given::some_time;

/// An event about a patient, in a trial where one is given.
pub fn event(patient_id: PatientId, trial_id: Option<TrialId>) -> NewEvent {
    let event = PatientEvent::from(PatientRegistered::default());
    NewEvent::of(&event, some_time(), References { trial_id, site_id: None, patient_id: Some(patient_id) })
}

/// A checkpoint of no log at all; of the beginning at 0.
pub fn place(position: u64) -> Checkpoint {
    Checkpoint { position, event_id: Uuid::from_u128(u128::from(position)) }
}

/// An append of `count` events to a patient's stream.
pub fn append(patient_id: PatientId, expected: Expected, count: usize) -> Append {
    let stream = patient_id.stream();
    let events = (0..count).map(|_| event(patient_id, None)).collect();
    of_writes(vec![Write { stream, expected, events }])
}

/// An append of these writes by a command of its own.
pub fn of_writes(writes: Vec<Write>) -> Append {
    let command_id = Uuid::now_v7();
    Append {
        command_id,
        fingerprint: [7; 32],
        writes,
        guards: Vec::new(),
        actor: Actor::system("test"),
        correlation_id: command_id,
        causation_id: None,
        trace_context: None,
        refusal: None,
    }
}

/// A guard on a stream.
pub const fn guard(stream: StreamId, version: u64) -> Guard {
    Guard { stream, version }
}

/// A new patient.
pub fn patient() -> PatientId {
    PatientId::from(Uuid::now_v7())
}

/// Appends one event each to `count` new patients.
///
/// # Panics
/// Where the log does not take them.
pub async fn fill(log: &dyn EventLog, count: usize) -> Vec<Receipt> {
    let appends = (0..count).map(|_| log.append(append(patient(), Expected::NoStream, 1)));
    let appended = futures::future::join_all(appends).await;
    appended.into_iter().map(|appended| appended.expect("an append").into_receipt()).collect()
}
