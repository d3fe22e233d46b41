//! Wearables: who has them, what is taken of them, and what of it raises alerts.

use chrono::{DateTime, TimeDelta, Utc};
use domain::consent::WithdrawConsent;
use domain::process::SilenceProcess;
use domain::readings::device::{AssignDevice, DeviceError, ReturnDevice};
use domain::readings::receipt::{BeginUpload, DiscardReadings, ReceiveReadings, ReleaseReadings};
use domain::readings::rules::DefineReadingRules;
use domain::readings::terms::UploadTerms;
use events::envelope::References;
use events::ids::{AlertId, DeviceId, StreamKey as _};
use events::readings::device::{DeviceAssigned, DeviceEvent};
use events::safety::alert::AlertEvent;
use serde_json::{Value, json};
use testkit::given::World;
use testkit::given::process::{event_id, event_time, given, happened};
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, patient, site, subject, trial};

const DEVICE: &str = "W-1";

fn device() -> DeviceId {
    DeviceId::of(trial(), DEVICE)
}

/// Somebody who takes part, in a trial that looks at the pulse.
fn world() -> World {
    let rules = json!({"rules": [
        {"code": "high", "test": {"kind": "out-of-range", "of": "heart-rate", "low": 40, "high": 130},
            "severity": "critical", "recipients": ["investigator"], "acknowledge_within_minutes": 60},
        {"code": "silent", "test": {"kind": "silence", "hours": 48},
            "severity": "medium", "recipients": ["coordinator"], "acknowledge_within_minutes": 600}]});
    let world = enrolled(&open_trial(10, 10), 1);
    world.when(trial(), &command::<DefineReadingRules>(rules)).then(&["ReadingRulesDefined"])
}

fn assign() -> AssignDevice {
    command(json!({"device": DEVICE, "serial_number": "SN-1"}))
}

/// Readings of a day, from the smallest to the greatest.
fn receive(world: &World, number: u128, [min, max]: [u32; 2]) -> ReceiveReadings {
    receive_at(world.now(), number, [min, max])
}

fn receive_at(now: DateTime<Utc>, number: u128, [min, max]: [u32; 2]) -> ReceiveReadings {
    let day = now.date_naive();
    command(json!({"trial_id": trial(), "patient_id": patient(1), "device": DEVICE, "chunk": {
        "chunk_id": Uuid::from_u128(0x900 + number), "upload_id": Uuid::from_u128(0x901), "count": 2,
        "from": now, "until": now, "sha256": "0".repeat(64),
        "days": [{"day": day, "kind": "heart-rate", "count": 2, "min": min, "max": max, "sum": min + max}]}}))
}

#[test]
fn one_subject_has_a_device_at_a_time() {
    let world = enrolled(&world(), 2);
    let world = world.when(subject(1), &assign()).then(&["DeviceAssigned"]);
    let world = world.when(subject(1), &assign()).then(&[]);
    let world = world.when(subject(2), &assign()).then_refused(DeviceError::IN_USE);
    let other: AssignDevice = command(json!({"device": "w-1 "}));
    let world = world.when(subject(2), &other).then_refused("blank");
    let back: ReturnDevice = command(json!({"until": "2000-01-01T00:00:00Z"}));
    let world = world.when(device(), &back).then_refused(DeviceError::RETURNED_BEFORE);
    let world = world.when(device(), &ReturnDevice::default()).then(&["DeviceReturned"]);
    let world = world.when(device(), &ReturnDevice::default()).then_refused(DeviceError::NOT_OUT);
    let early: AssignDevice = command(json!({"device": DEVICE, "from": world.now() - TimeDelta::days(3)}));
    let world = world.when(subject(2), &early).then_refused("consent-signed-later");
    let lower: AssignDevice = command(json!({"device": "w-1"}));
    let outcome = world.minutes_later(10).when(subject(2), &lower);
    outcome.then(&["DeviceAssigned"]).assert_snapshots_hold();
    let unknown = DeviceId::of(trial(), "none");
    world.when(unknown, &ReturnDevice::default()).then_refused(DeviceError::NOT_FOUND);
}

#[test]
fn a_rule_that_is_met_raises_one_alert_a_day() {
    let world = world().when(subject(1), &assign()).then(&["DeviceAssigned"]);
    let outcome = world.when(device(), &receive(&world, 1, [60, 120]));
    assert_eq!(outcome.payload("ReadingsReceived")["triggered_rules"], json!([]));
    let world = outcome.then(&["ReadingsReceived"]);
    let outcome = world.when(device(), &receive(&world, 2, [60, 131]));
    let received = outcome.payload("ReadingsReceived");
    assert_eq!(received["triggered_rules"][0]["rule"], "high");
    let day = world.now().date_naive();
    assert_eq!(received["triggered_rules"][0]["finding"], json!(format!("heart-rate 131 /min on {day}, above 130")),);
    assert_eq!(received["met_on"], json!({"high": [day]}));
    let world = outcome.then(&["ReadingsReceived"]);
    let outcome = world.when(device(), &receive(&world, 3, [30, 150]));
    assert_eq!(outcome.payload("ReadingsReceived")["triggered_rules"], json!([]), "told today already");
    let world = outcome.then(&["ReadingsReceived"]).minutes_later(24 * 60);
    let outcome = world.when(device(), &receive(&world, 4, [30, 60]));
    let received = outcome.payload("ReadingsReceived");
    assert!(received["triggered_rules"][0]["finding"].as_str().is_some_and(|text| text.ends_with("below 40")));
    outcome.then(&["ReadingsReceived"]).assert_snapshots_hold();
}

#[test]
fn what_is_not_known_to_be_the_subjects_is_kept_apart_until_somebody_says_so() {
    let world = world();
    let world = world.when(device(), &receive(&world, 1, [60, 140])).then(&["ReadingsQuarantined"]);
    let world = world.when(device(), &receive(&world, 2, [50, 60])).then(&["ReadingsQuarantined"]);
    let release: ReleaseReadings = command(json!({"subject_id": subject(1), "reason": "It was worn before"}));
    let world = world.when(device(), &release).then_refused(DeviceError::NOT_ASSIGNED);
    let world = world.minutes_later(1).when(subject(1), &assign()).then(&["DeviceAssigned"]);
    let outcome = world.when(device(), &release);
    let released = outcome.payload("ReadingsReleased");
    assert_eq!((&released["count"], released["chunk_ids"].as_array().map(Vec::len)), (&json!(4), Some(2)));
    let day = &released["days"][0];
    let told = (&day["count"], &day["min"], &day["max"], &day["sum"]);
    assert_eq!(told, (&json!(4), &json!(50), &json!(140), &json!(310)));
    assert_eq!(released["triggered_rules"][0]["rule"], "high", "what raises an alert raises it now");
    let world = outcome.then(&["ReadingsReleased"]);
    let world = world.when(device(), &release).then_refused(DeviceError::NOTHING_APART);
    let discard: DiscardReadings = command(json!({"subject_id": subject(1), "reason": "Not theirs"}));
    let world = world.when(device(), &discard).then_refused(DeviceError::NOTHING_APART);
    // Of a time before it was given out.
    let early = receive_at(world.now() - TimeDelta::minutes(2), 3, [60, 70]);
    let world = world.when(device(), &early).then(&["ReadingsQuarantined"]);
    world.when(device(), &discard).then(&["ReadingsDiscarded"]).assert_snapshots_hold();
}

#[test]
fn nothing_is_taken_of_a_time_without_consent() {
    let world = world().when(subject(1), &assign()).then(&["DeviceAssigned"]);
    let begin: BeginUpload = command(json!({"trial_id": trial()}));
    let world = world.when(patient(1), &begin).then(&[]);
    let world = world.when(patient(9), &begin).then_refused("patient-not-a-subject");
    let long_ago = receive_at(world.now() - TimeDelta::days(4_000), 1, [60, 70]);
    let world = world.when(device(), &long_ago).then_refused("consent-signed-later");
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data"}));
    let world = world.minutes_later(60);
    let withdrawn_at = world.now();
    let world = world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"]).minutes_later(60);
    let world = world.when(device(), &receive(&world, 2, [60, 70])).then_refused("consent-not-in-force");
    // What was measured before it belongs to the trial, whenever it comes.
    let before = receive_at(withdrawn_at - TimeDelta::minutes(30), 3, [60, 70]);
    let world = world.when(device(), &before).then(&["ReadingsReceived"]);
    let devices = vec![DEVICE.to_owned()];
    let terms = world.ask(&UploadTerms { patient_id: patient(1), trial_id: trial(), devices }).expect("terms");
    assert_eq!(terms.covered.len(), 1);
    assert_eq!(terms.covered[0].1, Some(withdrawn_at));
    assert_eq!(terms.worn[0].len(), 1);
}

#[test]
fn a_rule_that_no_reading_can_meet_is_refused() {
    let rule = |test: Value| {
        command::<DefineReadingRules>(json!({"rules": [{"code": "a", "test": test, "severity": "low",
            "recipients": ["investigator"], "acknowledge_within_minutes": 60}]}))
    };
    let world = open_trial(10, 10);
    for (test, field) in [
        (json!({"kind": "out-of-range", "of": "heart-rate"}), "rules/0/test/high"),
        (json!({"kind": "out-of-range", "of": "heart-rate", "low": 100, "high": 50}), "rules/0/test/high"),
        (json!({"kind": "out-of-range", "of": "heart-rate", "high": 400}), "rules/0/test/high"),
        (json!({"kind": "out-of-range", "of": "oxygen-saturation", "low": 20}), "rules/0/test/low"),
        (json!({"kind": "silence", "hours": 0}), "rules/0/test/hours"),
    ] {
        let outcome = world.when(trial(), &rule(test));
        assert_eq!(outcome.refused().field.as_deref(), Some(field));
        outcome.then_refused("out-of-range");
    }
    let good = rule(json!({"kind": "silence", "hours": 1}));
    let world = world.when(trial(), &good).then(&["ReadingRulesDefined"]);
    world.when(trial(), &good).then(&[]).assert_snapshots_hold();
}

#[test]
fn a_device_that_falls_silent_is_told_of_once_for_each_rule() {
    let references = References::subject(trial(), site(), patient(1));
    let rule = |code: &str, hours: u32| {
        json!({"code": code, "test": {"kind": "silence", "hours": hours}, "severity": "medium",
            "recipients": ["coordinator"], "acknowledge_within_minutes": 600})
    };
    let assigned: DeviceAssigned = serde_json::from_value(json!({"device": DEVICE, "subject_id": subject(1),
        "trial_id": trial(), "site_id": site(), "patient_id": patient(1), "from": event_time(1),
        "silence_rules": [rule("two-days", 48), rule("one-day", 24)]}))
    .expect("an event");
    let key = device().stream().id;
    let process = given([happened::<_, DeviceEvent>(device(), assigned, references)]).process::<SilenceProcess>();
    let raise = |code: &str, hours: u32| {
        let body = json!({"source_event_id": event_id(1), "source": device().stream(), "rule": code,
            "severity": "medium", "subject_id": subject(1), "recipients": ["coordinator"],
            "finding": format!("nothing from device {DEVICE} for {hours} hours, since {}", event_time(1)),
            "acknowledge_within_minutes": 600});
        let command: domain::safety::alert::RaiseAlert = command(body);
        domain::process::Step::new(format!("raise-{code}"), (AlertId::of(event_id(1), code), command))
    };
    let due = |hours| event_time(1) + TimeDelta::hours(hours);
    let process = process.then_wakes(key, Some((due(24), &[raise("one-day", 24)])));
    let told: events::safety::alert::AlertRaised = serde_json::from_value(json!({
        "source_event_id": event_id(1), "source": device().stream(), "rule": "one-day", "severity": "medium",
        "finding": "silence", "subject_id": subject(1), "trial_id": trial(), "site_id": site(),
        "patient_id": patient(1), "recipients": ["coordinator"], "acknowledge_by": null,
        "acknowledge_within_minutes": 600, "historical": false}))
    .expect("an event");
    let alert = AlertId::of(event_id(1), "one-day");
    let process = process.when(happened::<_, AlertEvent>(alert, told, references));
    let process = process.then_wakes(key, Some((due(48), &[raise("two-days", 48)])));
    let until = event_time(3);
    let mut received = receive_at(until, 1, [60, 70]);
    received.chunk.until = until;
    let received = events::readings::device::ReadingsReceived {
        device: DEVICE.to_owned(),
        subject_id: subject(1),
        chunk: received.chunk,
        triggered_rules: Vec::new(),
        met_on: Default::default(),
    };
    let process = process.when(happened::<_, DeviceEvent>(device(), received, references));
    let process = process.then_waits_for(key, &format!("readings by {}", until + TimeDelta::hours(24)), false);
    let returned = events::readings::device::DeviceReturned { subject_id: subject(1), until, reason: None };
    let process = process.when(happened::<_, DeviceEvent>(device(), returned, references));
    process.then_wakes(key, None).then_waits_for(key, "nothing", true);
}
