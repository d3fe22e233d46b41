//! Appends: stored once and whole, on what they expected, in real time's order.

use std::collections::{HashMap, HashSet};

use super::{Fault, History, Logged, SeenEvent, Sent};

/// An append as it stands in the log: events that follow each other.
struct Stored<'history> {
    command: &'history str,
    events: Vec<&'history SeenEvent>,
}

pub fn check(history: &History, faults: &mut Vec<Fault>) {
    let stored = stored(&history.log);
    each_once(&stored, history, faults);
    on_what_it_expected(&stored, history, faults);
    as_clients_were_told(&stored, history, faults);
    in_real_time(&stored, history, faults);
}

/// The runs of events with one command each.
fn stored(log: &[Logged]) -> Vec<Stored<'_>> {
    log.chunk_by(|one, next| one.command == next.command)
        .map(|run| Stored { command: &run[0].command, events: run.iter().map(|logged| &logged.event).collect() })
        .collect()
}

/// Every append that is there was sent, is there once and in one piece.
fn each_once(stored: &[Stored<'_>], history: &History, faults: &mut Vec<Fault>) {
    let mut pieces: HashMap<&str, Vec<&Stored<'_>>> = HashMap::new();
    for append in stored {
        pieces.entry(append.command).or_default().push(append);
    }
    let refused: HashSet<&str> = history.refused.iter().map(String::as_str).collect();
    let mut seen = HashSet::new();
    for append in stored.iter().filter(|append| seen.insert(append.command)) {
        let command = append.command.to_owned();
        let Some(sent) = history.sent.get(append.command) else {
            faults.push(Fault::NeverSent { position: append.events[0].position, command });
            continue;
        };
        let count: usize = pieces[append.command].iter().map(|piece| piece.events.len()).sum();
        let wanted: usize = sent.writes.iter().map(|write| write.events).sum();
        if refused.contains(append.command) {
            faults.push(Fault::RefusedAndStored { command: command.clone() });
        }
        if count > wanted {
            faults.push(Fault::Doubled { command });
        } else if pieces[append.command].len() > 1 || !is_whole(append, sent) {
            faults.push(Fault::Torn { command });
        }
    }
}

/// Whether the events are on the streams that were sent, in their order.
fn is_whole(append: &Stored<'_>, sent: &Sent) -> bool {
    let wanted = sent.writes.iter().flat_map(|write| std::iter::repeat_n(write.stream.as_str(), write.events));
    append.events.iter().map(|event| event.stream.as_str()).eq(wanted)
}

/// Expected versions and guards held where the append stands.
fn on_what_it_expected(stored: &[Stored<'_>], history: &History, faults: &mut Vec<Fault>) {
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for append in stored {
        if let Some(sent) = history.sent.get(append.command) {
            let standing = |stream: &str| versions.get(stream).copied().unwrap_or(0);
            for write in &sent.writes {
                let found = standing(&write.stream);
                if let Some(expected) = write.expected.filter(|expected| *expected != found) {
                    let (command, stream) = (append.command.to_owned(), write.stream.clone());
                    faults.push(Fault::Expected { command, stream, expected, found });
                }
            }
            for guard in &sent.guards {
                let found = standing(&guard.stream);
                if guard.version != found {
                    let (command, stream) = (append.command.to_owned(), guard.stream.clone());
                    faults.push(Fault::Guard { command, stream, expected: guard.version, found });
                }
            }
        }
        for event in &append.events {
            *versions.entry(&event.stream).or_insert(0) += 1;
        }
    }
}

/// What was acknowledged is there, and is what the client was told.
fn as_clients_were_told(stored: &[Stored<'_>], history: &History, faults: &mut Vec<Fault>) {
    let mut first: HashMap<&str, &Stored<'_>> = HashMap::new();
    for append in stored {
        first.entry(append.command).or_insert(append);
    }
    for (command, answers) in &history.acknowledged {
        // An append that wrote nothing leaves nothing to find.
        if answers.iter().all(|answer| answer.events.is_empty()) {
            continue;
        }
        match first.get(command.as_str()) {
            None => faults.push(Fault::Lost { command: command.clone() }),
            Some(append) => {
                let told = |events: &[SeenEvent]| append.events.iter().copied().eq(events);
                if !answers.iter().all(|answer| told(&answer.events)) {
                    faults.push(Fault::Misreported { command: command.clone() });
                }
            }
        }
    }
}

/// What was acknowledged before another was sent stands before it.
fn in_real_time(stored: &[Stored<'_>], history: &History, faults: &mut Vec<Fault>) {
    // Among those that stand before, the one that was sent last.
    let mut latest: Option<(u64, &str)> = None;
    for append in stored {
        let answers = history.acknowledged.get(append.command);
        let told = answers.and_then(|answers| answers.iter().filter_map(|answer| answer.at_ns).min());
        if let (Some(told), Some((sent, later))) = (told, latest)
            && told < sent
            && later != append.command
        {
            faults.push(Fault::RealTime { earlier: append.command.to_owned(), later: later.to_owned() });
        }
        if let Some(sent) = history.sent.get(append.command).and_then(|sent| sent.at_ns) {
            latest = latest.max(Some((sent, append.command)));
        }
    }
}
