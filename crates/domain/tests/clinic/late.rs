//! What arrives late: acts count by their own time, not by the order in which they arrive.

use domain::consent::{CorrectConsent, SignConsent, WithdrawConsent};
use domain::enrolment::subject::{
    CompleteSubject, CorrectSubjectEnd, DiscontinueSubject, EnrolSubject, RandomiseSubject, RecordEligibility,
    ScreenPatient, SubjectError,
};
use domain::epro::report::{CorrectReport, SubmitReport};
use domain::patient::{RecordObservation, RegisterPatient};
use domain::safety::adverse_event::{ReportAdverseEvent, UpdateAdverseEvent};
use domain::validate::Invalid;
use domain::visit::{CorrectVisit, RecordVisit, VisitError};
use events::ids::{AdverseEventId, ReportId, VisitId};
use serde_json::{Value, json};
use testkit::given::{World, with};
use uuid::Uuid;

use crate::world::{command, open_trial, patient, shown, site, subject, trial};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x500 + number)
}

fn signs(world: &World, at: &str) -> World {
    let form = json!({"trial_id": trial(), "form_version": "1", "language": "en"});
    let present = with(form.clone(), &json!({"site_id": site(), "occurred_at": at}));
    let present: domain::consent::PresentConsentForm = command(present);
    let world = shown(world.when(patient(1), &present));
    world.when(patient(1), &command::<SignConsent>(with(form, &json!({"signed_at": at})))).then(&["ConsentSigned"])
}

fn withdraws(world: &World, at: &str) -> World {
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data", "withdrawn_at": at}));
    world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"])
}

/// Signed on 1 September 2025, 40 years old since.
fn signed() -> World {
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let age: RecordObservation = command(json!({"code": "AGE", "value": 40, "observed_at": "2025-09-01"}));
    let world = world.when(patient(1), &age).then(&["ObservationRecorded"]);
    signs(&world, "2025-09-01T08:00:00Z")
}

fn screen(at: &str) -> ScreenPatient {
    command(json!({"trial_id": trial(), "occurred_at": at}))
}

#[test]
fn what_happened_before_a_withdrawal_is_taken_after_it_ended_participation() {
    let at = |day: u32| json!({"occurred_at": format!("2025-09-{day:02}T08:00:00Z")});
    let world = signed().when(patient(1), &screen("2025-09-02T08:00:00Z"));
    let world = withdraws(&world.then(&["PatientScreened", "SubjectNumberAssigned"]), "2025-10-01T08:00:00Z");
    let end: DiscontinueSubject =
        command(json!({"reason": "WITHDRAWAL BY SUBJECT", "occurred_at": "2025-10-01T08:00:00Z"}));
    let world = world.when(subject(1), &end).then(&["SubjectDiscontinued"]);
    let enrol = |day| command::<EnrolSubject>(at(day));
    let assess = |day| command::<RecordEligibility>(at(day));
    let randomise = |day| command::<RandomiseSubject>(with(at(day), &json!({"arm": "A"})));
    // Not out of order, and not after the end.
    world.when(subject(1), &randomise(5)).then_refused(SubjectError::NOT_ENROLLED);
    let late = json!({"occurred_at": "2025-10-02T08:00:00Z"});
    world.when(subject(1), &command::<RecordEligibility>(late)).then_refused("consent-not-in-force");
    let world = world.when(subject(1), &assess(3)).then(&["EligibilityRecorded"]);
    world.when(subject(1), &enrol(1)).then_refused(SubjectError::OUT_OF_ORDER);
    // Whoever has left takes no place; whoever was allocated took one.
    let world = world.when(subject(1), &enrol(4)).then(&["SubjectEnrolled"]);
    world.when(subject(1), &enrol(4)).then_refused(SubjectError::NOT_IN_SCREENING);
    world.when(subject(1), &randomise(3)).then_refused(SubjectError::OUT_OF_ORDER);
    let world = world.when(subject(1), &randomise(5)).then(&["SubjectRandomised", "PlaceTaken"]);
    world.when(subject(1), &randomise(5)).then_refused(SubjectError::NOT_ENROLLED);
    // Ended all the same, as one who was allocated.
    world.when(subject(1), &command::<CompleteSubject>(at(20))).then_refused(SubjectError::ENDED);
    let completed: CorrectSubjectEnd =
        command(json!({"end": "completed", "ended_at": "2025-09-20T08:00:00Z", "reason": "told late"}));
    world.when(subject(1), &completed).then(&["SubjectEndCorrected"]);
    world.assert_snapshots_hold();
}

#[test]
fn visits_count_by_their_day() {
    let world = signs(&withdraws(&signed(), "2025-09-10T08:00:00Z"), "2025-10-01T08:00:00Z");
    let world = world.when(patient(1), &screen("2025-10-01T08:00:00Z"));
    let world = world.then(&["PatientScreened", "SubjectNumberAssigned"]);
    let visit =
        |day: &str| -> RecordVisit { command(json!({"subject_id": subject(1), "visit": day, "attended_on": day})) };
    for (day, is_taken) in [
        // Told under the first signature.
        ("2025-08-20", true),
        ("2025-09-05", true),
        ("2025-09-10", true),
        ("2025-09-20", false),
        ("2025-10-01", true),
        ("2025-09", true),
    ] {
        let outcome = world.when(VisitId::from(id(1)), &visit(day));
        if is_taken {
            outcome.then(&["VisitAttended", "VisitFiled"]);
        } else {
            outcome.then_refused("consent-not-in-force");
        }
    }
}

#[test]
fn what_was_learnt_first_may_arrive_last() {
    let world = signed().when(patient(1), &screen("2025-09-02T08:00:00Z"));
    let world = world.then(&["PatientScreened", "SubjectNumberAssigned"]);
    let event = json!({"subject_id": subject(1), "term": "Rash", "severity": "mild", "serious": false,
        "occurred_at": "2025-09-05T08:00:00Z"});
    let event_id = AdverseEventId::from(id(2));
    let world = world.when(event_id, &command::<ReportAdverseEvent>(event)).then(&["AdverseEventReported"]);
    let update = |more: Value| -> UpdateAdverseEvent { command(with(json!({"reason": "a letter"}), &more)) };
    let world = world.when(event_id, &update(json!({"term": "Hives"}))).then(&["AdverseEventUpdated"]);
    let fatal = update(json!({"outcome": "F\u{410}TAL\u{200b}", "occurred_at": "2025-11-01T08:00:00Z"}));
    let told = world.when(event_id, &fatal);
    assert_eq!(told.payload("AdverseEventUpdated")["changes"]["serious"], true, "it looks like FATAL");
    let report = json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": {"PHQ0109": 0},
        "completed_at": "2025-09-05T08:00:00Z"});
    let report_id = ReportId::from(id(3));
    let world = world.when(report_id, &command::<SubmitReport>(report)).then(&["ReportSubmitted", "ReportFiled"]);
    let correct = |more: Value| -> CorrectReport { command(with(json!({"reason": "misheard"}), &more)) };
    let world = world.when(report_id, &correct(json!({"answers": {"PHQ0101": 1}}))).then(&["ReportCorrected"]);
    let earlier = correct(json!({"answers": {"PHQ0109": 3}, "occurred_at": "2025-09-06T08:00:00Z"}));
    let raised = world.when(report_id, &earlier).payload("ReportCorrected");
    assert_eq!(raised["triggered_rules"].as_array().map(Vec::len), Some(1));
    // What is told of today is of today: somebody is woken.
    let historical = correct(json!({"answers": {"PHQ0109": 3}, "historical": true}));
    world.when(report_id, &historical).then_refused(Invalid::OUT_OF_RANGE);
    world.when(event_id, &update(json!({"serious": true, "historical": true}))).then_refused(Invalid::OUT_OF_RANGE);
}

#[test]
fn a_visit_is_another_ones_neither_without_its_number_nor_by_correction() {
    let world = signed().when(patient(1), &screen("2025-09-02T08:00:00Z"));
    let world = world.then(&["PatientScreened", "SubjectNumberAssigned"]).with_targets_unnamed();
    let visit = |more: Value| -> RecordVisit {
        command(with(json!({"subject_id": subject(1), "visit": "WEEK 8", "attended_on": "2025-09-20"}), &more))
    };
    let [first, second] = [4, 5].map(|number| VisitId::from(id(number)));
    let filed = ["VisitAttended", "VisitFiled"];
    let world = world.when(first, &visit(json!({"visit_number": 8}))).then(&filed);
    world.when(second, &visit(json!({}))).then_refused(VisitError::ALREADY_RECORDED);
    let world = world.when(second, &visit(json!({"visit": "WEEK 9"}))).then(&filed);
    let correct: CorrectVisit = command(json!({"visit": "week 8", "reason": "the wrong row"}));
    world.when(second, &correct).then_refused(VisitError::ALREADY_RECORDED);
}

#[test]
fn a_null_is_no_time() {
    for body in [json!({"completed_at": null, "reason": "x"}), json!({"started_at": null, "reason": "x"})] {
        serde_json::from_value::<CorrectReport>(body).expect_err("a null");
    }
    let consent = json!({"trial_id": trial(), "withdrawn_at": null, "reason": "x"});
    serde_json::from_value::<CorrectConsent>(consent).expect_err("a null");
    serde_json::from_value::<CorrectSubjectEnd>(json!({"ended_at": null, "reason": "x"})).expect_err("a null");
    // What is written down can be read again.
    let correct: CorrectReport = command(json!({"answers": {"A": null}, "reason": "x"}));
    let written = serde_json::to_value(&correct).expect("JSON");
    assert_eq!(serde_json::from_value::<CorrectReport>(written).expect("a command"), correct);
}

#[test]
fn whoever_completed_has_no_reason_to_have_left() {
    let world = crate::world::enrolled(&open_trial(10, 10), 1);
    let world = world.when(subject(1), &crate::world::randomise()).then(&["SubjectRandomised"]);
    let world = world.when(subject(1), &command::<CompleteSubject>(json!({}))).then(&["SubjectCompleted"]);
    let correct = |more: Value| -> CorrectSubjectEnd { command(with(json!({"reason": "a letter"}), &more)) };
    for contradiction in [json!({"discontinuation_reason": "DEATH"}), json!({"detail": "moved"})] {
        world.when(subject(1), &correct(contradiction)).then_refused(SubjectError::COMPLETED_FOR_NO_REASON);
    }
    let left = json!({"end": "discontinued", "discontinuation_reason": "DEATH", "detail": "at home"});
    world.when(subject(1), &correct(left)).then(&["SubjectEndCorrected"]);
}
