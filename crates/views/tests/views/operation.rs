//! Steps that wait for an operator.

use events::envelope::References;
use events::ids::{DeadLetterId, StreamKey};
use serde_json::{Value, json};
use testkit::given::view::{event, given, minute};
use uuid::Uuid;
use views::operation::dead_letters::DeadLetters;

use crate::{about, subject};

#[test]
fn a_dead_letter_waits_until_an_operator_decides() {
    let letter = DeadLetterId::from(Uuid::from_u128(8));
    let lettered = json!({
        "saga": "enrolment", "saga_id": Uuid::nil(), "step": "enrol", "trigger_event_id": Uuid::nil(),
        "command": "EnrolSubject", "target": subject().stream(), "rule": "unavailable", "cause": "no answer",
        "attempts": 5, "references": about()
    });
    let of_letter = |event_type, payload: &Value| event(letter, References::default(), event_type, payload);
    let document = |status: &str, reason: Value| {
        json!({
            "dead_letter_id": letter, "saga": "enrolment", "saga_id": Uuid::nil(), "step": "enrol",
            "command": "EnrolSubject", "target": subject().stream(), "rule": "unavailable", "cause": "no answer",
            "attempts": 5, "status": status, "failed_at": minute(0), "reason": reason,
            "patient_id": about().patient_id
        })
    };
    let waiting = of_letter("StepDeadLettered", &lettered);
    given([waiting.clone()]).view::<DeadLetters>(letter).then(&document("waiting", Value::Null));
    for (event_type, status) in [("DeadLetterRetried", "retried"), ("DeadLetterDropped", "dropped")] {
        let decided = given([waiting.clone(), of_letter(event_type, &json!({"reason": "because"}))]);
        decided.view::<DeadLetters>(letter).then(&document(status, json!("because")));
        // Nothing begins with a decision.
        given([of_letter(event_type, &json!({"reason": "because"}))]).view::<DeadLetters>(letter).then_none();
    }
}
