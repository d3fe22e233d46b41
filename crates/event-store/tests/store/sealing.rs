//! What people are and write is sealed before it is stored, opened for decisions, and gone with the keys.

use std::sync::Mutex;
use std::time::Duration;

use decider::{Aggregate, Context, Decision, Facts, Halt, Need, StreamFold};
use event_store::Document;
use event_store::execute::{ExecuteError, Executed, Executor, ExecutorOptions, Request};
use events::enrolment::subject::{SubjectEvent, SubjectRandomised};
use events::envelope::{Actor, Envelope, References};
use events::guarded::Whose;
use events::ids::{PatientId, StreamKey, SubjectId, TrialId};
use events::patient::{Demographics, DemographicsCorrected, PatientEvent, PatientRegistered};
use events::values::{Blinded, Personal};
use sealing::{Keyring, Owner};
use serde_json::Value;
use testkit::appends::{patient, some_time};
use testkit::eventually;
use testkit::stores::{self, TestStore};
use uuid::Uuid;

const NAME: &str = "Solveig Markerud";

/// A person's name as decisions see it.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Named {
    name: Option<Personal<String>>,
}

impl Aggregate for Named {
    type Id = PatientId;
    type Event = PatientEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(mut self, event: &PatientEvent, _occurred_at: chrono::DateTime<chrono::Utc>) -> Self {
        if let PatientEvent::PatientRegistered(registered) = event {
            self.name.clone_from(&registered.name);
        }
        self
    }
}

/// A subject; nothing is asked of it.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Allocated;

impl Aggregate for Allocated {
    type Id = SubjectId;
    type Event = SubjectEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, _event: &SubjectEvent, _occurred_at: chrono::DateTime<chrono::Utc>) -> Self {
        self
    }
}

fn request(id: PatientId) -> Request {
    Request::own(Uuid::now_v7(), [1; 32], Actor::system("test"), id.stream())
}

/// Has the person bear this name.
async fn name(executor: &Executor, id: PatientId, name: Personal<String>) -> Result<Executed, ExecuteError> {
    let decide = |_: &Context, facts: &Facts| {
        facts.get::<Named>(id)?;
        let registered = PatientRegistered { name: Some(name.clone()), ..PatientRegistered::default() };
        Ok::<_, Halt>(Decision::new(References::patient(id), some_time()).append(id, registered))
    };
    executor.execute(&request(id), &decide).await
}

/// The name as a decision sees it.
async fn seen(executor: &Executor, id: PatientId) -> Option<String> {
    let seen = Mutex::new(None);
    let decide = |_: &Context, facts: &Facts| {
        let name = facts.get::<Named>(id)?.name.clone();
        *seen.lock().expect("nobody panicked") = name.and_then(|name| name.expose().cloned());
        Ok::<_, Halt>(Decision::new(References::patient(id), some_time()))
    };
    executor.execute(&request(id), &decide).await.expect("it is decided");
    seen.into_inner().expect("nobody panicked")
}

async fn stored(test: &TestStore, id: PatientId) -> Envelope {
    test.store.log.read_stream(id.stream(), 0, 10).await.expect("events").pop().expect("an event")
}

fn name_in(event: &Envelope) -> Value {
    serde_json::from_slice::<Value>(&event.payload).expect("JSON")["name"].take()
}

fn sealed(value: &Value) -> Personal<String> {
    serde_json::from_value(value.clone()).expect("a sealed value")
}

async fn what_is_sealed_in_the_log_is_open_to_decisions_only(test: TestStore) {
    let (executor, id) = (stores::executor(&test.store).await, patient());
    name(&executor, id, Personal::new(NAME.to_owned())).await.expect("it is taken");
    let event = stored(&test, id).await;
    assert!(name_in(&event)["sealed"].as_str().is_some_and(|text| text.starts_with("v1.patient.")), "{event:?}");
    assert!(!String::from_utf8_lossy(&event.payload).contains("Markerud"));
    assert_eq!(seen(&executor, id).await.as_deref(), Some(NAME), "as it was decided");
    let fresh = stores::executor(&test.store).await;
    assert_eq!(seen(&fresh, id).await.as_deref(), Some(NAME), "as it was read");
    let mut opened = [event];
    fresh.sealer().open(&mut opened).await.expect("the keys are there");
    assert_eq!(name_in(&opened[0]), NAME);
}

async fn what_was_moved_or_altered_stays_sealed(test: TestStore) {
    let (executor, one, other) = (stores::executor(&test.store).await, patient(), patient());
    name(&executor, one, Personal::new(NAME.to_owned())).await.expect("it is taken");
    name(&executor, other, Personal::new("Kari Nordmann".to_owned())).await.expect("it is taken");
    let (of_one, of_other) = (stored(&test, one).await, stored(&test, other).await);
    let moved = Envelope { payload: of_one.payload.clone(), ..of_other };
    let another_event = Envelope { command_id: Uuid::now_v7(), ..of_one.clone() };
    let text = String::from_utf8(of_one.payload.to_vec()).expect("text");
    let (begin, end) = text.split_at(text.len() / 2);
    let other_letter = if end.starts_with('A') { "B" } else { "A" };
    let altered = Envelope { payload: format!("{begin}{other_letter}{}", &end[1..]).into(), ..of_one };
    let mut events = [moved, another_event, altered];
    executor.sealer().open(&mut events).await.expect("the keys are there");
    for event in &events {
        assert!(!String::from_utf8_lossy(&event.payload).contains("Markerud"), "{event:?}");
    }

    // Nor is it taken for somebody else's, although the program has both keys.
    let smuggled = sealed(&name_in(&stored(&test, one).await));
    let refused = name(&executor, other, smuggled).await.expect_err("it is another's");
    assert!(matches!(refused, ExecuteError::Sealing(_)), "{refused:?}");
    // What is sealed of the same person goes into a further event, sealed for that.
    let again = sealed(&name_in(&stored(&test, one).await));
    name(&executor, one, again.clone()).await.expect("it is taken");
    let event = stored(&test, one).await;
    assert_ne!(sealed(&name_in(&event)), again);
    let mut opened = [event];
    executor.sealer().open(&mut opened).await.expect("the keys are there");
    assert_eq!(name_in(&opened[0]), NAME);
}

async fn who_is_erased_is_gone_and_nothing_more_is_kept_of_them(test: TestStore) {
    let (installation, id) = (stores::installation(&test.store).await, patient());
    let executor = Executor::new(test.store.log.clone(), installation.clone(), Default::default());
    name(&executor, id, Personal::new(NAME.to_owned())).await.expect("it is taken");
    let keyring: &Keyring = installation.keyring();
    assert!(keyring.destroy(Owner::patient(id.uuid())).await.expect("destroyed"));
    let fresh = Executor::new(test.store.log.clone(), installation.clone(), Default::default());
    assert_eq!(seen(&fresh, id).await, None);
    let refused = name(&fresh, id, Personal::new("Anew".to_owned())).await.expect_err("nothing more is kept");
    assert!(matches!(&refused, ExecuteError::Sealing(error) if error.is_erased() && !error.may_pass()), "{refused:?}");
    assert_eq!(stored(&test, id).await.version, 1);
}

async fn allocation_is_sealed_for_its_trial_and_opened_for_no_other(test: TestStore) {
    let executor = stores::executor(&test.store).await;
    let (subject_id, trial_id) = (SubjectId::from(Uuid::now_v7()), TrialId::from(Uuid::now_v7()));
    let references = References { trial_id: Some(trial_id), ..References::default() };
    let decide = |_: &Context, facts: &Facts| {
        facts.require([Need { stream: subject_id.stream(), fold: StreamFold::of::<Allocated>() }])?;
        let randomised = SubjectRandomised { arm: Blinded::new("ACT".to_owned()) };
        Ok::<_, Halt>(Decision::new(references, some_time()).append(subject_id, randomised))
    };
    let request = Request::own(Uuid::now_v7(), [1; 32], Actor::system("test"), subject_id.stream());
    executor.execute(&request, &decide).await.expect("it is taken");
    let event = test.store.log.read_stream(subject_id.stream(), 0, 1).await.expect("events").remove(0);
    assert!(!String::from_utf8_lossy(&event.payload).contains("ACT"), "{event:?}");
    let of_another = References { trial_id: Some(TrialId::from(Uuid::now_v7())), ..References::default() };
    let mut events = [event.clone(), Envelope { references: of_another, ..event }];
    executor.sealer().open(&mut events).await.expect("the keys are there");
    let [opened, moved] = events;
    assert_eq!(&*opened.payload, br#"{"arm":"ACT"}"#);
    assert!(!String::from_utf8_lossy(&moved.payload).contains("ACT"), "{moved:?}");
}

/// What somebody wrote of the person, as it stands in the log.
async fn written(executor: &Executor, test: &TestStore, id: PatientId) -> Value {
    let decide = |_: &Context, facts: &Facts| {
        facts.get::<Named>(id)?;
        let corrected = DemographicsCorrected {
            changes: Demographics::default(),
            previous: Demographics::default(),
            reason: "Misheard".into(),
        };
        Ok::<_, Halt>(Decision::new(References::patient(id), some_time()).append(id, corrected))
    };
    executor.execute(&request(id), &decide).await.expect("it is taken");
    let event = stored(test, id).await;
    serde_json::from_slice::<Value>(&event.payload).expect("JSON")["reason"].take()
}

/// Whoever keeps views may put any sealed value into any document.
async fn documents_open_only_what_their_own_stream_wrote_for_them(test: TestStore) {
    let (executor, one, other) = (stores::executor(&test.store).await, patient(), patient());
    name(&executor, one, Personal::new(NAME.to_owned())).await.expect("it is taken");
    let named = name_in(&stored(&test, one).await);
    let reason = written(&executor, &test, one).await;
    let (of_one, of_other) = (Whose::Patient(one), Whose::Patient(other));
    let paths: &[&[&str]] = &[&["text"]];
    for (value, stream, whose, opened) in [
        (&reason, one, of_one, true),
        // Of another stream; of whom the document is not.
        (&reason, other, of_one, false),
        (&reason, one, of_other, false),
        // Who somebody is no document tells.
        (&named, one, of_one, false),
    ] {
        let (stream, fields) = (Some(stream.uuid()), serde_json::json!({"text": value}));
        let mut documents = [Document { whose: vec![whose], view: "consents", stream, fields }];
        executor.sealer().open_documents(paths, &mut documents).await.expect("the keys are there");
        assert_eq!(documents[0].fields["text"] == "Misheard", opened, "{:?}", documents[0].fields);
        assert_eq!(documents[0].fields["text"].is_object(), !opened);
    }
}

async fn a_snapshots_length_tells_nothing(test: TestStore) {
    let options = ExecutorOptions { snapshot_every: 1, ..ExecutorOptions::default() };
    let executor = Executor::new(test.store.log.clone(), stores::installation(&test.store).await, options);
    let mut lengths = Vec::new();
    for length in [1, 20, 300] {
        let id = patient();
        name(&executor, id, Personal::new("x".repeat(length))).await.expect("it is taken");
        let kept = async || test.store.log.load_snapshot(id.stream()).await.expect("snapshots").is_some();
        eventually("a snapshot is kept", Duration::from_secs(30), kept).await;
        let snapshot = test.store.log.load_snapshot(id.stream()).await.expect("snapshots").expect("a snapshot");
        lengths.push(snapshot.state.len());
    }
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
}

testkit::on_both_engines! {
    a_snapshots_length_tells_nothing,
    documents_open_only_what_their_own_stream_wrote_for_them,
    allocation_is_sealed_for_its_trial_and_opened_for_no_other,
    what_is_sealed_in_the_log_is_open_to_decisions_only,
    what_was_moved_or_altered_stays_sealed,
    who_is_erased_is_gone_and_nothing_more_is_kept_of_them,
}
