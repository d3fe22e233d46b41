//! The log by itself: positions, versions, ids.

use std::collections::{HashMap, HashSet};

use super::{Fault, Logged};

/// Positions are 1, 2, 3 …; so are the versions of every stream; ids are unique.
pub fn check(log: &[Logged], faults: &mut Vec<Fault>) {
    let mut versions: HashMap<&str, u64> = HashMap::new();
    let mut ids = HashSet::new();
    let mut last = 0;
    for Logged { event, .. } in log {
        let position = event.position;
        if position != last + 1 {
            faults.push(Fault::Position { expected: last + 1, found: position });
        }
        last = position;
        let version = versions.entry(&event.stream).or_insert(0);
        if event.version != *version + 1 {
            let (stream, expected) = (event.stream.clone(), *version + 1);
            faults.push(Fault::Version { position, stream, expected, found: event.version });
        }
        *version = event.version;
        if !ids.insert(&event.event) {
            faults.push(Fault::EventTwice { position, event: event.event.clone() });
        }
    }
}
