//! What keeps the installation going: dead letters and requests to tell somebody.

use domain::messaging::notification::{NotificationError, RequestNotification};
use domain::operation::dead_letter::{DeadLetterError, DropDeadLetter, RecordDeadLetter, RetryDeadLetter};
use events::References;
use events::envelope::Role;
use events::ids::{DeadLetterId, NotificationId};
use serde_json::json;
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, patient, site, trial};

fn about() -> References {
    References::subject(trial(), site(), patient(1))
}

fn letter() -> RecordDeadLetter {
    let (event, target) = (Uuid::from_u128(0x80), json!({"type": "subject", "id": Uuid::from_u128(0x81)}));
    command(json!({"saga": "enrolment", "saga_id": event, "step": "screen", "trigger_event_id": event,
        "command": "ScreenPatient", "target": target, "rule": "trial-not-ready", "cause": "not yet", "attempts": 3,
        "references": about()}))
}

#[test]
fn a_dead_letter_waits_until_it_is_retried_or_given_up() {
    let id = DeadLetterId::from(Uuid::from_u128(0x90));
    let retry: RetryDeadLetter = command(json!({"reason": "it is ready"}));
    let give_up: DropDeadLetter = command(json!({"reason": "nobody needs it"}));
    let world = World::new();
    world.when(id, &retry).then_refused(DeadLetterError::NOT_FOUND);
    world.when(id, &give_up).then_refused(DeadLetterError::NOT_FOUND);
    let waiting = world.when(id, &letter()).then(&["StepDeadLettered"]);
    waiting.when(id, &letter()).then(&[]);
    let outcome = waiting.when(id, &retry);
    let decision = outcome.result().as_ref().expect("it is retried");
    assert_eq!(decision.writes[0].events[0].references, about(), "whom the step is about");
    let retried = outcome.then(&["DeadLetterRetried"]);
    retried.when(id, &retry).then(&[]);
    // It failed again.
    retried.when(id, &letter()).then(&["StepDeadLettered"]);
    let dropped = retried.when(id, &give_up).then(&["DeadLetterDropped"]);
    dropped.when(id, &give_up).then(&[]);
    dropped.when(id, &letter()).then(&[]);
    dropped.when(id, &retry).then_refused(DeadLetterError::DROPPED);
    dropped.assert_snapshots_hold();
}

#[test]
fn somebody_is_told_of_a_cause_once() {
    let cause = Uuid::from_u128(0x80);
    let id = NotificationId::of(cause, "consent-withdrawn", "investigator");
    let request: RequestNotification = command(json!({"cause_event_id": cause, "template": "consent-withdrawn",
        "audience": {"kind": "role", "role": "investigator"}, "trial_id": trial(), "site_id": site(), "patient_id": patient(1)}));
    let outcome = World::new().as_role(Role::System).when(id, &request);
    assert_eq!(outcome.result().as_ref().expect("it is requested").writes[0].events[0].references, about());
    let world = outcome.then(&["NotificationRequested"]);
    world.when(id, &request).then_refused(NotificationError::ALREADY_REQUESTED);
    world.assert_snapshots_hold();
}
