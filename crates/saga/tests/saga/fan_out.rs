//! An event that concerns everybody of a trial, however many.

use std::time::Duration;

use decider::Refusal;
use domain::messaging::notification::RequestNotification;
use domain::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use event_store::log::{Expected, Write};
use events::envelope::{Envelope, NewEvent, References, Role};
use events::ids::{NotificationId, PatientId, StreamKey as _, TrialId};
use events::messaging::notification::Urgency;
use events::patient::PatientEvent;
use events::registry::AnyEvent;
use events::trial::{EnrolmentClosed, TrialEvent};
use saga::{DynProcess, Erased};
use serde::{Deserialize, Serialize};
use testkit::appends::{event, of_writes, patient, some_time};
use testkit::stores::TestStore;
use testkit::{eventually, on_both_engines};
use uuid::Uuid;

use crate::faults::{Faults, Place};
use crate::world::{Processes, count, instances, is_quiet, run_until_quiet, runner, start};

const PATIENTS: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(300);

static TELLERS: Processes = &[&Erased::<Teller>::new() as &dyn DynProcess];

/// Tells every patient of a trial when it closes.
struct Teller;

/// Whom it tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    about: References,
    told: u32,
}

impl ProcessManager for Teller {
    const NAME: &'static str = "teller";
    const COMMANDS: &'static [&'static str] = &["RequestNotification"];
    const STATE_VERSION: u32 = 1;
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Patient(PatientEvent::PatientRegistered(_)) => Route::Start(envelope.stream.id),
            AnyEvent::Trial(TrialEvent::EnrolmentClosed(_)) => Route::Trial(TrialId::from(envelope.stream.id)),
            _ => Route::Nobody,
        }
    }

    fn evolve(state: State, event: &AnyEvent, envelope: &Envelope) -> State {
        match event {
            AnyEvent::Trial(_) => State { told: state.told + 1, ..state },
            _ => State { about: envelope.references, ..state },
        }
    }

    fn react(state: &State, event: &AnyEvent, envelope: &Envelope) -> Vec<Step> {
        let (AnyEvent::Trial(_), Some(patient_id)) = (event, state.about.patient_id) else { return Vec::new() };
        let request = RequestNotification::to_role(
            envelope.event_id,
            "trial-closed",
            Role::Participant,
            Urgency::Usual,
            References { site_id: None, ..state.about },
        );
        let id = NotificationId::of(envelope.event_id, "trial-closed", &patient_id.to_string());
        vec![Step::new("tell", (id, request))]
    }

    fn on_refusal(_state: &State, _step: &Step, _refusal: &Refusal) -> OnRefusal {
        OnRefusal::DeadLetter
    }

    fn phase(_state: &State) -> Phase {
        Phase { waiting_for: "the end of the trial".to_owned(), finished: false }
    }

    fn references(state: &State) -> References {
        state.about
    }
}

on_both_engines!(everybody_of_a_trial_is_told_once);

async fn append(test: &TestStore, writes: Vec<Write>) {
    test.store.log.append(of_writes(writes)).await.expect("an append");
}

async fn everybody_of_a_trial_is_told_once(test: TestStore) {
    let trial_id = TrialId::from(Uuid::from_u128(0x77));
    let registered = |patient_id: PatientId| Write {
        stream: patient_id.stream(),
        expected: Expected::NoStream,
        events: vec![event(patient_id, Some(trial_id))],
    };
    for _ in 0..PATIENTS / 1_000 {
        append(&test, (0..1_000).map(|_| registered(patient())).collect()).await;
    }
    let closed = TrialEvent::from(EnrolmentClosed { reason: "Enough".to_owned() });
    let closed = NewEvent::of(&closed, some_time(), References::trial(trial_id));
    let running = start(runner(&test.store, TELLERS).await);
    eventually("the patients are known", PATIENCE, async || is_quiet(&test.store, TELLERS).await).await;
    append(&test, vec![Write { stream: trial_id.stream(), expected: Expected::NoStream, events: vec![closed] }]).await;
    // Who comes later is not told.
    append(&test, vec![registered(patient())]).await;
    let in_the_middle = async || {
        let cursor = test.store.sagas.cursor("teller").await.expect("an answer").expect("a cursor");
        cursor.fan_out.is_some()
    };
    eventually("some are told", PATIENCE, in_the_middle).await;
    drop(running);
    let running = start(runner(&test.store, TELLERS).await);
    eventually("all is done", PATIENCE, async || is_quiet(&test.store, TELLERS).await).await;
    drop(running);
    let told = |instances: &[saga::Instance]| {
        let told = |instance: &&saga::Instance| instance.state["told"] == 1 && instance.steps[0].status == "done";
        instances.iter().filter(told).count()
    };
    let before = instances(&test.store).await;
    assert_eq!((before.len(), told(&before)), (PATIENTS + 1, PATIENTS));
    assert_eq!(count(&test.store).await.of("NotificationRequested"), PATIENTS);
    // Thrown away, the same comes out of the log, and nothing is sent.
    let cursor = test.store.sagas.cursor("teller").await.expect("an answer");
    test.store.sagas.restart("teller", 1, 1, cursor).await.expect("thrown away");
    let counting = Faults::none();
    run_until_quiet(&test.store, runner(&counting.clone().around(&test.store), TELLERS).await).await;
    assert_eq!(counting.count(Place::Append), 0, "commands were sent again");
    assert!(instances(&test.store).await == before, "another end");
}
