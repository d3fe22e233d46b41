//! How long an alert waits for somebody, and who is told then.

use domain::safety::alert::{AcknowledgeAlert, AlertError, EscalateAlert, ResolveAlert};
use serde_json::{Value, json};

use crate::safety::{adverse_event, alert, raised, report_event};
use crate::world::{command, enrolled, open_trial};

#[test]
fn an_alert_that_nobody_acknowledges_goes_to_more_people_and_then_waits() {
    let escalate = EscalateAlert {};
    let world = raised(false);
    let due = |minutes: i64| json!(testkit::given::now() + chrono::TimeDelta::minutes(minutes));
    assert_eq!(world.events("AlertRaised").len(), 1);
    world.minutes_later(59).when(alert(), &escalate).then_refused(AlertError::NOT_DUE);
    let first = world.minutes_later(60).when(alert(), &escalate);
    let expected = json!({"level": 1, "recipients": ["investigator", "coordinator"], "acknowledge_by": due(120)});
    assert_eq!(first.payload("AlertEscalated"), expected);
    let world = first.then(&["AlertEscalated"]);
    world.minutes_later(59).when(alert(), &escalate).then_refused(AlertError::NOT_DUE);
    let second = world.minutes_later(75).when(alert(), &escalate);
    let expected = json!({"level": 2, "recipients": ["sponsor", "medical-monitor"], "acknowledge_by": null});
    assert_eq!(second.payload("AlertEscalated"), expected);
    let world = second.then(&["AlertEscalated"]).minutes_later(10_000);
    let world = world.when(alert(), &escalate).then(&[]);
    let world = world.when(alert(), &command::<AcknowledgeAlert>(json!({}))).then(&["AlertAcknowledged"]);
    // What was done is not done before somebody took notice of it.
    let early: ResolveAlert = command(json!({"action_taken": "called", "occurred_at": testkit::given::now()}));
    world.when(alert(), &early).then_refused(AlertError::HANDLED_BEFORE);
}

#[test]
fn an_alert_waits_as_long_as_its_rule_says() {
    let world = raised(false);
    let (_, event) = world.events("AlertRaised")[0];
    let payload: Value = serde_json::from_slice(&event.payload).expect("a payload");
    assert_eq!(payload["acknowledge_by"], json!(testkit::given::now() + chrono::TimeDelta::minutes(60)));
    let world = enrolled(&open_trial(10, 10), 1);
    let serious = world.when(adverse_event(1), &report_event(json!({"serious": true}))).payload("AdverseEventReported");
    assert_eq!(serious["triggered_rules"][0]["acknowledge_within_minutes"], 24 * 60);
}
