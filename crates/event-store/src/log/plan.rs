//! What a batch of appends does to the log: one pure function for every engine.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use events::envelope::Envelope;
use events::ids::StreamId;
use uuid::Uuid;

use super::{Append, AppendError, Appended, Expected, KnownCommand, Receipt, RecordedEvent};

/// The log as the writer found it, or as it takes it to be until the storage agrees.
#[derive(Debug, Default)]
pub struct Before {
    /// The head's position.
    pub position: u64,
    /// When the newest event was stored.
    pub recorded_at: DateTime<Utc>,
    /// The version of every stream that the batch names; 0 or absent where it does not exist, or is taken not to.
    pub versions: HashMap<StreamId, u64>,
    /// The commands of the batch that were taken before.
    pub commands: HashMap<Uuid, KnownCommand>,
}

/// What is to be stored, and what each caller is told once it is.
#[derive(Debug)]
pub struct Plan {
    /// The new events, in order of position.
    pub events: Vec<Envelope>,
    /// The newly taken commands.
    pub commands: Vec<(Uuid, KnownCommand)>,
    /// The head's new position.
    pub position: u64,
    /// The head's new time.
    pub recorded_at: DateTime<Utc>,
    /// The versions of the streams that were given, as the batch leaves them.
    pub versions: HashMap<StreamId, u64>,
    /// One outcome per append, in order.
    pub outcomes: Vec<Result<Appended, AppendError>>,
}

/// Decides every append in turn, each against what the ones before it leave
/// behind. `event_id` gives the event at a position its id.
pub fn plan(before: Before, appends: &[Append], now: DateTime<Utc>, mut event_id: impl FnMut(u64) -> Uuid) -> Plan {
    let Before { position, recorded_at, versions, commands: mut known } = before;
    let mut plan = Plan {
        events: Vec::new(),
        commands: Vec::new(),
        position,
        // A clock that was set back must not reorder "as known at".
        recorded_at: recorded_at.max(now),
        versions,
        outcomes: Vec::with_capacity(appends.len()),
    };
    for append in appends {
        let outcome = match known.get(&append.command_id) {
            Some(command) => command.answer_to(append),
            None => check(append, &plan.versions).map(|()| {
                let receipt = plan.store(append, &mut event_id);
                let command = KnownCommand { fingerprint: append.fingerprint, receipt: receipt.clone() };
                known.insert(append.command_id, command.clone());
                plan.commands.push((append.command_id, command));
                Appended::Stored(receipt)
            }),
        };
        plan.outcomes.push(outcome);
    }
    plan
}

fn check(append: &Append, versions: &HashMap<StreamId, u64>) -> Result<(), AppendError> {
    let written = append.writes.iter().map(|write| (write.stream, write.expected));
    let guarded = append.guards.iter().map(|guard| {
        let expected = if guard.version == 0 { Expected::NoStream } else { Expected::Exact(guard.version) };
        (guard.stream, expected)
    });
    for (stream, expected) in written.chain(guarded) {
        let actual = versions.get(&stream).copied().unwrap_or(0);
        if !expected.admits(actual) {
            return Err(AppendError::Conflict { stream, expected, actual });
        }
    }
    Ok(())
}

impl Plan {
    fn store(&mut self, append: &Append, event_id: &mut impl FnMut(u64) -> Uuid) -> Receipt {
        let first = self.events.len();
        for write in &append.writes {
            let version = self.versions.entry(write.stream).or_insert(0);
            for event in &write.events {
                *version += 1;
                self.position += 1;
                self.events.push(Envelope {
                    position: self.position,
                    stream: write.stream,
                    version: *version,
                    event_id: event_id(self.position),
                    event_type: event.event_type.to_owned(),
                    schema_version: event.schema_version,
                    payload: event.payload.clone(),
                    // As exactly as it is kept.
                    occurred_at: event.occurred_at.trunc_subsecs(6),
                    recorded_at: self.recorded_at,
                    actor: append.actor.clone(),
                    command_id: append.command_id,
                    correlation_id: append.correlation_id,
                    causation_id: append.causation_id,
                    trace_context: append.trace_context.clone(),
                    references: event.references,
                });
            }
        }
        let events = self.events[first..].iter().map(RecordedEvent::from).collect();
        Receipt { position: self.position, recorded_at: self.recorded_at, events, refusal: append.refusal.clone() }
    }
}

impl From<&Envelope> for RecordedEvent {
    fn from(envelope: &Envelope) -> Self {
        Self {
            position: envelope.position,
            stream: envelope.stream,
            version: envelope.version,
            event_id: envelope.event_id,
            event_type: envelope.event_type.clone(),
        }
    }
}
