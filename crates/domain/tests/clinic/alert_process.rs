//! What the alert process manager makes of reports and adverse events.

use domain::process::{AlertProcess, Step};
use domain::safety::alert::RaiseAlert;
use events::epro::report::{ReportCorrected, ReportEvent, ReportSubmitted};
use events::ids::{AdverseEventId, AlertId, ReportId, StreamId, StreamKey as _};
use events::safety::adverse_event::{AdverseEventChange, AdverseEventReported, AdverseEventUpdated};
use events::safety::alert::{AlertAcknowledged, AlertEvent, AlertNoteAdded, AlertRaised, AlertResolved};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::given::process::{Happened, event_id, event_time, given, happened};
use testkit::given::with;
use uuid::Uuid;

use crate::processes::{about, patient_id, site_id, subject_id, trial_id};

fn rules(codes: &[&str]) -> Value {
    let rule = |code: &&str| {
        json!({"rule": code, "severity": "high", "finding": "F", "recipients": ["investigator"],
            "acknowledge_within_minutes": 60})
    };
    codes.iter().map(rule).collect()
}

/// The four events that can meet rules, each with where it stands.
fn sources(codes: &[&str], historical: bool) -> Vec<(StreamId, Happened)> {
    let subject = json!({"subject_id": subject_id(), "trial_id": trial_id(), "site_id": site_id(),
        "patient_id": patient_id(), "triggered_rules": rules(codes), "historical": historical});
    let changed = json!({"changes": {}, "previous": {}, "reason": "R", "triggered_rules": rules(codes),
        "historical": historical});
    let submitted = with(
        subject.clone(),
        &json!({"instrument": "X", "questionnaire_version": "1", "answers": {}, "scores": [], "started_at": null,
            "completed_at": event_time(1), "completed_on": "2026-01-31", "time_zone": null, "device": null, "visit": null}),
    );
    let corrected = with(changed.clone(), &json!({"correction_number": 1, "answers": {}, "scores": []}));
    let reported = with(
        subject,
        &json!({"term": "T", "severity": "mild", "ctcae_grade": null, "serious": true, "relatedness": null,
            "onset": null, "ended": null, "outcome": null}),
    );
    let report_id = ReportId::from(Uuid::from_u128(4));
    let adverse_event_id = AdverseEventId::from(Uuid::from_u128(5));
    let of_report = |event: ReportEvent| (report_id.stream(), happened::<_, ReportEvent>(report_id, event, about()));
    let of_adverse_event = |event: AdverseEventChange| {
        (adverse_event_id.stream(), happened::<_, AdverseEventChange>(adverse_event_id, event, about()))
    };
    vec![
        of_report(read::<ReportSubmitted>(submitted).into()),
        of_report(read::<ReportCorrected>(corrected).into()),
        of_adverse_event(read::<AdverseEventReported>(reported).into()),
        of_adverse_event(read::<AdverseEventUpdated>(changed).into()),
    ]
}

fn read<E: DeserializeOwned>(payload: Value) -> E {
    serde_json::from_value(payload).expect("an event")
}

fn raise(source: StreamId, code: &str, historical: bool) -> Step {
    let raise: RaiseAlert = serde_json::from_value(json!({
        "source_event_id": event_id(1), "source": source, "rule": code, "severity": "high", "finding": "F",
        "subject_id": subject_id(), "recipients": ["investigator"],
        "acknowledge_within_minutes": 60, "historical": historical
    }))
    .expect("a command");
    Step::new(format!("raise-{code}"), (AlertId::of(event_id(1), code), raise))
}

#[test]
fn whatever_meets_rules_raises_an_alert_for_each() {
    for historical in [false, true] {
        for (stream, happened) in sources(&["A", "B"], historical) {
            given([happened])
                .process::<AlertProcess>()
                .then(&[raise(stream, "A", historical), raise(stream, "B", historical)])
                .then_waits_for(event_id(1), "nothing", true)
                .then_is_about(event_id(1), about())
                .then_wakes(event_id(1), None);
        }
    }
}

#[test]
fn what_meets_no_rule_begins_nothing() {
    for (_, happened) in sources(&[], false) {
        given([happened]).process::<AlertProcess>().then(&[]).then_nothing_began();
    }
}

#[test]
fn an_alert_is_followed_to_its_end() {
    let alert_id = AlertId::of(event_id(0), "A");
    let key = alert_id.uuid();
    let on_alert = |event: AlertEvent| happened::<_, AlertEvent>(alert_id, event, about());
    let raised = |historical: bool, by: Option<u64>| {
        let payload = json!({"source_event_id": event_id(0), "source": patient_id().stream(), "rule": "A",
            "severity": "high", "finding": "F", "subject_id": subject_id(), "trial_id": trial_id(),
            "site_id": site_id(), "patient_id": patient_id(), "recipients": ["investigator"],
            "acknowledge_by": by.map(event_time), "acknowledge_within_minutes": 60, "historical": historical});
        on_alert(read::<AlertRaised>(payload).into())
    };
    // Of the past: nobody is told, no clock starts.
    given([raised(true, None)])
        .process::<AlertProcess>()
        .then(&[])
        .then_wakes(key, None)
        .then_waits_for(key, "acknowledgement", false)
        .then_is_about(key, about());
    let waits = format!("acknowledgement by {}", event_time(60));
    let noted = on_alert(read::<AlertNoteAdded>(json!({"note": "n"})).into());
    let acknowledged = on_alert(read::<AlertAcknowledged>(json!({"note": null})).into());
    let resolved = on_alert(read::<AlertResolved>(json!({"action_taken": "a", "adverse_event_id": null})).into());
    given([raised(false, Some(60))])
        .process::<AlertProcess>()
        .then_waits_for(key, &waits, false)
        .when(noted.clone())
        .then(&[])
        .then_waits_for(key, &waits, false)
        .when(acknowledged)
        .when(noted)
        .then_waits_for(key, "resolution", false)
        .then_is_about(key, about())
        .when(resolved.clone())
        .then(&[])
        .then_waits_for(key, "nothing", true)
        .then_is_about(key, about());
    given([raised(false, Some(60)), resolved]).process::<AlertProcess>().then_wakes(key, None);
}

#[test]
fn a_step_keeps_its_id_and_another_has_another() {
    use domain::process::{step_command_id, timer_trigger};
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let id = step_command_id("alert", one, two, "escalate");
    assert_eq!(id, step_command_id("alert", one, two, "escalate"));
    for other in [
        step_command_id("enrolment", one, two, "escalate"),
        step_command_id("alert", two, two, "escalate"),
        step_command_id("alert", one, one, "escalate"),
        step_command_id("alert", one, two, "notify"),
    ] {
        assert_ne!(id, other);
    }
    assert_eq!(timer_trigger(one, event_time(1)), timer_trigger(one, event_time(1)));
    assert_ne!(timer_trigger(one, event_time(1)), timer_trigger(one, event_time(2)));
    assert_ne!(timer_trigger(one, event_time(1)), timer_trigger(two, event_time(1)));
}
