//! What every engine of the log must hold; run on each of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use event_store::log::{
    APPEND_EVENTS_MAX, AppendError, Appended, Comparison, EventLog, Expected, LogError, MalformedAppend,
    PAYLOAD_BYTES_MAX, READ_BYTES_MAX, Reference, Snapshot, Write, is_last,
};
use events::envelope::{Envelope, NewEvent, References};
use events::ids::{StreamKey, TrialId};
use futures::future::join_all;
use uuid::Uuid;

use crate::appends::{append, event, fill, guard, of_writes, patient, some_time};
use crate::stores::TestStore;

/// Positions begin at 1, have no gaps, and read back in order with everything that was given.
pub async fn positions_are_gapless_and_events_read_back(test: TestStore) {
    let log = &*test.store.log;
    assert_eq!(log.head().await.expect("the head"), 0);
    let trial_id = TrialId::from(Uuid::now_v7());
    let patient_id = patient();
    let given = event(patient_id, Some(trial_id));
    let write = Write { stream: patient_id.stream(), expected: Expected::NoStream, events: vec![given.clone(); 3] };
    let receipt = log.append(of_writes(vec![write])).await.expect("an append").into_receipt();
    assert_eq!(receipt.position, 3);
    let events = log.read_all(0, 10).await.expect("the log");
    let seen: Vec<(u64, u64)> = events.iter().map(|event| (event.position, event.version)).collect();
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(events[0].payload, given.payload, "the exact bytes");
    assert_eq!((events[0].occurred_at, events[0].references), (some_time(), given.references));
    let ids: BTreeSet<Uuid> = events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(log.read_stream(patient_id.stream(), 1, 1).await.expect("a stream"), events[1..2]);
    assert_eq!(log.find_event(events[2].event_id).await.expect("an event"), Some(events[2].clone()));
    let of_another_time = Uuid::from_u128(events[2].event_id.as_u128() ^ 1 << 100);
    for id in [of_another_time, Uuid::nil(), Uuid::max()] {
        assert_eq!(log.find_event(id).await.expect("no event"), None, "{id}");
    }
    let known = log.find_command(events[2].command_id).await.expect("a command").expect("it was taken");
    assert_eq!(known.receipt, receipt, "with all its events");
    let about = log.read_reference(Reference::Trial(trial_id), 1, 2, 10).await.expect("a reference");
    assert_eq!(about, events[1..2]);
    let back = log.read_reference_back(Reference::Trial(trial_id), 3, 10).await.expect("a reference");
    assert_eq!(back, [events[1].clone(), events[0].clone()], "newest first");
}

/// Streams are told that hold more than was seen of them, however many are compared, and where the log stands.
pub async fn streams_are_compared_with_what_was_seen(test: TestStore) {
    let other = test.again().await;
    let log = &*test.store.log;
    assert_eq!(log.compare(&[]).await.expect("nothing is compared"), Comparison::default());
    let streams: Vec<_> = (0..150).map(|_| patient()).collect();
    for (number, stream) in streams.iter().enumerate() {
        let events = 1 + number % 3;
        log.append(append(*stream, Expected::NoStream, events)).await.expect("an append");
    }
    let head = log.head().await.expect("the head");
    let seen = |number: usize| (streams[number].stream(), 1 + number as u64 % 3);
    let all: Vec<_> = (0..streams.len()).map(seen).collect();
    for log in [log, &*other.log] {
        let found = log.compare(&all).await.expect("a comparison");
        assert_eq!(found, Comparison { head, grown: Vec::new() });
        // Seen less of some, one is not there, and of one more was seen than there is.
        let mut behind = all.clone();
        behind.push((patient().stream(), 0));
        behind[0].1 += 1;
        let expected: BTreeSet<_> = [1, 70, 149].into_iter().map(|number| streams[number].stream()).collect();
        for number in [1, 70, 149] {
            behind[number].1 -= 1;
        }
        let found = log.compare(&behind).await.expect("a comparison");
        assert_eq!((found.head, found.grown.len()), (head, 3));
        assert_eq!(found.grown.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    // By whoever appended.
    other.log.append(append(streams[7], Expected::Any, 1)).await.expect("an append");
    let found = log.compare(&all).await.expect("a comparison");
    assert_eq!(found, Comparison { head: head + 1, grown: vec![streams[7].stream()] });
}

/// What is about a trial, a site or a patient is found as by a look through the whole log, whoever wrote it.
pub async fn references_are_found_wherever_they_lie(test: TestStore) {
    let other = test.again().await;
    // The same ids for trials, sites and patients: one kind is not taken for another.
    let ids: Vec<Uuid> = (0..7).map(|_| Uuid::now_v7()).collect();
    let about = |number: usize| References {
        trial_id: (!number.is_multiple_of(5)).then(|| ids[number % 2].into()),
        site_id: (!number.is_multiple_of(3)).then(|| ids[number % 4].into()),
        patient_id: (!number.is_multiple_of(4)).then(|| ids[number % 7].into()),
    };
    let references = || {
        let of = |id: &Uuid| {
            [Reference::Trial((*id).into()), Reference::Site((*id).into()), Reference::Patient((*id).into())]
        };
        ids.iter().flat_map(of)
    };
    for turn in 0..20_usize {
        let patient_id = patient();
        let event = |number| NewEvent { references: about(turn + number), ..event(patient_id, None) };
        let events: Vec<NewEvent> = (0..APPEND_EVENTS_MAX - turn).map(event).collect();
        let count = events.len() as u64;
        let write = Write { stream: patient_id.stream(), expected: Expected::NoStream, events };
        let writer = if turn % 3 == 0 { &other } else { &test.store };
        let position = writer.log.append(of_writes(vec![write])).await.expect("an append").into_receipt().position;
        // While it is new.
        same_as_in_the_log(&*test.store.log, references(), position - count, position, 5_000).await;
    }
    let head = test.store.log.head().await.expect("the head");
    for (after, to, limit) in [(0, head, 50_000), (0, head, 3_000), (7_000, 9_000, 700), (head - 9, head + 9, 3)] {
        same_as_in_the_log(&*other.log, references(), after, to, limit).await;
    }
    other.close().await;
}

async fn same_as_in_the_log(
    log: &dyn EventLog,
    references: impl Iterator<Item = Reference>,
    after: u64,
    to: u64,
    limit: usize,
) {
    let all = log.read_all(after, usize::MAX).await.expect("the log");
    for reference in references {
        let refers = |event: &&Envelope| match reference {
            Reference::Trial(id) => event.references.trial_id == Some(id),
            Reference::Site(id) => event.references.site_id == Some(id),
            Reference::Patient(id) => event.references.patient_id == Some(id),
        };
        let expected: Vec<&Envelope> =
            all.iter().filter(|event| event.position <= to).filter(refers).take(limit).collect();
        let found = log.read_reference(reference, after, to, limit).await.expect("a reference");
        assert!(found.iter().eq(expected), "{reference:?} after {after} up to {to}, {limit} of them");
        let back: Vec<&Envelope> =
            all.iter().rev().filter(|event| event.position < to).filter(refers).take(limit).collect();
        let found = log.read_reference_back(reference, to, limit).await.expect("a reference");
        let found: Vec<&Envelope> = found.iter().filter(|event| event.position > after).collect();
        assert_eq!(found, back, "{reference:?} back from {to} to {after}, {limit} of them");
    }
}

/// What is read at once has an end in bytes, too, and what follows is read next.
pub async fn long_events_are_read_in_portions(test: TestStore) {
    let log = &*test.store.log;
    let (long, short) = (patient(), patient());
    let payload = Bytes::from(format!("{{\"name\":\"{}\"}}", "x".repeat(PAYLOAD_BYTES_MAX - 64)));
    let count = 2 * READ_BYTES_MAX / payload.len();
    for version in 0..count {
        let mut append = append(long, if version == 0 { Expected::NoStream } else { Expected::Any }, 1);
        append.writes[0].events[0].payload = payload.clone();
        log.append(append).await.expect("an append");
    }
    log.append(append(short, Expected::NoStream, 2)).await.expect("an append");
    let (count, about) = (count as u64, Reference::Patient(long));
    let all = count + 2;
    let other = test.again().await;
    for log in [log, &*other.log] {
        let (mut positions, mut pages) = (Vec::new(), 0);
        loop {
            let events = log.read_all(positions.last().copied().unwrap_or(0), 1_000).await.expect("the log");
            let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
            assert!(bytes < READ_BYTES_MAX + PAYLOAD_BYTES_MAX, "{bytes}");
            positions.extend(events.iter().map(|event| event.position));
            pages += 1;
            if is_last(&events, 1_000) {
                break;
            }
        }
        assert_eq!((positions, pages), ((1..=all).collect(), 2));
        let some = log.read_stream(long.stream(), 0, 1_000).await.expect("a stream").len() as u64;
        assert!(some > 1 && some < count, "{some} of {count}");
        let versions = log.read_stream(long.stream(), some, 1_000).await.expect("a stream");
        assert_eq!(versions[0].version, some + 1);
        let on = log.read_reference(about, 0, all, 1_000).await.expect("a reference");
        assert_eq!(on.iter().map(|event| event.position).collect::<Vec<_>>(), (1..=some).collect::<Vec<_>>());
        let back = log.read_reference_back(about, all, 1_000).await.expect("a reference");
        assert_eq!(back.iter().map(|event| event.position).max(), Some(count));
        assert_eq!(back.len() as u64, some);
        // Several streams are each read as they are by themselves.
        let streams = [long.stream(), short.stream()];
        let read = log.read_streams(&streams, 1_000).await.expect("streams");
        assert_eq!((read[&streams[0]].len() as u64, read[&streams[1]].len()), (some, 2));
    }
    other.close().await;
}

/// Expected versions are exact, over several streams at once, all or none.
pub async fn expected_versions_are_exact(test: TestStore) {
    let log = &*test.store.log;
    let (first, second) = (patient(), patient());
    log.append(append(first, Expected::NoStream, 2)).await.expect("an append");
    for expected in [Expected::NoStream, Expected::Exact(1), Expected::Exact(3)] {
        let refused = log.append(append(first, expected, 1)).await;
        assert!(matches!(refused, Err(AppendError::Conflict { actual: 2, .. })), "{expected:?}: {refused:?}");
    }
    log.append(append(first, Expected::Exact(2), 1)).await.expect("the version fits");
    log.append(append(first, Expected::Any, 1)).await.expect("any version fits");
    let write = |patient_id: events::ids::PatientId, expected| Write {
        stream: patient_id.stream(),
        expected,
        events: vec![event(patient_id, None)],
    };
    let both = of_writes(vec![write(second, Expected::NoStream), write(first, Expected::Exact(1))]);
    assert!(matches!(log.append(both).await, Err(AppendError::Conflict { .. })));
    assert!(log.read_stream(second.stream(), 0, 10).await.expect("a stream").is_empty(), "all or none");
    assert_eq!(log.head().await.expect("the head"), 4, "a refused append leaves no gap");
}

/// A stream that a writer has never met is taken to be new only as long as the storage agrees.
pub async fn a_stream_that_another_process_began_is_not_begun_again(test: TestStore) {
    let (begun, other) = (patient(), test.again().await);
    test.store.log.append(append(begun, Expected::NoStream, 2)).await.expect("an append");
    // From here on it knows how it left the log, but nothing of that stream.
    other.log.append(append(patient(), Expected::NoStream, 1)).await.expect("an append");
    let (again, beside) = tokio::join!(
        other.log.append(append(begun, Expected::NoStream, 1)),
        other.log.append(append(patient(), Expected::NoStream, 1))
    );
    assert!(matches!(again, Err(AppendError::Conflict { actual: 2, .. })), "{again:?}");
    beside.expect("what came with it is stored");
    other.log.append(append(begun, Expected::Exact(2), 1)).await.expect("the version is known now");
    assert_eq!(other.log.read_stream(begun.stream(), 0, 10).await.expect("the stream").len(), 3);
    assert_eq!(other.log.head().await.expect("the head"), 5);
    other.close().await;
}

/// A guard refuses an append whose facts changed.
pub async fn guards_hold(test: TestStore) {
    let log = &*test.store.log;
    let (seen, written) = (patient(), patient());
    log.append(append(seen, Expected::NoStream, 1)).await.expect("an append");
    let mut fits = append(written, Expected::NoStream, 1);
    fits.guards = vec![guard(seen.stream(), 1), guard(patient().stream(), 0)];
    log.append(fits).await.expect("nothing changed");
    for version in [0, 2] {
        let mut stale = append(written, Expected::Exact(1), 1);
        stale.guards = vec![guard(seen.stream(), version)];
        assert!(matches!(log.append(stale).await, Err(AppendError::Conflict { .. })), "seen at {version}");
    }
}

/// The same command is taken once, also when sent many times at once and from another process.
pub async fn a_command_is_taken_once(test: TestStore) {
    let other = test.again().await;
    let command = append(patient(), Expected::NoStream, 1);
    let logs = [&test.store.log, &other.log];
    let sent = (0..40).map(|turn| logs[turn % 2].append(command.clone()));
    let answers: Vec<Appended> =
        join_all(sent).await.into_iter().map(|answer| answer.expect("the first answer")).collect();
    let stored = answers.iter().filter(|answer| matches!(answer, Appended::Stored(_))).count();
    assert!(stored <= 1, "stored once, or once without the caller hearing of it");
    let receipts: Vec<_> = answers.into_iter().map(Appended::into_receipt).collect();
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "one answer for all");
    let mut reused = command.clone();
    reused.fingerprint = [8; 32];
    assert!(matches!(other.log.append(reused).await, Err(AppendError::CommandReused)));
    let mut empty = of_writes(Vec::new());
    empty.command_id = Uuid::now_v7();
    let first = test.store.log.append(empty.clone()).await.expect("nothing to write").into_receipt();
    fill(&*other.log, 3).await;
    assert_eq!(other.log.append(empty).await.expect("repeated"), Appended::Repeated(first));
    assert_eq!(test.store.log.head().await.expect("the head"), 4);
    other.close().await;
}

/// Concurrent writers of two processes leave one gapless order, and a reader
/// that has seen N never finds anything new at or below N.
pub async fn positions_become_visible_in_order(test: TestStore) {
    let other = test.again().await;
    let writers = (0..32).map(|turn| {
        let log = if turn % 2 == 0 { test.store.log.clone() } else { other.log.clone() };
        tokio::spawn(async move { fill(&*log, 30).await })
    });
    let writers: Vec<_> = writers.collect();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let log = test.store.log.clone();
            tokio::spawn(async move {
                let mut next = 0;
                while next < 960 {
                    // Small pieces, so that many reads fall between commits.
                    for event in log.read_all(next, 17).await.expect("the log") {
                        next += 1;
                        assert_eq!(event.position, next, "no gap, ever");
                    }
                }
            })
        })
        .collect();
    for task in join_all(writers).await {
        task.expect("a writer");
    }
    for task in join_all(readers).await {
        task.expect("a reader");
    }
    other.close().await;
}

/// Whoever follows the log reads exactly what is stored, whether this process
/// appended it a moment ago, long ago, or another process did in between.
pub async fn followers_read_what_is_stored(test: TestStore) {
    let other = test.again().await;
    let mut stored = 0;
    for (turn, count) in [3, 1, 700, 2, 1_000, 1_000, 1_000, 1_000, 1_000, 5, 4].into_iter().enumerate() {
        let log = if turn % 3 == 2 { &other.log } else { &test.store.log };
        let mut append = append(patient(), Expected::NoStream, count);
        for event in append.writes.iter_mut().flat_map(|write| &mut write.events) {
            event.occurred_at += chrono::TimeDelta::nanoseconds(1_234_567);
        }
        log.append(append).await.expect("an append");
        stored += count as u64;
        // A third has appended nothing: it reads what is stored.
        let third = test.again().await;
        for after in [0, 1, 2, 3, 4, 703, 704, 2_705, 2_706, stored.saturating_sub(5), stored - 1, stored, stored + 9] {
            for limit in [1, 1_000] {
                let truth = third.log.read_all(after, limit).await.expect("the log");
                for log in [&test.store.log, &other.log] {
                    assert_eq!(log.read_all(after, limit).await.expect("the log"), truth, "after {after} of {stored}");
                    let followed = log.follow(after, limit).await.expect("the log");
                    assert_eq!(followed, truth[..followed.len()], "after {after} of {stored}");
                    assert_eq!(followed.is_empty(), truth.is_empty(), "after {after} of {stored}");
                }
            }
        }
        third.close().await;
    }
    other.close().await;
}

/// Recorded times never decrease, and a position can be found by time.
pub async fn times_follow_positions(test: TestStore) {
    let log = &*test.store.log;
    fill(log, 5).await;
    let events = log.read_all(0, 10).await.expect("the log");
    assert!(events.is_sorted_by_key(|event| event.recorded_at));
    assert_eq!(log.position_at(some_time()).await.expect("a position"), 0, "before anything");
    let last = events.last().expect("an event").recorded_at;
    assert_eq!(log.position_at(last).await.expect("a position"), 5);
}

/// Malformed appends are refused by name and leave nothing.
pub async fn malformed_appends_are_refused(test: TestStore) {
    let log = &*test.store.log;
    let patient_id = patient();
    let write = |events| Write { stream: patient_id.stream(), expected: Expected::Any, events };
    let one = || vec![event(patient_id, None)];
    let cases = [
        (of_writes(vec![write(Vec::new())]), MalformedAppend::EmptyWrite),
        (of_writes(vec![write(one()), write(one())]), MalformedAppend::StreamTwice),
        (of_writes(vec![write(vec![event(patient_id, None); 1_001])]), MalformedAppend::TooManyEvents),
    ];
    for (append, expected) in cases {
        match log.append(append).await {
            Err(AppendError::Malformed(how)) => assert_eq!(how, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
    assert_eq!(log.head().await.expect("the head"), 0);
}

/// Snapshots: the newest is kept, and all can be deleted.
pub async fn snapshots_can_come_and_go(test: TestStore) {
    let log = &*test.store.log;
    let stream = patient().stream();
    let snapshot = |version| Snapshot { stream, version, state_version: 1, state: vec![1, 2].into() };
    for version in [5, 9, 7] {
        log.save_snapshot(snapshot(version)).await.expect("a snapshot");
    }
    assert_eq!(log.load_snapshot(stream).await.expect("a snapshot"), Some(snapshot(9)));
    log.delete_snapshots().await.expect("deleted");
    assert_eq!(log.load_snapshot(stream).await.expect("none"), None);
}

/// A log whose database is gone says so.
pub async fn a_closed_log_says_so(test: TestStore) {
    test.store.close().await;
    assert!(matches!(test.store.log.head().await, Err(LogError::Database { .. })));
}
