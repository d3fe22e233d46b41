//! What is written: events of about 250 bytes to one of 2,000 streams, about a
//! patient in a trial at a site.

use decider::{Aggregate, Decision, Facts, Halt};
use event_store::log::{Append, Expected, Write};
use events::envelope::{Actor, NewEvent, References};
use events::ids::{PatientId, SiteId, StreamKey, TrialId};
use events::patient::{ObservationRecorded, PatientEvent};
use events::trial::ObservationValue;
use uuid::Uuid;

/// Streams that are written to.
pub const STREAMS: usize = 2_000;
/// Events that every stream holds before commands are measured.
pub const EVENTS_BEFORE: usize = 5;

/// The patient of a stream.
pub fn patient(number: usize) -> PatientId {
    PatientId::from(Uuid::from_u128(0x0100_0000_0000_0000_0000_0000_0000_0000 + number as u128 * 0x9E37_79B9_7F4A_7C15))
}

/// An event of about 250 bytes of payload.
pub fn event() -> PatientEvent {
    PatientEvent::from(ObservationRecorded {
        code: "VITALS".to_owned(),
        value: ObservationValue::Code("x".repeat(160)),
        unit: Some("mm[Hg]".to_owned()),
        observed_at: chrono::DateTime::UNIX_EPOCH,
    })
}

/// What the events of a stream refer to.
pub fn references(number: usize) -> References {
    let id = |kind: u128, of: usize| Uuid::from_u128(kind << 96 | of as u128);
    References::subject(TrialId::from(id(2, number % 20)), SiteId::from(id(3, number % 200)), patient(number))
}

/// One event for a stream that stands at `version`.
pub fn append(number: usize, version: u64, count: usize) -> Append {
    let new = NewEvent::of(&event(), chrono::DateTime::UNIX_EPOCH, references(number));
    let expected = if version == 0 { Expected::NoStream } else { Expected::Exact(version) };
    of_writes(vec![Write { stream: patient(number).stream(), expected, events: vec![new; count] }])
}

/// An append of these writes by a command of its own.
pub fn of_writes(writes: Vec<Write>) -> Append {
    let command_id = Uuid::now_v7();
    Append {
        command_id,
        fingerprint: [7; 32],
        writes,
        guards: Vec::new(),
        actor: Actor::system("bench"),
        correlation_id: command_id,
        causation_id: None,
        trace_context: None,
        refusal: None,
    }
}

/// A stream folded: how many events it has.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counter {
    count: u64,
}

impl Aggregate for Counter {
    type Id = PatientId;
    type Event = PatientEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(mut self, event: &PatientEvent, _occurred_at: chrono::DateTime<chrono::Utc>) -> Self {
        let PatientEvent::ObservationRecorded(_) = event else { return self };
        self.count += 1;
        self
    }
}

/// Decides to add one event.
///
/// # Errors
/// Where the stream is not loaded yet.
pub fn decide(facts: &Facts, number: usize) -> Result<Decision, Halt> {
    facts.get::<Counter>(patient(number))?;
    let decision = Decision::new(references(number), chrono::DateTime::UNIX_EPOCH);
    Ok(decision.append(patient(number), event()))
}
