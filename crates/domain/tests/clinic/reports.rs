//! Where and when a report was filled in, and what a correction changes of it.

use domain::epro::report::{CorrectReport, ReportError, SubmitReport};
use domain::patient::CorrectDemographics;
use domain::validate::Invalid;
use events::ids::ReportId;
use serde_json::{Value, json};
use testkit::given::{World, with};
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, patient, subject};

fn report_id(number: u128) -> ReportId {
    Uuid::from_u128(0x500 + number).into()
}

fn report(more: Value) -> SubmitReport {
    let body = json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": {"PHQ0101": 1, "PHQ0102": 2}});
    command(with(body, &more))
}

fn correction(more: Value) -> CorrectReport {
    command(with(json!({"reason": "misheard"}), &more))
}

/// Enrolled on 31 January 2026 at a site in UTC, living where it is nine hours later.
fn in_tokyo() -> World {
    let moved: CorrectDemographics = command(json!({"time_zone": "Asia/Tokyo", "reason": "asked"}));
    enrolled(&open_trial(10, 10), 1).when(patient(1), &moved).then(&["DemographicsCorrected"])
}

#[test]
fn the_day_is_that_of_the_offset_of_the_zone_or_of_where_the_patient_lives() {
    let world = in_tokyo();
    for (given, at, on) in [
        (json!({"completed_at": "2026-01-31T21:05:00"}), "2026-01-31T12:05:00Z", "2026-01-31"),
        (json!({"completed_at": "2026-01-31T12:03:00Z"}), "2026-01-31T12:03:00Z", "2026-01-31"),
        (json!({"completed_at": "2026-02-01T00:30:00+12:30"}), "2026-01-31T12:00:00Z", "2026-02-01"),
        (
            json!({"completed_at": "2026-01-31T13:02:00", "time_zone": "Europe/Oslo"}),
            "2026-01-31T12:02:00Z",
            "2026-01-31",
        ),
        (json!({}), "2026-01-31T12:00:00.123456Z", "2026-01-31"),
    ] {
        let submitted = world.when(report_id(1), &report(given.clone())).payload("ReportSubmitted");
        assert_eq!((&submitted["completed_at"], &submitted["completed_on"]), (&json!(at), &json!(on)), "{given}");
    }
}

#[test]
fn a_correction_leaves_what_it_does_not_name() {
    let world = in_tokyo().when(report_id(1), &report(json!({"visit": "WEEK 2"})));
    let world = world.then(&["ReportSubmitted", "ReportFiled"]);
    let answers =
        |more: Value| world.when(report_id(1), &correction(more)).payload("ReportCorrected")["answers"].clone();
    assert_eq!(answers(json!({"answers": {"phq0102": 3}})), json!({"PHQ0101": 1, "PHQ0102": 3}));
    assert_eq!(answers(json!({"answers": {"PHQ0102": null}})), json!({"PHQ0101": 1}));
    assert_eq!(answers(json!({"answers": {"PHQ0103": 0}})), json!({"PHQ0101": 1, "PHQ0102": 2, "PHQ0103": 0}));
    assert_eq!(answers(json!({"visit": null})), json!({"PHQ0101": 1, "PHQ0102": 2}));
    for nothing in [
        json!({}),
        json!({"answers": {}}),
        json!({"answers": {"PHQ0101": 1, "PHQ0109": null}}),
        json!({"visit": "WEEK 2"}),
        json!({"completed_at": "2026-01-31T12:00:00.123456Z"}),
    ] {
        world.when(report_id(1), &correction(nothing)).then_refused(Invalid::NOTHING_CHANGES);
    }
    let twice = correction(json!({"answers": {"PHQ0101": 2, "phq0101": 3}}));
    world.when(report_id(1), &twice).then_refused(Invalid::DUPLICATE);
}

/// A telephone's clock was an hour ahead, and the visit was another one.
#[test]
fn times_and_visit_are_corrected_and_tell_the_report_from_others() {
    let unnamed = |world: &World| world.with_targets_unnamed();
    let first = json!({"completed_at": "2026-01-31T14:00:00Z", "visit": "WEEK 2"});
    let world = in_tokyo()
        .minutes_later(150)
        .when(report_id(1), &report(first.clone()))
        .then(&["ReportSubmitted", "ReportFiled"]);
    let known = unnamed(&world).when(report_id(2), &report(first.clone()));
    known.then_refused(ReportError::ALREADY_SUBMITTED);
    let corrected = world.when(
        report_id(1),
        &correction(
            json!({"started_at": "2026-01-31T21:30:00", "completed_at": "2026-01-31T13:00:00Z", "visit": null}),
        ),
    );
    let payload = corrected.payload("ReportCorrected");
    let (changes, previous) = (&payload["changes"], &payload["previous"]);
    assert_eq!(changes["completed_at"], "2026-01-31T13:00:00Z");
    assert_eq!(previous["completed_at"], "2026-01-31T14:00:00Z");
    let both = |field: &str| (changes.get(field).cloned(), previous.get(field).cloned());
    assert_eq!(both("started_at"), (Some(json!("2026-01-31T12:30:00Z")), Some(Value::Null)));
    assert_eq!(both("visit"), (Some(Value::Null), Some(json!("WEEK 2"))));
    assert_eq!(changes.get("completed_on"), None);
    let world = corrected.then(&["ReportCorrected", "ReportFiled"]);
    world.assert_snapshots_hold();
    // What it was is free again, what it is is not.
    unnamed(&world).when(report_id(2), &report(first)).then(&["ReportSubmitted", "ReportFiled"]);
    let same = json!({"started_at": "2026-01-31T12:30:00Z", "completed_at": "2026-01-31T13:00:00Z"});
    unnamed(&world).when(report_id(2), &report(same)).then_refused(ReportError::ALREADY_SUBMITTED);
    let ends_before = correction(json!({"completed_at": "2026-01-31T12:10:00Z"}));
    world.when(report_id(1), &ends_before).then_refused(ReportError::COMPLETED_BEFORE_STARTED);
    // Another one's times are another one's.
    let second = json!({"completed_at": "2026-01-31T13:30:00Z"});
    let world = world.when(report_id(2), &report(second)).then(&["ReportSubmitted", "ReportFiled"]);
    let onto = json!({"started_at": "2026-01-31T12:30:00Z", "completed_at": "2026-01-31T13:00:00Z"});
    world.when(report_id(2), &correction(onto)).then_refused(ReportError::ALREADY_SUBMITTED);
}

#[test]
fn whatever_tells_a_report_from_others_is_filed_anew() {
    let first = json!({"completed_at": "2026-01-31T14:00:00Z"});
    let world = in_tokyo().minutes_later(20 * 60).when(report_id(1), &report(first));
    let world = world.then(&["ReportSubmitted", "ReportFiled"]);
    world.when(report_id(1), &correction(json!({"visit": "WEEK 3"}))).then(&["ReportCorrected", "ReportFiled"]);
    let only_start = correction(json!({"started_at": "2026-01-31T13:00:00Z"}));
    world.when(report_id(1), &only_start).then(&["ReportCorrected", "ReportFiled"]);
    world.when(report_id(1), &correction(json!({"answers": {"PHQ0101": 3}}))).then(&["ReportCorrected"]);
    // It is the next day already where the patient lives.
    let next_day = world.when(report_id(1), &correction(json!({"completed_at": "2026-01-31T15:30:00Z"})));
    let payload = next_day.payload("ReportCorrected");
    assert_eq!(payload["changes"]["completed_on"], "2026-02-01");
    assert_eq!(payload["previous"]["completed_on"], "2026-01-31");
    next_day.then(&["ReportCorrected", "ReportFiled"]).assert_snapshots_hold();
}

/// Neither of two times on one day lies before the other where one has no time of day; and the day of consent is one day,
/// wherever the patient lives.
#[test]
fn a_day_alone_is_the_day() {
    let world = in_tokyo();
    for times in [
        json!({"started_at": "2026-01-31T20:00:00", "completed_at": "2026-01-31"}),
        json!({"completed_at": "2026-01-31"}),
    ] {
        let submitted = world.when(report_id(1), &report(times.clone()));
        assert_eq!(submitted.payload("ReportSubmitted")["completed_on"], "2026-01-31", "{times}");
    }
    let backwards = json!({"started_at": "2026-01-31T21:04:00", "completed_at": "2026-01-31T21:03:00"});
    world.when(report_id(1), &report(backwards)).then_refused(ReportError::COMPLETED_BEFORE_STARTED);
    let day_before = json!({"started_at": "2026-01-31T20:00:00", "completed_at": "2026-01-30"});
    world.when(report_id(1), &report(day_before)).then_refused(ReportError::COMPLETED_BEFORE_STARTED);
}

#[test]
fn a_version_that_there_is_not_is_named() {
    let world = in_tokyo();
    let of_version = report(json!({"questionnaire_version": "9"}));
    world.when(report_id(1), &of_version).then_refused(ReportError::UNKNOWN_VERSION);
    let of_another = report(json!({"questionnaire_version": "9", "instrument": "X"}));
    world.when(report_id(1), &of_another).then_refused(ReportError::UNKNOWN_QUESTIONNAIRE);
}

#[test]
fn a_report_is_corrected_after_it_was_completed() {
    let submit = report(json!({}));
    let world = enrolled(&open_trial(10, 10), 1).when(report_id(1), &submit).then(&["ReportSubmitted", "ReportFiled"]);
    let early = correction(json!({"answers": {"PHQ0101": 3}, "occurred_at": "2026-01-30T00:00:00Z"}));
    world.when(report_id(1), &early).then_refused(ReportError::CORRECTED_BEFORE);
}
