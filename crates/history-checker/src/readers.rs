//! Readers and consumers: in order, without gaps, nothing altered, nothing stale.

use std::collections::HashMap;

use super::{Fault, History, SeenEvent};

pub fn check(history: &History, faults: &mut Vec<Fault>) {
    let log: HashMap<u64, &SeenEvent> =
        history.log.iter().map(|logged| (logged.event.position, &logged.event)).collect();
    reads(history, &log, faults);
    consumers(history, &log, faults);
}

fn reads(history: &History, log: &HashMap<u64, &SeenEvent>, faults: &mut Vec<Fault>) {
    let acknowledged = Acknowledged::of(history);
    for read in &history.reads {
        let (reader, after) = (&read.reader, read.after);
        let mut last = after;
        for event in &read.events {
            if event.position != last + 1 {
                let (expected, found) = (last + 1, event.position);
                faults.push(Fault::ReadOrder { reader: reader.clone(), after, expected, found });
            }
            last = event.position;
            if log.get(&event.position) != Some(&event) {
                faults.push(Fault::Altered { who: reader.clone(), position: event.position });
            }
        }
        let position = read.at_ns.map_or(0, |at_ns| acknowledged.before(at_ns));
        if position > last && read.events.len() < read.limit {
            faults.push(Fault::Stale { reader: reader.clone(), after, position });
        }
    }
}

/// How far the log was acknowledged, by time.
struct Acknowledged {
    // Times in order, each with the highest position up to then.
    heads: Vec<(u64, u64)>,
}

impl Acknowledged {
    fn of(history: &History) -> Self {
        let answers = history.acknowledged.values().flatten();
        let told = |answer: &super::Acknowledged| Some((answer.at_ns?, answer.events.last()?.position));
        let mut heads: Vec<(u64, u64)> = answers.filter_map(told).collect();
        heads.sort_unstable();
        let mut highest = 0;
        for (_, position) in &mut heads {
            highest = highest.max(*position);
            *position = highest;
        }
        Self { heads }
    }

    /// The highest position that was acknowledged before `at_ns`; 0 where none was.
    fn before(&self, at_ns: u64) -> u64 {
        let count = self.heads.partition_point(|(time, _)| *time < at_ns);
        count.checked_sub(1).map_or(0, |last| self.heads[last].1)
    }
}

fn consumers(history: &History, log: &HashMap<u64, &SeenEvent>, faults: &mut Vec<Fault>) {
    let head = history.log.last().map_or(0, |logged| logged.event.position);
    for (consumer, events) in &history.consumed {
        let mut last = 0;
        for event in events {
            if event.position != last + 1 {
                let (expected, found) = (last + 1, event.position);
                faults.push(Fault::Consumed { consumer: consumer.clone(), expected, found });
            }
            last = event.position;
            if log.get(&event.position) != Some(&event) {
                faults.push(Fault::Altered { who: consumer.clone(), position: event.position });
            }
        }
        if last < head {
            faults.push(Fault::Unconsumed { consumer: consumer.clone(), position: last, head });
        }
    }
}
