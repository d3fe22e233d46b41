//! Steps that an operator has to look at, and who is told to have done what.

use decider::Refusal;
use domain::When;
use domain::enrolment::subject::EnrolSubject;
use domain::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use event_store::log::{Expected, Write};
use event_store::sagas::{StepChange, StepStatus, StoredStep};
use events::envelope::{Envelope, References};
use events::ids::{PatientId, StreamKey as _, SubjectId};
use events::operation::dead_letter::StepDeadLettered;
use events::registry::AnyEvent;
use saga::{DynProcess, Erased, PROCESSES};
use serde::{Deserialize, Serialize};
use serde_json::json;
use testkit::appends::{event, of_writes};
use testkit::on_both_engines;
use testkit::stores::TestStore;
use uuid::Uuid;

use crate::clinic::{Clinic, TRACE};
use crate::courses::{Course, Enrolment};
use crate::faults::{Faults, Place};
use crate::world::{Processes, count, instances, run_until_quiet, runner};

static STUBBORN: Processes = &[&Erased::<Stubborn>::new() as &dyn DynProcess];

/// Wants to enrol everybody who is registered, and calls for an operator where that is refused.
struct Stubborn;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State(References);

impl ProcessManager for Stubborn {
    const NAME: &'static str = "stubborn";
    const COMMANDS: &'static [&'static str] = &["EnrolSubject"];
    const STATE_VERSION: u32 = 1;
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Patient(_) => Route::Start(envelope.stream.id),
            _ => Route::Nobody,
        }
    }

    fn evolve(_state: State, _event: &AnyEvent, envelope: &Envelope) -> State {
        State(envelope.references)
    }

    fn react(_state: &State, _event: &AnyEvent, envelope: &Envelope) -> Vec<Step> {
        vec![Step::new("enrol", (SubjectId::from(envelope.stream.id), EnrolSubject { occurred_at: When::NOW }))]
    }

    fn on_refusal(_state: &State, _step: &Step, _refusal: &Refusal) -> OnRefusal {
        OnRefusal::DeadLetter
    }

    fn phase(_state: &State) -> Phase {
        Phase { waiting_for: "enrolment".to_owned(), finished: false }
    }

    fn references(state: &State) -> References {
        state.0
    }
}

on_both_engines!(
    a_dead_letter_is_tried_again_as_another_command,
    a_step_that_cannot_be_read_is_a_dead_letter,
    a_step_of_another_kind_is_a_dead_letter,
    steps_tell_who_and_why,
);

async fn register(test: &TestStore) {
    let patient_id = PatientId::from(Uuid::from_u128(1));
    let events = vec![event(patient_id, None)];
    let write = Write { stream: patient_id.stream(), expected: Expected::NoStream, events };
    test.store.log.append(of_writes(vec![write])).await.expect("an append");
}

/// The dead letters so far, by the id of the step's command.
async fn letters(test: &TestStore) -> Vec<(Uuid, StepDeadLettered)> {
    let events = test.store.log.read_all(0, 1_000).await.expect("the log");
    let letters = events.into_iter().filter(|event| event.event_type == "StepDeadLettered");
    letters.map(|event| (event.stream.id, serde_json::from_slice(&event.payload).expect("a payload"))).collect()
}

async fn a_dead_letter_is_tried_again_as_another_command(test: TestStore) {
    register(&test).await;
    run_until_quiet(&test.store, runner(&test.store, STUBBORN).await).await;
    let first = letters(&test).await;
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].1.saga.as_str(), first[0].1.rule.as_str()), ("stubborn", "subject-not-found"));
    let known = test.store.log.find_command(first[0].0).await.expect("an answer").expect("it left a receipt");
    assert_eq!(known.receipt.refusal.expect("a refusal").rule, "subject-not-found");
    let clinic = Clinic::new(test.store.clone()).await;
    clinic.send("RetryDeadLetter", first[0].0.as_u128(), json!({"reason": "Try"})).await;
    run_until_quiet(&test.store, runner(&test.store, STUBBORN).await).await;
    let second = letters(&test).await;
    assert_eq!(second.len(), 2, "decided anew, and refused anew");
    assert_ne!(second[0].0, second[1].0);
    assert_eq!(test.store.sagas.troubles("stubborn", 1).await.expect("an answer").dead, 1);
    clinic.send("DropDeadLetter", second[1].0.as_u128(), json!({"reason": "Enough"})).await;
    run_until_quiet(&test.store, runner(&test.store, STUBBORN).await).await;
    assert_eq!(test.store.sagas.troubles("stubborn", 1).await.expect("an answer").dead, 0);
    let before = instances(&test.store).await;
    let mut statuses: Vec<_> = before[0].steps.iter().map(|step| (step.name.as_str(), step.status.as_str())).collect();
    statuses.sort_unstable();
    let letter = ("dead-letter-enrol", "done");
    assert_eq!(statuses, [letter, letter, ("enrol", "dropped"), ("enrol", "retried")]);
    // Thrown away, the same comes out of the log, and nothing is sent.
    let cursor = test.store.sagas.cursor("stubborn").await.expect("an answer");
    test.store.sagas.restart("stubborn", 1, 1, cursor).await.expect("thrown away");
    let counting = Faults::none();
    run_until_quiet(&test.store, runner(&counting.clone().around(&test.store), STUBBORN).await).await;
    assert_eq!(counting.count(Place::Append), 0, "commands were sent again");
    assert_eq!(instances(&test.store).await, before);
}

/// As a program of before may have left it.
async fn a_step_that_cannot_be_read_is_a_dead_letter(test: TestStore) {
    let body = json!({"forgotten": true});
    stored_step_is_a_dead_letter(test, "EnrolSubject", body).await;
}

/// As somebody may write it who can write what is derived, and not the log.
async fn a_step_of_another_kind_is_a_dead_letter(test: TestStore) {
    let body = json!({"role": "administrator", "scope": {"kind": "installation"}});
    stored_step_is_a_dead_letter(test, "GrantRole", body).await;
}

async fn stored_step_is_a_dead_letter(test: TestStore, command: &str, body: serde_json::Value) {
    register(&test).await;
    run_until_quiet(&test.store, runner(&test.store, STUBBORN).await).await;
    let instance = instances(&test.store).await.remove(0);
    let target = Uuid::from_u128(5);
    let step = StoredStep {
        command_id: Uuid::from_u128(9),
        saga: "stubborn".to_owned(),
        instance_id: instance.saga_id,
        sequence: 100,
        place: 0,
        name: "old".to_owned(),
        trigger_id: Uuid::from_u128(8),
        causation_id: None,
        correlation_id: instance.correlation_id,
        trace_context: None,
        command: json!({"command": command, "target": target, "body": body}).to_string(),
        state: "null".to_owned(),
        status: StepStatus::Pending,
        attempts: 0,
    };
    let mut cursor = test.store.sagas.cursor("stubborn").await.expect("an answer").expect("a cursor");
    cursor.revision += 1;
    cursor.triggers = 100;
    let batch = event_store::sagas::SagaBatch {
        saga: "stubborn".to_owned(),
        generation: 1,
        to: cursor,
        instances: Vec::new(),
        steps: vec![StepChange::Put(Box::new(step))],
        among: vec!["stubborn".to_owned()],
    };
    test.store.sagas.commit(batch).await.expect("stored");
    run_until_quiet(&test.store, runner(&test.store, STUBBORN).await).await;
    let letters = letters(&test).await;
    let (command_id, letter) = &letters[1];
    assert_eq!(*command_id, Uuid::from_u128(9));
    assert_eq!((letter.step.as_str(), letter.command.as_str(), letter.target.id), ("old", command, target));
    assert_eq!(letter.rule, "malformed");
    assert_eq!(count(&test.store).await.of("RoleGranted"), 0);
}

async fn steps_tell_who_and_why(test: TestStore) {
    let clinic = Clinic::new(test.store.clone()).await;
    Enrolment::play(&clinic, 0).await;
    run_until_quiet(&test.store, runner(&test.store, PROCESSES).await).await;
    let events = test.store.log.read_all(0, 1_000).await.expect("the log");
    let screened: Vec<_> = events.iter().filter(|event| event.event_type == "PatientScreened").collect();
    assert_eq!(screened.len(), 3);
    for event in screened {
        assert_eq!(event.actor.id, "system:enrolment");
        assert_eq!(event.trace_context.as_deref(), Some(TRACE));
    }
    assert_eq!(count(&test.store).await.of("StepDeadLettered"), 0);
}
