//! The plan of a batch, without a database: random batches against a model.

use std::collections::HashMap;

use event_store::log::plan::{Before, plan};
use event_store::log::{AppendError, Appended, Expected};
use events::ids::{PatientId, StreamId, StreamKey};
use proptest::prelude::*;
use testkit::appends::{append, some_time};
use uuid::Uuid;

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![Just(Expected::Any), Just(Expected::NoStream), (1..4_u64).prop_map(Expected::Exact),]
}

proptest! {
    #[test]
    fn a_batch_is_decided_append_by_append(
        wanted in prop::collection::vec((0..4_u128, expected(), 1..4_usize, 0..6_u128), 0..30),
        head in 0..1_000_u64,
    ) {
        let appends: Vec<_> = wanted
            .iter()
            .map(|(patient, expected, count, command)| {
                let mut append = append(PatientId::from(Uuid::from_u128(*patient)), *expected, *count);
                // Command ids repeat: within a batch the first one counts.
                append.command_id = Uuid::from_u128(*command);
                append
            })
            .collect();
        let before = Before { position: head, ..Before::default() };
        let planned = plan(before, &appends, some_time(), |position| Uuid::from_u128(position.into()));
        let mut versions: HashMap<StreamId, u64> = HashMap::new();
        let mut taken = HashMap::new();
        let mut position = head;
        for (append, outcome) in appends.iter().zip(&planned.outcomes) {
            let write = &append.writes[0];
            let version = versions.entry(write.stream).or_insert(0);
            match (taken.get(&append.command_id), outcome) {
                (Some(first), Ok(Appended::Repeated(receipt))) => prop_assert_eq!(*first, receipt),
                (None, Ok(Appended::Stored(receipt))) => {
                    prop_assert!(write.expected.admits(*version));
                    *version += write.events.len() as u64;
                    position += write.events.len() as u64;
                    prop_assert_eq!(receipt.position, position);
                    prop_assert_eq!(receipt.events.last().map(|event| event.version), Some(*version));
                    taken.insert(append.command_id, receipt);
                }
                (None, Err(AppendError::Conflict { actual, .. })) => {
                    prop_assert!(!write.expected.admits(*version));
                    prop_assert_eq!(actual, version);
                }
                (known, outcome) => prop_assert!(false, "{:?} {:?}", known, outcome),
            }
        }
        prop_assert_eq!(planned.position, position);
        let positions: Vec<u64> = planned.events.iter().map(|event| event.position).collect();
        prop_assert_eq!(positions, (head + 1..=position).collect::<Vec<_>>());
        prop_assert!(planned.events.iter().all(|event| event.event_id.as_u128() == event.position.into()));
        prop_assert!(planned.events.iter().all(|event| event.stream == PatientId::from(event.stream.id).stream()));
    }
}
