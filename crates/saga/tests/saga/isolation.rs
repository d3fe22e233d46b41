//! What cannot be folded stops itself and nobody else.

use std::time::Duration;

use decider::Refusal;
use domain::messaging::notification::RequestNotification;
use domain::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use event_store::log::{Expected, Write};
use events::envelope::{Envelope, NewEvent, References, Role};
use events::ids::{NotificationId, PatientId, StreamKey as _};
use events::messaging::notification::Urgency;
use events::registry::AnyEvent;
use saga::{DynProcess, Erased, Instance, PROCESSES};
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;
use testkit::appends::{event, of_writes};
use testkit::stores::{self, TestStore};
use testkit::{eventually, on_both_engines};
use uuid::Uuid;

use crate::world::{PATIENCE, Processes, count, instances, run_until_quiet, runner, start};

/// The patient over whom the process manager breaks down.
const BAD: u128 = 2;

static BREAKING: Processes = &[&Erased::<Greeter<true>>::new() as &dyn DynProcess];
static MENDED: Processes = &[&Erased::<Greeter<false>>::new() as &dyn DynProcess];

/// Greets patients; one version breaks down over one of them.
struct Greeter<const BREAKS: bool>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    about: References,
    greeted: u32,
}

impl<const BREAKS: bool> ProcessManager for Greeter<BREAKS> {
    const NAME: &'static str = "greeter";
    const COMMANDS: &'static [&'static str] = &["RequestNotification"];
    const STATE_VERSION: u32 = if BREAKS { 1 } else { 2 };
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Patient(_) => Route::Start(envelope.stream.id),
            _ => Route::Nobody,
        }
    }

    fn evolve(state: State, _event: &AnyEvent, envelope: &Envelope) -> State {
        assert!(!BREAKS || envelope.stream.id.as_u128() != BAD, "on purpose");
        State { about: envelope.references, greeted: state.greeted + 1 }
    }

    fn react(state: &State, _event: &AnyEvent, envelope: &Envelope) -> Vec<Step> {
        let request = RequestNotification::to_role(
            envelope.event_id,
            "greeting",
            Role::Participant,
            Urgency::Usual,
            References { trial_id: None, site_id: None, ..state.about },
        );
        vec![Step::new("greet", (NotificationId::of(envelope.event_id, "greeting", "participant"), request))]
    }

    fn on_refusal(_state: &State, _step: &Step, _refusal: &Refusal) -> OnRefusal {
        OnRefusal::DeadLetter
    }

    fn phase(_state: &State) -> Phase {
        Phase { waiting_for: "more".to_owned(), finished: false }
    }

    fn references(state: &State) -> References {
        state.about
    }
}

on_both_engines!(an_instance_that_cannot_be_folded_is_stuck_and_the_others_go_on);

fn patient(number: u128) -> PatientId {
    PatientId::from(Uuid::from_u128(number))
}

async fn happens_to(test: &TestStore, number: u128) {
    let patient_id = patient(number);
    let events = vec![event(patient_id, None)];
    let write = Write { stream: patient_id.stream(), expected: Expected::Any, events };
    test.store.log.append(of_writes(vec![write])).await.expect("an append");
}

fn of(instances: &[Instance], number: u128) -> &Instance {
    instances.iter().find(|instance| instance.key.as_u128() == number).expect("an instance")
}

async fn an_instance_that_cannot_be_folded_is_stuck_and_the_others_go_on(test: TestStore) {
    for number in [1, BAD, 3, BAD, 1] {
        happens_to(&test, number).await;
    }
    run_until_quiet(&test.store, runner(&test.store, BREAKING).await).await;
    let stand = instances(&test.store).await;
    assert_eq!(of(&stand, BAD).status, "stuck");
    assert!(of(&stand, BAD).cause.is_some(), "{stand:?}");
    for (number, greeted) in [(1, 2), (3, 1)] {
        assert_eq!(
            (of(&stand, number).status.as_str(), &of(&stand, number).state["greeted"]),
            ("running", &greeted.into())
        );
    }
    assert_eq!(count(&test.store).await.of("NotificationRequested"), 3);
    let troubles = test.store.sagas.troubles("greeter", 1).await.expect("an answer");
    assert_eq!((troubles.stuck, troubles.dead), (1, 0));
    // A version that can takes it up again, and does what was left.
    run_until_quiet(&test.store, runner(&test.store, MENDED).await).await;
    let stand = instances(&test.store).await;
    assert_eq!((of(&stand, BAD).status.as_str(), &of(&stand, BAD).state["greeted"]), ("running", &2.into()));
    assert_eq!(count(&test.store).await.of("NotificationRequested"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_read_stops_one_instance() {
    let test = stores::sqlite().await;
    happens_to(&test, 1).await;
    happens_to(&test, 3).await;
    run_until_quiet(&test.store, runner(&test.store, MENDED).await).await;
    let key = of(&instances(&test.store).await, 1).saga_id.to_string();
    let mut file = test.derived_file().await;
    let spoilt = r#"{"key": "00000000-0000-0000-0000-000000000001"}"#;
    let update = sqlx::query("UPDATE view_sagas SET document = $1 WHERE key = $2").bind(spoilt).bind(key);
    update.execute(&mut file).await.expect("spoilt");
    file.close().await.expect("closed");
    happens_to(&test, 1).await;
    happens_to(&test, 3).await;
    run_until_quiet(&test.store, runner(&test.store, MENDED).await).await;
    let stand = instances(&test.store).await;
    assert_eq!(of(&stand, 1).status, "stuck");
    assert_eq!(of(&stand, 3).state["greeted"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_program_is_left_to_one() {
    let test = stores::sqlite().await;
    happens_to(&test, 1).await;
    let unknown = NewEvent { event_type: "PatientTeleported", ..event(patient(1), None) };
    let write = Write { stream: patient(1).stream(), expected: Expected::Any, events: vec![unknown] };
    test.store.log.append(of_writes(vec![write])).await.expect("an append");
    let runner = runner(&test.store, PROCESSES).await;
    let standing = runner.standing.clone();
    let running = start(runner);
    // Each process manager finds it out by itself.
    let told = |text: String| text.contains("enrolment: the log cannot be followed");
    eventually("it is known that it stands still", PATIENCE, async || standing.now().is_err_and(told)).await;
    let (other, leases) = (Uuid::now_v7(), test.store.leases.clone());
    let given_back = async || {
        let lease = leases.acquire("saga-enrolment", other, Duration::from_secs(60)).await;
        lease.expect("an answer").is_some()
    };
    eventually("the lease is given up", PATIENCE, given_back).await;
    let before = test.store.sagas.cursor("enrolment").await.expect("an answer").expect("a cursor");
    assert_eq!(before.checkpoint.position, 1, "what comes before it is folded");
    drop(running);
}
