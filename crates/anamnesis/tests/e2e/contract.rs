//! What the crates promise each other and no compiler checks.

use serde_json::{Value, json};

/// Who runs process managers keeps them as the table that is listed says.
#[test]
fn instances_of_process_managers_are_what_is_listed() {
    let (kept, listed) = (saga::SCHEMA, views::PROCESS_MANAGERS.schema());
    assert_eq!((kept.name, kept.columns, kept.access_paths), (listed.name, listed.columns, listed.access_paths));
    let id = uuid::Uuid::nil();
    let step = |status| {
        json!({"name": "screen", "command": "ScreenPatient", "command_id": id, "status": status, "rule": "a-rule",
            "since": "2026-01-31T12:00:00Z"})
    };
    let steps: Vec<Value> = ["pending", "done", "refused", "dead", "dropped"].map(step).into();
    let instance = json!({
        "saga_id": id, "saga": "enrolment", "key": id, "status": "running", "waiting_for": "screening",
        "waiting_since": "2026-01-31T12:00:00Z", "due_at": null, "trial_id": id, "patient_id": null,
        "correlation_id": id, "steps": steps, "state": {"any": "thing"}
    });
    let kept: saga::Instance = serde_json::from_value(instance.clone()).expect("an instance");
    let listed: views::operation::process_managers::ProcessManagerInstance =
        serde_json::from_value(json!(kept)).expect("a document");
    assert_eq!((json!(kept), json!(listed)), (instance.clone(), instance));
}
