//! What process managers keep is thrown away and comes out of the log again.

use chrono::{DateTime, Utc};
use decider::Refusal;
use domain::process::{OnRefusal, Route, Step};
use events::envelope::Envelope;
use events::registry::AnyEvent;
use saga::{DynProcess, Folded, Instance, PROCESSES, Runner};
use serde_json::{Value, json};
use testkit::stores::TestStore;
use testkit::{on_both_engines, stores};

use crate::clinic::Clinic;
use crate::courses::{Alert, Course, Enrolment, Withdrawal};
use crate::faults::{Faults, Place};
use crate::world::{Processes, instances, only, run_until_quiet, runner};

on_both_engines!(
    enrolment_is_folded_again,
    withdrawal_is_folded_again,
    alert_is_folded_again,
    all_are_thrown_away_and_come_back,
);

/// Process managers of a newer version.
struct Raised(&'static dyn DynProcess);

impl DynProcess for Raised {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn commands(&self) -> &'static [&'static str] {
        self.0.commands()
    }

    fn state_version(&self) -> u32 {
        self.0.state_version() + 1
    }

    fn route(&self, event: &AnyEvent, envelope: &Envelope) -> Route {
        self.0.route(event, envelope)
    }

    fn fold(&self, state: Option<&Value>, event: &AnyEvent, envelope: &Envelope) -> Result<Folded, serde_json::Error> {
        self.0.fold(state, event, envelope)
    }

    fn wake(&self, state: &Value, due: DateTime<Utc>) -> Result<Vec<Step>, serde_json::Error> {
        self.0.wake(state, due)
    }

    fn on_refusal(&self, state: &str, step: &Step, refusal: &Refusal) -> Result<OnRefusal, serde_json::Error> {
        self.0.on_refusal(state, step, refusal)
    }
}

fn raised(name: &str) -> Processes {
    let process = |process: &&'static dyn DynProcess| -> &'static dyn DynProcess {
        if process.name() == name { Box::leak(Box::new(Raised(*process))) } else { *process }
    };
    Vec::leak(PROCESSES.iter().map(process).collect())
}

async fn play<C: Course>(test: &TestStore) {
    let clinic = Clinic::new(test.store.clone()).await;
    for phase in 0..C::PHASES {
        C::play(&clinic, phase).await;
        run_until_quiet(&test.store, runner(&test.store, only(C::PROCESS)).await).await;
    }
    // The others come later, when everything is done.
    run_until_quiet(&test.store, runner(&test.store, PROCESSES).await).await;
}

/// Runs a runner over a store that counts, until all is done: it must send nothing.
async fn fold_again(test: &TestStore, processes: Processes) -> Vec<Instance> {
    let head = test.store.log.head().await.expect("the head");
    let counting = Faults::none();
    let store = counting.clone().around(&test.store);
    run_until_quiet(&test.store, Runner { ..runner(&store, processes).await }).await;
    assert_eq!(counting.count(Place::Append), 0, "commands were sent again");
    assert_eq!(test.store.log.head().await.expect("the head"), head);
    instances(&test.store).await
}

async fn folded_again<C: Course>(test: TestStore) {
    play::<C>(&test).await;
    let before = instances(&test.store).await;
    assert!(before.iter().any(|instance| instance.saga == C::PROCESS), "{before:?}");
    let others = async |store: &event_store::Store| {
        let mut cursors = Vec::new();
        for process in PROCESSES.iter().filter(|process| process.name() != C::PROCESS) {
            cursors.push(
                store.sagas.cursor(process.name()).await.expect("an answer").expect("a cursor").checkpoint.position,
            );
        }
        cursors
    };
    let others_before = others(&test.store).await;
    assert_eq!(fold_again(&test, raised(C::PROCESS)).await, before);
    let cursor = test.store.sagas.cursor(C::PROCESS).await.expect("an answer").expect("a cursor");
    let raised = raised(C::PROCESS).iter().find(|process| process.name() == C::PROCESS).expect("it is there");
    assert_eq!(cursor.state_version, raised.state_version());
    assert_eq!(others(&test.store).await, others_before);
}

async fn enrolment_is_folded_again(test: TestStore) {
    folded_again::<Enrolment>(test).await;
}

async fn withdrawal_is_folded_again(test: TestStore) {
    folded_again::<Withdrawal>(test).await;
}

async fn alert_is_folded_again(test: TestStore) {
    folded_again::<Alert>(test).await;
}

async fn all_are_thrown_away_and_come_back(test: TestStore) {
    play::<Enrolment>(&test).await;
    let before = instances(&test.store).await;
    for process in PROCESSES {
        let (sagas, name) = (&test.store.sagas, process.name());
        let cursor = sagas.cursor(name).await.expect("an answer");
        sagas.restart(name, 1, process.state_version(), cursor).await.expect("thrown away");
    }
    assert_eq!(instances(&test.store).await, []);
    assert_eq!(fold_again(&test, PROCESSES).await, before);
}

/// What an older program keeps is left to it: a newer one folds it again, and the older one keeps away.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_leaves_what_a_newer_one_keeps() {
    let test = stores::sqlite().await;
    play::<Enrolment>(&test).await;
    fold_again(&test, raised("enrolment")).await;
    let kept = test.store.sagas.cursor("enrolment").await.expect("an answer").expect("a cursor");
    let older = crate::world::start(runner(&test.store, PROCESSES).await);
    let clinic = Clinic::new(test.store.clone()).await;
    clinic.send("RegisterPatient", 0x999, json!({})).await;
    let (store, head) = (test.store.clone(), test.store.log.head().await.expect("the head"));
    let others = async || {
        let cursor = store.sagas.cursor("alert").await.expect("an answer").expect("a cursor");
        cursor.checkpoint.position >= head
    };
    testkit::eventually("the others go on", crate::world::PATIENCE, others).await;
    drop(older);
    assert_eq!(test.store.sagas.cursor("enrolment").await.expect("an answer"), Some(kept));
}
