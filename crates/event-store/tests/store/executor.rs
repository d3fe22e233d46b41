//! Carrying commands out on real storage: repeated, raced, refused, from snapshots.

use std::sync::atomic::{AtomicUsize, Ordering};

use decider::{Aggregate, Context, Decision, Facts, Halt, Need, Reason};
use event_store::execute::{ExecuteError, Executed, Executor, ExecutorOptions, Precondition, Request};
use event_store::log::{Expected, Snapshot};
use events::envelope::{Actor, References};
use events::ids::{PatientId, StreamId, StreamKey, StreamType};
use events::patient::{ObservationRecorded, PatientEvent};
use events::trial::ObservationValue;
use events::values::Quantity;
use futures::future::join_all;
use testkit::appends::{append, patient, some_time};
use testkit::stores::{self, TestStore};
use uuid::Uuid;

/// A patient as far as these tests care: how many observations there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Counter {
    count: u32,
}

impl Aggregate for Counter {
    type Id = PatientId;
    type Event = PatientEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(mut self, _event: &PatientEvent, _occurred_at: chrono::DateTime<chrono::Utc>) -> Self {
        self.count += 1;
        self
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there are {0} already")]
struct Full(u32);

impl Reason for Full {
    fn rule(&self) -> &'static str {
        "full"
    }
}

/// Adds one to a patient while there are fewer than `max`.
fn add(facts: &Facts, id: PatientId, max: u32) -> Result<Decision, Halt> {
    let counter = facts.get::<Counter>(id)?;
    if counter.count >= max {
        return Err(Full(counter.count).into());
    }
    let observed = ObservationRecorded {
        code: "N".to_owned(),
        value: ObservationValue::Number(Quantity::from(1)),
        unit: None,
        observed_at: some_time(),
    };
    Ok(Decision::new(References::patient(id), some_time()).append(id, observed))
}

fn request(id: PatientId) -> Request {
    Request::own(Uuid::now_v7(), [1; 32], Actor::system("test"), id.stream())
}

async fn send(executor: &Executor, id: PatientId, max: u32) -> Result<Executed, ExecuteError> {
    executor.execute(&request(id), &|_: &Context, facts: &Facts| add(facts, id, max)).await
}

/// A rule over one stream holds however many ask at once, from two processes.
async fn a_limit_holds_under_a_race(test: TestStore) {
    let other = test.again().await;
    let executors = [stores::executor(&test.store).await, stores::executor(&other).await];
    let id = patient();
    let sent = (0..40).map(|turn| send(&executors[turn % 2], id, 7));
    let ends = join_all(sent).await;
    let taken = ends.iter().filter(|end| end.is_ok()).count();
    assert_eq!(taken, 7);
    for end in ends.into_iter().filter_map(Result::err) {
        assert!(matches!(&end, ExecuteError::Refused(refusal) if refusal.rule == "full"), "{end:?}");
    }
    other.close().await;
}

/// Who sends much to a stream keeps nobody else from it: the queue has one place for each.
async fn who_sends_much_holds_up_nobody(test: TestStore) {
    const MANY: usize = 200;
    let executor = stores::executor(&test.store).await;
    let id = patient();
    let add_one = |_: &Context, facts: &Facts| add(facts, id, u32::MAX);
    let many = join_all((0..MANY).map(|_| async { executor.execute(&request(id), &add_one).await.is_ok() }));
    let other = async {
        // The others are on their way.
        while test.store.log.head().await.expect("the head") == 0 {
            tokio::task::yield_now().await;
        }
        let other = Request { actor: Actor::system("other"), ..request(id) };
        executor.execute(&other, &add_one).await.expect("it is taken").receipt.position
    };
    let (all, position) = tokio::join!(many, other);
    assert!(all.iter().all(|done| *done), "everybody's are taken");
    assert!(position < MANY as u64 / 2, "the other's came at {position}");
}

/// A rule over two streams holds, too: what is read and not written is guarded.
async fn a_limit_over_two_streams_holds_under_a_race(test: TestStore) {
    let executor = stores::executor(&test.store).await;
    let (first, second) = (patient(), patient());
    let one_of_both = |written: PatientId, read: PatientId| {
        let executor = executor.clone();
        async move {
            let decide = |_: &Context, facts: &Facts| {
                if facts.get::<Counter>(read)?.count > 0 {
                    return Err(Full(1).into());
                }
                add(facts, written, 1)
            };
            executor.execute(&request(written), &decide).await
        }
    };
    let sent = (0..20).map(|turn| if turn % 2 == 0 { one_of_both(first, second) } else { one_of_both(second, first) });
    let taken = join_all(sent).await.iter().filter(|end| end.is_ok()).count();
    assert_eq!(taken, 1, "either the one or the other, never both");
}

/// A refusal that is to be remembered is: the same command gets it again, whatever the facts are by then.
async fn a_refusal_that_is_kept_stays(test: TestStore) {
    let id = patient();
    let keeping = Request { keep_refusal: true, ..request(id) };
    let refuse = |_: &Context, facts: &Facts| add(facts, id, 0);
    let allow = |_: &Context, facts: &Facts| add(facts, id, 9);
    let first = stores::executor(&test.store).await.execute(&keeping, &refuse).await.expect("it ends well");
    assert_eq!(first.receipt.refusal.as_ref().map(|refusal| refusal.rule.as_str()), Some("full"));
    assert!(!first.repeated && first.receipt.events.is_empty());
    assert_eq!(test.store.log.head().await.expect("the head"), 0, "it leaves no event");
    let other = test.again().await;
    for store in [&test.store, &other] {
        let again = stores::executor(store).await.execute(&keeping, &allow).await.expect("its first answer");
        assert!(again.repeated);
        assert_eq!(again.receipt, first.receipt);
        let plain = Request { keep_refusal: false, ..keeping.clone() };
        let end = stores::executor(store).await.execute(&plain, &allow).await;
        assert!(matches!(&end, Err(ExecuteError::Refused(refusal)) if refusal.rule == "full"), "{end:?}");
    }
    let taken = request(id);
    stores::executor(&test.store).await.execute(&taken, &allow).await.expect("another is taken");
    let ids = [keeping.command_id, taken.command_id, Uuid::now_v7()];
    let known = other.log.find_commands(&ids).await.expect("an answer");
    assert_eq!(known.len(), 2);
    assert_eq!(known[&keeping.command_id].receipt, first.receipt);
    assert_eq!(known[&taken.command_id].receipt.refusal, None);
    other.close().await;
}

/// A refusal that rests on what is old by now is not remembered: it is decided anew.
async fn a_stale_refusal_is_not_kept(test: TestStore) {
    let (id, other) = (patient(), test.again().await);
    let (here, there) = (stores::executor(&test.store).await, stores::executor(&other).await);
    send(&here, id, 9).await.expect("here it is known that there is one");
    send(&there, id, 9).await.expect("and there are two");
    let decide = |_: &Context, facts: &Facts| match facts.get::<Counter>(id)?.count {
        1 => Err(Full(1).into()),
        _ => add(facts, id, 9),
    };
    let keeping = Request { keep_refusal: true, ..request(id) };
    let executed = here.execute(&keeping, &decide).await.expect("it is decided anew");
    assert_eq!((executed.receipt.refusal, executed.receipt.events.len()), (None, 1));
    other.close().await;
}

/// A repeated command gives its first answer, also when it would be refused now.
async fn a_repeated_command_gives_its_first_answer(test: TestStore) {
    let id = patient();
    let request = request(id);
    let decide = |_: &Context, facts: &Facts| add(facts, id, 1);
    let first = stores::executor(&test.store).await.execute(&request, &decide).await.expect("it is taken");
    assert!(!first.repeated);
    for executor in [stores::executor(&test.store).await, stores::executor(&test.again().await).await] {
        let again = executor.execute(&request, &decide).await.expect("the first answer");
        assert!(again.repeated);
        assert_eq!(again.receipt, first.receipt);
        let other = Request { fingerprint: [2; 32], ..request.clone() };
        let reused = executor.execute(&other, &decide).await;
        assert!(matches!(reused, Err(ExecuteError::CommandReused)), "{reused:?}");
    }
    assert_eq!(test.store.log.head().await.expect("the head"), 1);
}

/// What is taken not to exist and does is read before anything is refused or written.
async fn what_is_created_need_not_be_read_first(test: TestStore) {
    let id = patient();
    let creates = |request: Request| Request { creates: true, ..request };
    let decide = |_: &Context, facts: &Facts| add(facts, id, 1);
    let first = creates(request(id));
    let taken = stores::executor(&test.store).await.execute(&first, &decide).await.expect("it does not exist");
    let again = stores::executor(&test.store).await.execute(&first, &decide).await.expect("the first answer");
    assert_eq!((again.repeated, again.receipt), (true, taken.receipt));
    let refused = stores::executor(&test.store).await.execute(&creates(request(id)), &decide).await;
    assert!(matches!(&refused, Err(ExecuteError::Refused(refusal)) if refusal.rule == "full"), "{refused:?}");
    let wants_one = |_: &Context, facts: &Facts| {
        if facts.get::<Counter>(id)?.count == 0 { Err(Full(0).into()) } else { add(facts, id, 9) }
    };
    stores::executor(&test.store).await.execute(&creates(request(id)), &wants_one).await.expect("there is one");
    assert_eq!(test.store.log.head().await.expect("the head"), 2);
}

/// A refusal that rests on facts from memory is looked at again when others have moved them.
async fn a_refusal_rests_on_what_the_log_holds(test: TestStore) {
    let other = test.again().await;
    let (here, there) = (stores::executor(&test.store).await, stores::executor(&other).await);
    let id = patient();
    send(&here, id, 9).await.expect("it is taken");
    send(&there, id, 9).await.expect("it is taken");
    // Here only one is known; what there is refused below two must be taken.
    let at_least_two = |_: &Context, facts: &Facts| {
        if facts.get::<Counter>(id)?.count < 2 {
            return Err(Full(0).into());
        }
        add(facts, id, 9)
    };
    here.execute(&request(id), &at_least_two).await.expect("there are two");
    // With a cache that keeps nothing, likewise.
    let forgetful = Executor::new(
        test.store.log.clone(),
        stores::installation(&test.store).await,
        ExecutorOptions { cached_streams_max: 0, snapshot_every: 100 },
    );
    let tries = AtomicUsize::new(0);
    let grows_meanwhile = |_: &Context, facts: &Facts| {
        let count = facts.get::<Counter>(id)?.count;
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            let (log, id) = (test.store.log.clone(), id);
            let added = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let append = testkit::appends::append(id, event_store::log::Expected::Any, 1);
                runtime.block_on(log.append(append)).expect("an append");
            });
            added.join().expect("it is added");
        }
        if count < 4 { Err(Full(count).into()) } else { add(facts, id, 9) }
    };
    forgetful.execute(&request(id), &grows_meanwhile).await.expect("there are four by now");
    other.close().await;
}

async fn an_expected_version_is_compared(test: TestStore) {
    let executor = stores::executor(&test.store).await;
    let id = patient();
    let with = |version: u64| Request { if_match: Precondition::OneOf(vec![version.into()]), ..request(id) };
    let decide = |_: &Context, facts: &Facts| add(facts, id, 9);
    executor.execute(&with(0), &decide).await.expect("it does not exist");
    executor.execute(&with(1), &decide).await.expect("it stands there");
    let mismatch = executor.execute(&with(1), &decide).await;
    assert!(matches!(mismatch, Err(ExecuteError::VersionMismatch { actual: 2, .. })), "{mismatch:?}");
    let expecting = |if_match| Request { if_match, ..request(id) };
    let any = Precondition::OneOf(vec![7.into(), 2.into()]);
    executor.execute(&expecting(any), &decide).await.expect("it stands at one of them");
    executor.execute(&expecting(Precondition::Exists), &decide).await.expect("it exists");
    let none = executor.execute(&expecting(Precondition::OneOf(Vec::new())), &decide).await;
    assert!(matches!(none, Err(ExecuteError::VersionMismatch { actual: 4, .. })), "{none:?}");
    let other = patient();
    let decide_other = |_: &Context, facts: &Facts| add(facts, other, 9);
    let absent = Request { if_match: Precondition::Exists, ..request(other) };
    let absent = executor.execute(&absent, &decide_other).await;
    assert!(matches!(absent, Err(ExecuteError::VersionMismatch { actual: 0, .. })), "{absent:?}");
}

/// Snapshots are made, used, ignored where they do not fit, and may go at any time.
async fn snapshots_change_nothing_but_the_way(test: TestStore) {
    let log = &test.store.log;
    let options = ExecutorOptions { snapshot_every: 5, ..ExecutorOptions::default() };
    let installation = stores::installation(&test.store).await;
    let id = patient();
    let executor = Executor::new(log.clone(), installation.clone(), options);
    for _ in 0..12 {
        send(&executor, id, 100).await.expect("it is taken");
    }
    let kept =
        async || log.load_snapshot(id.stream()).await.expect("a snapshot").is_some_and(|kept| kept.version == 10);
    testkit::eventually("a snapshot is kept", std::time::Duration::from_secs(30), kept).await;
    let count = async || {
        let seen = AtomicUsize::new(0);
        let decide = |_: &Context, facts: &Facts| {
            seen.store(facts.get::<Counter>(id)?.count as usize, Ordering::SeqCst);
            Err::<Decision, Halt>(Full(0).into())
        };
        drop(Executor::new(log.clone(), installation.clone(), options).execute(&request(id), &decide).await);
        seen.into_inner()
    };
    assert_eq!(count().await, 12, "from the snapshot");
    let kept = log.load_snapshot(id.stream()).await.expect("an answer").expect("a snapshot");
    assert!(!kept.state.windows(5).any(|part| part == b"count"), "it is sealed");
    let open = |version, state_version, state: &str| Snapshot {
        stream: id.stream(),
        version,
        state_version,
        state: state.as_bytes().to_vec().into(),
    };
    let planted = |version, state_version, state| {
        executor.sealer().seal_snapshot(open(version, state_version, state)).expect("it is sealed")
    };
    log.save_snapshot(planted(11, 1, r#"{"count":1000}"#)).await.expect("a snapshot");
    assert_eq!(count().await, 1001, "a snapshot is used and only the rest is read");
    log.save_snapshot(planted(12, 9, r#"{"count":1000}"#)).await.expect("a snapshot");
    assert_eq!(count().await, 12, "one of another shape is not");
    log.delete_snapshots().await.expect("deleted");
    log.save_snapshot(planted(12, 1, "nonsense")).await.expect("a snapshot");
    assert_eq!(count().await, 12, "nor one that cannot be read");
    log.delete_snapshots().await.expect("deleted");
    log.save_snapshot(open(12, 1, r#"{"count":1000}"#)).await.expect("a snapshot");
    assert_eq!(count().await, 12, "nor one that nobody sealed");
    log.delete_snapshots().await.expect("deleted");
    log.save_snapshot(Snapshot { version: 12, ..planted(11, 1, r#"{"count":1000}"#) }).await.expect("a snapshot");
    assert_eq!(count().await, 12, "nor one that was sealed for another version");
    log.delete_snapshots().await.expect("deleted");
    assert_eq!(count().await, 12);
}

/// More streams than any other decision looks at, asked for at once.
async fn a_decision_may_look_at_hundreds_of_streams(test: TestStore) {
    let executor = stores::executor(&test.store).await;
    let ids: Vec<PatientId> = (0..300).map(|_| patient()).collect();
    send(&executor, ids[299], 1).await.expect("it is added");
    let fresh = stores::executor(&test.store).await;
    let decided = AtomicUsize::new(0);
    let sum = |_: &Context, facts: &Facts| {
        decided.fetch_add(1, Ordering::Relaxed);
        facts.require(ids.iter().map(|id| Need::of::<Counter>(*id)))?;
        let counts: Result<Vec<u32>, Halt> = ids.iter().map(|id| Ok(facts.get::<Counter>(*id)?.count)).collect();
        assert_eq!(counts?.into_iter().sum::<u32>(), 1);
        add(facts, ids[0], 1)
    };
    fresh.execute(&request(ids[0]), &sum).await.expect("it is decided");
    assert_eq!(decided.into_inner(), 2, "once to ask, once to decide");
}

/// Short and long ones, one that does not exist, one that is asked for twice, one whose id another kind has, too.
async fn several_streams_are_read_as_each_of_them_is(test: TestStore) {
    let log = &test.store.log;
    let (short, long, missing) = (patient(), patient(), patient());
    log.append(append(short, Expected::NoStream, 2)).await.expect("an append");
    log.append(append(long, Expected::NoStream, 9)).await.expect("an append");
    let other_kind = StreamId { kind: StreamType::Consent, ..short.stream() };
    let streams = [short.stream(), long.stream(), missing.stream(), short.stream(), other_kind];
    let read = log.read_streams(&streams, 5).await.expect("streams");
    assert_eq!(read.len(), 4);
    for stream in streams {
        assert_eq!(read[&stream], log.read_stream(stream, 0, 5).await.expect("a stream"), "{stream:?}");
    }
    assert_eq!((read[&short.stream()].len(), read[&long.stream()].len()), (2, 5));
}

testkit::on_both_engines! {
    several_streams_are_read_as_each_of_them_is,
    a_decision_may_look_at_hundreds_of_streams,
    a_refusal_that_is_kept_stays,
    a_stale_refusal_is_not_kept,
    a_limit_holds_under_a_race,
    who_sends_much_holds_up_nobody,
    a_limit_over_two_streams_holds_under_a_race,
    a_repeated_command_gives_its_first_answer,
    a_refusal_rests_on_what_the_log_holds,
    what_is_created_need_not_be_read_first,
    an_expected_version_is_compared,
    snapshots_change_nothing_but_the_way,
}
