//! Adverse events, and the inbox of alerts.

use events::ids::{AdverseEventId, AlertId};
use serde_json::{Value, json};
use testkit::given::view::{Given, event, given, minute};
use testkit::given::with;
use uuid::Uuid;
use views::safety::adverse_events::AdverseEvents;
use views::safety::alerts::Alerts;

use crate::{about, patient, site, subject, trial};

#[test]
fn an_adverse_event_keeps_what_an_update_does_not_tell() {
    let id = AdverseEventId::from(Uuid::from_u128(6));
    let reported = json!({
        "subject_id": subject(), "trial_id": trial(), "site_id": site(), "patient_id": patient(),
        "term": "HEADACHE", "reported_term": "sore head", "severity": "mild", "ctcae_grade": 1, "serious": false, "relatedness": "POSSIBLE",
        "onset": "2026-01", "triggered_rules": []
    });
    let update = |changes: Value| json!({"changes": changes, "previous": {}, "reason": "more", "triggered_rules": []});
    let updated = update(json!({"severity": "severe", "serious": true, "term": "MIGRAINE"}));
    let ended = update(json!({"ended": "2026-02-03", "outcome": "RECOVERED", "ctcae_grade": null}));
    given([
        event(id, about(), "AdverseEventReported", &reported),
        event(id, about(), "AdverseEventUpdated", &updated),
        event(id, about(), "AdverseEventUpdated", &ended),
    ])
    .view::<AdverseEvents>(id)
    .then(&json!({
        "adverse_event_id": id, "subject_id": subject(), "patient_id": patient(), "trial_id": trial(),
        "site_id": site(), "term": "MIGRAINE", "reported_term": "sore head", "severity": "severe", "ctcae_grade": null, "serious": true,
        "relatedness": "POSSIBLE", "onset": "2026-01", "ended": "2026-02-03", "outcome": "RECOVERED",
        "reported_at": minute(0), "outside_consent": false, "historical": false, "updates": 2
    }));
}

fn alert() -> AlertId {
    Uuid::from_u128(7).into()
}

fn of_alert(event_type: &str, payload: &Value) -> Given {
    event(alert(), about(), event_type, payload)
}

fn raised() -> Given {
    let payload = json!({
        "source_event_id": Uuid::nil(), "source": {"type": "report", "id": Uuid::nil()}, "rule": "PHQ9-HIGH",
        "severity": "high", "finding": "score TOTAL = 21", "subject_id": subject(), "trial_id": trial(),
        "site_id": site(), "patient_id": patient(), "recipients": ["investigator"], "acknowledge_by": minute(60),
        "acknowledge_within_minutes": 60
    });
    of_alert("AlertRaised", &payload)
}

fn in_inbox() -> Value {
    json!({
        "alert_id": alert(), "subject_id": subject(), "patient_id": patient(), "trial_id": trial(),
        "site_id": site(), "rule": "PHQ9-HIGH", "severity": "high", "finding": "score TOTAL = 21",
        "source": {"type": "report", "id": Uuid::nil()}, "status": "raised", "escalation_level": 0,
        "recipients": ["investigator"], "raised_at": minute(0), "acknowledge_by": minute(60),
        "acknowledged_at": null, "acknowledged_by": null, "seconds_to_acknowledge": null, "resolved_at": null,
        "action_taken": null, "adverse_event_id": null, "notes": [], "historical": false
    })
}

#[test]
fn an_alert_is_escalated_acknowledged_and_resolved() {
    let escalated = json!({"level": 1, "recipients": ["medical-monitor"], "acknowledge_by": minute(120)});
    let course = [
        raised(),
        of_alert("AlertEscalated", &escalated),
        of_alert("AlertAcknowledged", &json!({"note": "on my way"})).by("dr-one"),
        of_alert("AlertNoteAdded", &json!({"note": "with her now"})).by("dr-two"),
        of_alert("AlertResolved", &json!({"action_taken": "called the patient"})),
    ];
    given(course[..1].to_vec())
        .view::<Alerts>(alert())
        .then(&in_inbox())
        .then_column("severity_rank", &json!(3))
        .then_stands_at(1, 1);
    let waiting = json!({
        "status": "escalated", "escalation_level": 1, "recipients": ["medical-monitor"],
        "acknowledge_by": minute(120)
    });
    given(course[..2].to_vec()).view::<Alerts>(alert()).then(&with(in_inbox(), &waiting));
    let taken = json!({
        "status": "acknowledged", "acknowledged_at": minute(2), "acknowledged_by": "dr-one",
        "seconds_to_acknowledge": 120, "acknowledge_by": null, "notes": [
            {"at": minute(2), "by": "dr-one", "note": "on my way"},
            {"at": minute(3), "by": "dr-two", "note": "with her now"}
        ]
    });
    let taken = with(with(in_inbox(), &waiting), &taken);
    given(course[..4].to_vec()).view::<Alerts>(alert()).then(&taken);
    let resolved = json!({"status": "resolved", "resolved_at": minute(4), "action_taken": "called the patient"});
    let shown = given(course).view::<Alerts>(alert());
    shown.then(&with(taken, &resolved)).then_column("open", &json!(false)).then_stands_at(5, 5);
}

#[test]
fn the_inbox_is_in_the_order_of_urgency() {
    let of = |severity: &str, due: Option<i64>, historical: bool, then: &[(&str, Value)]| {
        let payload = json!({
            "source_event_id": Uuid::nil(), "source": {"type": "report", "id": Uuid::nil()}, "rule": "R",
            "severity": severity, "finding": "F", "subject_id": subject(), "trial_id": trial(), "site_id": site(),
            "patient_id": patient(), "recipients": ["investigator"], "acknowledge_by": due.map(minute_of),
            "acknowledge_within_minutes": 60, "historical": historical
        });
        let course = then.iter().map(|(event_type, payload)| of_alert(event_type, payload));
        let course: Vec<Given> = std::iter::once(of_alert("AlertRaised", &payload)).chain(course).collect();
        let shown = given(course).view::<Alerts>(alert());
        (shown.column("urgency"), shown.column("open"), shown.column("acknowledged"))
    };
    let acknowledged = ("AlertAcknowledged", json!({}));
    let resolved = ("AlertResolved", json!({"action_taken": "seen"}));
    let escalated = ("AlertEscalated", json!({"level": 1, "recipients": ["sponsor"], "acknowledge_by": minute(5)}));
    let inbox = [
        of("critical", Some(60), false, &[]),
        of("critical", Some(600), false, &[]),
        of("high", Some(1), false, &[escalated]),
        of("high", Some(60), false, &[]),
        of("low", Some(1), false, &[]),
        of("critical", Some(60), false, &[acknowledged]),
        of("critical", None, true, &[]),
        of("critical", Some(60), false, &[resolved]),
    ];
    let urgencies: Vec<String> = inbox.iter().map(|(urgency, ..)| urgency.to_string()).collect();
    assert!(urgencies.is_sorted(), "{urgencies:#?}");
    let open: Vec<(&Value, &Value)> = inbox.iter().map(|(_, open, acknowledged)| (open, acknowledged)).collect();
    let (yes, no) = (json!(true), json!(false));
    let (waits, taken, over) = ((&yes, &no), (&yes, &yes), (&no, &no));
    assert_eq!(open, [waits, waits, waits, waits, waits, taken, waits, over]);
}

fn minute_of(number: i64) -> chrono::DateTime<chrono::Utc> {
    minute(i32::try_from(number).expect("few"))
}
