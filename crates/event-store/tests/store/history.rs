//! The history checker finds every kind of fault in a history that was spoilt
//! on purpose, and none in one that was not.

use history_checker::{Fault, History, Observation, SeenEvent, SentGuard, SentWrite};

/// Appends of the sound history; each writes two streams and guards a third.
const APPENDS: u64 = 40;
const STREAMS: u64 = 5;

fn stream(number: u64) -> String {
    format!("stream/{}", number % STREAMS)
}

/// What a run leaves behind that kept every promise.
fn sound() -> Vec<Observation> {
    let mut versions = [0_u64; STREAMS as usize];
    let (mut sent, mut log, mut history) = (Vec::new(), Vec::<SeenEvent>::new(), Vec::new());
    for turn in 0..APPENDS {
        let command = format!("command-{turn}");
        let streams = [turn, turn + 1];
        let standing = |number: u64, versions: &[u64]| versions[(number % STREAMS) as usize];
        let writes = streams.map(|number| SentWrite {
            stream: stream(number),
            expected: Some(standing(number, &versions)),
            events: 1 + (turn % 2) as usize,
        });
        let guards = vec![SentGuard { stream: stream(turn + 2), version: standing(turn + 2, &versions) }];
        let before = log.len();
        for (number, write) in streams.iter().zip(&writes) {
            for _ in 0..write.events {
                let version = &mut versions[(number % STREAMS) as usize];
                *version += 1;
                let position = log.len() as u64 + 1;
                log.push(SeenEvent {
                    position,
                    event: format!("e{position}"),
                    stream: stream(*number),
                    version: *version,
                });
            }
        }
        let events = log[before..].to_vec();
        let at_ns = |moment: u64| Some(turn * 100 + moment);
        sent.push(Observation::Sent { command: command.clone(), writes: writes.to_vec(), guards, at_ns: at_ns(10) });
        history
            .extend(events.iter().map(|event| Observation::Logged { event: event.clone(), command: command.clone() }));
        sent.push(Observation::Acknowledged { command, events: events.clone(), at_ns: at_ns(50) });
        let read = |after: usize, limit| Observation::Read {
            reader: "tail".to_owned(),
            after: after as u64,
            limit,
            events: log[after..].iter().take(limit).cloned().collect(),
            at_ns: at_ns(60),
        };
        sent.push(read(before, 100));
        sent.push(read(0, 7));
    }
    sent.push(Observation::Refused { command: "command-refused".to_owned() });
    history.extend(log.iter().map(|event| Observation::Consumed { consumer: "view".to_owned(), event: event.clone() }));
    history.extend(sent);
    history
}

fn check(observations: Vec<Observation>) -> Vec<Fault> {
    let mut history = History::default();
    observations.into_iter().for_each(|observation| history.add(observation));
    history.check().faults
}

/// Spoils the sound history and looks for the fault that it should show.
#[track_caller]
fn spoilt(spoil: impl FnOnce(&mut Vec<Observation>), is_it: impl Fn(&Fault) -> bool) {
    let mut observations = sound();
    spoil(&mut observations);
    let faults = check(observations);
    assert!(faults.iter().any(is_it), "{faults:?}");
}

/// The events of the log as they can be changed, with their appends.
fn logged(observations: &mut [Observation]) -> Vec<(&mut SeenEvent, &mut String)> {
    let events = observations.iter_mut().filter_map(|observation| match observation {
        Observation::Logged { event, command } => Some((event, command)),
        _ => None,
    });
    events.collect()
}

fn consumed(observations: &mut Vec<Observation>) -> (Vec<Observation>, &mut Vec<Observation>) {
    let (consumed, rest) = std::mem::take(observations)
        .into_iter()
        .partition(|observation| matches!(observation, Observation::Consumed { .. }));
    *observations = rest;
    (consumed, observations)
}

fn without(observations: &mut Vec<Observation>, unwanted: impl Fn(&Observation) -> bool) {
    observations.retain(|observation| !unwanted(observation));
}

#[test]
fn a_sound_history_has_no_fault() {
    assert_eq!(check(sound()), []);
}

#[test]
fn a_sound_history_reads_back_from_its_lines() {
    let text: Vec<String> = sound().iter().map(|line| serde_json::to_string(line).expect("a line")).collect();
    let mut history = History::default();
    history.read(text.join("\n").as_bytes()).expect("a history");
    let verdict = history.check();
    assert_eq!((verdict.faults.as_slice(), verdict.sent, verdict.acknowledged), ([].as_slice(), 40, 40));
    assert_eq!((verdict.events, verdict.refused, verdict.reads, verdict.consumers), (120, 1, 80, 1));
    let error = History::default().read("{}".as_bytes()).expect_err("no observation");
    assert_eq!(error.to_string(), "line 1 is not an observation");
}

#[test]
fn a_gap_and_a_repetition_in_the_log_are_found() {
    spoilt(
        |all| without(all, |line| matches!(line, Observation::Logged { event, .. } if event.position == 9)),
        |fault| *fault == Fault::Position { expected: 9, found: 10 },
    );
    spoilt(|all| logged(all)[8].0.position = 8, |fault| *fault == Fault::Position { expected: 9, found: 8 });
}

#[test]
fn a_wrong_version_and_a_repeated_id_are_found() {
    spoilt(|all| logged(all)[50].0.version += 1, |fault| matches!(fault, Fault::Version { position: 51, .. }));
    spoilt(
        |all| logged(all)[50].0.event = "e3".to_owned(),
        |fault| *fault == Fault::EventTwice { position: 51, event: "e3".to_owned() },
    );
}

#[test]
fn a_lost_append_is_found() {
    // The last one, so that no position is missing.
    spoilt(
        |all| without(all, |line| matches!(line, Observation::Logged { command, .. } if command == "command-39")),
        |fault| *fault == Fault::Lost { command: "command-39".to_owned() },
    );
}

#[test]
fn a_doubled_append_is_found() {
    spoilt(
        |all| {
            let again = logged(all).pop().map(|(event, command)| (event.clone(), command.clone())).expect("an event");
            let (mut event, command) = again;
            event.position += 1;
            event.version += 1;
            event.event = "again".to_owned();
            all.push(Observation::Logged { event, command });
        },
        |fault| *fault == Fault::Doubled { command: "command-39".to_owned() },
    );
}

#[test]
fn a_torn_append_is_found() {
    // Half of it is missing.
    spoilt(
        |all| without(all, |line| matches!(line, Observation::Logged { event, .. } if event.position == 120)),
        |fault| *fault == Fault::Torn { command: "command-39".to_owned() },
    );
    // Another stands in the middle of it.
    spoilt(
        |all| {
            let mut log = logged(all);
            let (first, second) = (log[5].1.clone(), log[6].1.clone());
            assert_ne!(first, second, "the end of one and the beginning of another");
            *log[5].1 = second;
            *log[6].1 = first;
        },
        |fault| matches!(fault, Fault::Torn { .. }),
    );
}

#[test]
fn an_answer_that_is_not_what_was_stored_is_found() {
    spoilt(
        |all| {
            let answer = all.iter_mut().find_map(|line| match line {
                Observation::Acknowledged { events, .. } => Some(events),
                _ => None,
            });
            answer.expect("an answer")[0].position += 1;
        },
        |fault| *fault == Fault::Misreported { command: "command-0".to_owned() },
    );
    // A second answer that is another one.
    spoilt(
        |all| {
            all.push(Observation::Acknowledged { command: "command-3".to_owned(), events: Vec::new(), at_ns: None });
        },
        |fault| *fault == Fault::Misreported { command: "command-3".to_owned() },
    );
}

#[test]
fn an_append_that_was_refused_or_never_sent_is_found() {
    spoilt(
        |all| all.push(Observation::Refused { command: "command-7".to_owned() }),
        |fault| *fault == Fault::RefusedAndStored { command: "command-7".to_owned() },
    );
    spoilt(
        |all| without(all, |line| matches!(line, Observation::Sent { command, .. } if command == "command-7")),
        |fault| matches!(fault, Fault::NeverSent { command, .. } if command == "command-7"),
    );
}

#[test]
fn a_broken_expectation_and_a_broken_guard_are_found() {
    let change = |all: &mut Vec<Observation>, change: fn(&mut SentWrite, &mut SentGuard)| {
        let sent = all.iter_mut().find_map(|line| match line {
            Observation::Sent { command, writes, guards, .. } if command == "command-20" => {
                Some((&mut writes[0], &mut guards[0]))
            }
            _ => None,
        });
        let (write, guard) = sent.expect("an append");
        change(write, guard);
    };
    spoilt(
        |all| change(all, |write, _| write.expected = write.expected.map(|version| version - 1)),
        |fault| matches!(fault, Fault::Expected { command, .. } if command == "command-20"),
    );
    spoilt(
        |all| change(all, |_, guard| guard.version -= 1),
        |fault| matches!(fault, Fault::Guard { command, .. } if command == "command-20"),
    );
}

#[test]
fn an_append_that_stands_before_an_earlier_one_is_found() {
    spoilt(
        |all| {
            for line in all {
                if let Observation::Sent { command, at_ns, .. } = line
                    && command == "command-4"
                {
                    *at_ns = Some(100_000);
                }
            }
        },
        |fault| matches!(fault, Fault::RealTime { later, .. } if later == "command-4"),
    );
}

#[test]
fn what_readers_should_not_have_seen_is_found() {
    let change = |all: &mut Vec<Observation>, change: fn(&mut Vec<SeenEvent>)| {
        let read = all.iter_mut().rev().find_map(|line| match line {
            Observation::Read { events, limit: 7, .. } => Some(events),
            _ => None,
        });
        change(read.expect("a read"));
    };
    // Position 3 became visible before position 2.
    spoilt(
        |all| change(all, |events| drop(events.remove(1))),
        |fault| matches!(fault, Fault::ReadOrder { expected: 2, found: 3, .. }),
    );
    spoilt(
        |all| change(all, |events| events[1].event = "other".to_owned()),
        |fault| *fault == Fault::Altered { who: "tail".to_owned(), position: 2 },
    );
    spoilt(|all| change(all, |events| events.truncate(3)), |fault| matches!(fault, Fault::Stale { after: 0, .. }));
}

#[test]
fn what_consumers_should_not_have_seen_is_found() {
    // Skipped.
    spoilt(
        |all| without(all, |line| matches!(line, Observation::Consumed { event, .. } if event.position == 30)),
        |fault| matches!(fault, Fault::Consumed { expected: 30, found: 31, .. }),
    );
    // Seen twice.
    spoilt(
        |all| {
            let (mut events, all) = consumed(all);
            events.insert(30, events[29].clone());
            all.extend(events);
        },
        |fault| matches!(fault, Fault::Consumed { expected: 31, found: 30, .. }),
    );
    // In another order.
    spoilt(
        |all| {
            let (mut events, all) = consumed(all);
            events.swap(10, 11);
            all.extend(events);
        },
        |fault| matches!(fault, Fault::Consumed { expected: 11, found: 12, .. }),
    );
    // Never to the end.
    spoilt(
        |all| without(all, |line| matches!(line, Observation::Consumed { event, .. } if event.position > 100)),
        |fault| matches!(fault, Fault::Unconsumed { position: 100, head: 120, .. }),
    );
    // Another event than the log's.
    spoilt(
        |all| {
            for line in all {
                if let Observation::Consumed { event, .. } = line {
                    event.stream = "stream/elsewhere".to_owned();
                }
            }
        },
        |fault| *fault == Fault::Altered { who: "view".to_owned(), position: 1 },
    );
}
