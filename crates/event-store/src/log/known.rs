//! What a writer knows of the log without asking: how its last batch left it.
//!
//! It holds as long as the head stands where that batch left it, for then
//! nobody else has written (docs/adr/0008-a-batch-in-one-statement.md).

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use events::ids::StreamId;
use uuid::Uuid;

use super::group_commit::{Outcomes, Written};
use super::plan::{Before, Plan};
use super::{Append, AppendError, Expected, KnownCommand};

/// Streams whose versions are kept, at most, from one batch to the next.
const VERSIONS_MAX: usize = 100_000;

/// The log as a batch left it.
pub struct Known {
    /// The head's position.
    pub position: u64,
    recorded_at: DateTime<Utc>,
    // Versions at `position`; 0 where the stream does not exist.
    versions: HashMap<StreamId, u64>,
}

impl Known {
    /// What is known after a batch, and what was written.
    pub fn after(plan: Plan) -> (Self, Written) {
        let Plan { events, position, recorded_at, mut versions, outcomes, commands: _ } = plan;
        // Here, where no batch counts on any of them.
        if versions.len() > VERSIONS_MAX {
            versions.clear();
        }
        (Self { position, recorded_at, versions }, Written { outcomes, head: position, events })
    }

    /// The streams of the batch whose versions have to be read. Those that are
    /// only begun need not be: if one exists its first event breaks the key of the table.
    pub fn missing(&self, appends: &[Append]) -> Vec<StreamId> {
        let writes = appends.iter().flat_map(|append| &append.writes);
        let continued = writes.filter(|write| write.expected != Expected::NoStream).map(|write| write.stream);
        let guarded = appends.iter().flat_map(|append| append.guards.iter().map(|guard| guard.stream));
        let streams: HashSet<StreamId> = continued.chain(guarded).collect();
        streams.into_iter().filter(|stream| !self.versions.contains_key(stream)).collect()
    }

    /// What the batch is planned on, with the versions that were `read`. A
    /// command that was taken before is not known: it breaks the key of its table.
    pub fn before(self, read: HashMap<StreamId, u64>) -> Before {
        let Self { position, recorded_at, mut versions } = self;
        versions.extend(read);
        Before { position, recorded_at, versions, commands: HashMap::new() }
    }
}

/// Every stream that the batch names, once.
pub fn streams(appends: &[Append]) -> HashSet<StreamId> {
    let written = appends.iter().flat_map(|append| append.writes.iter().map(|write| write.stream));
    let guarded = appends.iter().flat_map(|append| append.guards.iter().map(|guard| guard.stream));
    written.chain(guarded).collect()
}

/// The command ids of the batch.
pub fn commands(appends: &[Append]) -> Vec<Uuid> {
    appends.iter().map(|append| append.command_id).collect()
}

/// The command ids of the appends that were refused as conflicts: without
/// knowing of commands that were taken before, one of those looks like that, too.
pub fn conflicts(appends: &[Append], outcomes: &Outcomes) -> Vec<Uuid> {
    let outcomes = appends.iter().zip(outcomes);
    let conflicts = outcomes.filter(|(_, outcome)| matches!(outcome, Err(AppendError::Conflict { .. })));
    conflicts.map(|(append, _)| append.command_id).collect()
}

/// Gives conflicts that were taken before their first answer.
pub fn recall(appends: &[Append], outcomes: &mut Outcomes, taken: &HashMap<Uuid, KnownCommand>) {
    for (append, outcome) in appends.iter().zip(outcomes) {
        if let (Err(AppendError::Conflict { .. }), Some(command)) = (&outcome, taken.get(&append.command_id)) {
            *outcome = command.answer_to(append);
        }
    }
}

#[cfg(test)]
mod tests {
    use events::envelope::Actor;
    use events::ids::StreamType;

    use super::*;
    use crate::log::plan::plan;
    use crate::log::{Guard, event_id};

    #[test]
    fn what_is_forgotten_is_read_again() {
        let stream = |number: usize| StreamId::new(StreamType::Patient, Uuid::from_u128(number as u128));
        let known = |count: usize| {
            let before =
                Before { versions: (0..count).map(|number| (stream(number), 1)).collect(), ..Before::default() };
            Known::after(plan(before, &[], DateTime::UNIX_EPOCH, event_id::new)).0
        };
        let guarded = Append {
            command_id: Uuid::from_u128(1),
            fingerprint: [0; 32],
            guards: vec![Guard { stream: stream(7), version: 0 }],
            writes: Vec::new(),
            actor: Actor::system("test"),
            correlation_id: Uuid::from_u128(1),
            causation_id: None,
            trace_context: None,
            refusal: None,
        };
        let appends = std::slice::from_ref(&guarded);
        let kept = known(VERSIONS_MAX);
        assert!(kept.missing(appends).is_empty());
        assert_eq!(kept.before(HashMap::new()).versions[&stream(7)], 1, "it counts on what it did not ask for");
        assert_eq!(known(VERSIONS_MAX + 1).missing(appends), [stream(7)]);
    }
}
