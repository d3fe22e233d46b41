//! The course of a subject: what follows what, and what is refused out of order.

use decider::RefusalKind;
use domain::When;
use domain::consent::{PresentConsentForm, WithdrawConsent};
use domain::enrolment::subject::{
    CompleteSubject, CorrectSubjectEnd, DiscontinueSubject, EnrolSubject, RandomiseSubject, RecordEligibility,
    ScreenPatient,
};
use domain::epro::report::{CorrectReport, SubmitReport};
use domain::patient::RegisterPatient;
use domain::trial::{CloseEnrolment, DefineEligibility, PauseEnrolment, TrialError};
use events::ids::ReportId;
use serde_json::{Value, json};
use testkit::given::{World, with};
use uuid::Uuid;

use crate::world::{command, consented, enrolled, open_trial, patient, randomise, screen, sign, site, subject, trial};

#[test]
fn a_subject_goes_through_the_trial_in_order_only() {
    let world = open_trial(10, 10);
    let id = subject(1);
    let world = world.when(id, &randomise()).then_refused("subject-not-found");
    let world = enrolled(&world, 1);
    let world = world.when(patient(1), &sign()).then_refused("consent-already-signed");
    let world = world.when(patient(1), &screen()).then_refused("subject-already-screened");
    let world = world.when(id, &CompleteSubject::default()).then_refused("subject-not-randomised");
    let world = world.when(id, &command::<RandomiseSubject>(json!({"arm": "Z"}))).then_refused("arm-not-found");
    let world = world.when(id, &randomise()).then(&["SubjectRandomised"]);
    let world = world.when(id, &randomise()).then_refused("subject-not-enrolled");
    let world = world.when(id, &CompleteSubject::default()).then(&["SubjectCompleted"]);
    let end = command::<DiscontinueSubject>(json!({"reason": "DEATH"}));
    world.when(id, &end).then_refused("subject-ended");
}

#[test]
fn how_participation_ended_is_corrected_and_keeps_what_it_was() {
    let correct = |more: Value| -> CorrectSubjectEnd { command(with(json!({"reason": "the site's note"}), &more)) };
    let withdrew = correct(json!({"end": "discontinued", "discontinuation_reason": "WITHDRAWAL BY SUBJECT"}));
    let id = subject(1);
    let world = enrolled(&open_trial(10, 10), 1).when(id, &randomise()).then(&["SubjectRandomised"]);
    let world = world.when(id, &withdrew).then_refused("subject-not-ended");
    let world = world.when(id, &CompleteSubject::default()).then(&["SubjectCompleted"]);
    let world =
        world.when(id, &correct(json!({"end": "discontinued"}))).then_refused("subject-discontinued-without-reason");
    let world = world.when(id, &correct(json!({}))).then_refused("nothing-changes");
    let early = json!({"ended_at": "2001-01-01T00:00:00Z"});
    let world = world.when(id, &correct(early)).then_refused("subject-stage-later");
    let outcome = world.when(id, &withdrew);
    let corrected = outcome.payload("SubjectEndCorrected");
    let world = outcome.then(&["SubjectEndCorrected"]);
    assert_eq!(
        (&corrected["changes"], &corrected["previous"]),
        (
            &json!({"end": "discontinued", "discontinuation_reason": "WITHDRAWAL BY SUBJECT"}),
            &json!({"end": "completed", "discontinuation_reason": null})
        )
    );
    let world = world.when(id, &correct(json!({"detail": "moved away"}))).then(&["SubjectEndCorrected"]);
    let world = world.when(id, &correct(json!({"end": "completed"}))).then(&["SubjectEndCorrected"]);
    world.when(id, &withdrew).then(&["SubjectEndCorrected"]);
}

#[test]
fn whoever_was_not_allocated_did_not_complete() {
    let world = enrolled(&open_trial(10, 10), 1);
    let end = command::<DiscontinueSubject>(json!({"reason": "DEATH"}));
    let world = world.when(subject(1), &end).then(&["SubjectDiscontinued", "PlaceReleased"]);
    let completed = command::<CorrectSubjectEnd>(json!({"end": "completed", "reason": "a mistake"}));
    world.when(subject(1), &completed).then_refused("subject-not-randomised");
}

#[test]
fn places_end_at_the_cap_and_come_back_with_whoever_was_not_randomised() {
    let world = enrolled(&open_trial(10, 1), 1);
    let world = consented(&world, 2, 40);
    let world = world.when(patient(2), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(subject(2), &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    let world = world.when(subject(2), &EnrolSubject::default()).then_refused("site-cap-reached");
    let end = command::<DiscontinueSubject>(json!({"reason": "WITHDRAWAL BY SUBJECT"}));
    let world = world.when(subject(1), &end).then(&["SubjectDiscontinued", "PlaceReleased"]);
    let world = world.when(subject(2), &EnrolSubject::default()).then(&["SubjectEnrolled", "PlaceTaken"]);
    let world = world.when(subject(2), &randomise()).then(&["SubjectRandomised"]);
    world.when(subject(2), &end).then(&["SubjectDiscontinued"]);
}

#[test]
fn the_trial_is_full_at_its_planned_number() {
    let world = enrolled(&open_trial(1, 10), 1);
    let world = consented(&world, 2, 40);
    let world = world.when(patient(2), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(subject(2), &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    world.when(subject(2), &EnrolSubject::default()).then_refused("trial-full");
}

#[test]
fn nobody_enters_a_trial_that_does_not_enrol() {
    let pause: PauseEnrolment = command(json!({"reason": "drug supply"}));
    let paused = |world: &World| world.when(trial(), &pause).then(&["EnrolmentPaused"]);
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let present: PresentConsentForm =
        command(json!({"trial_id": trial(), "site_id": site(), "form_version": "1", "language": "en"}));
    let world = world.when(patient(1), &present).then(&["ConsentFormPresented", "PatientAdmitted"]);
    paused(&world).when(patient(1), &sign()).then_refused(TrialError::NOT_OPEN);
    let world = consented(&open_trial(10, 10), 1, 40);
    paused(&world).when(patient(1), &screen()).then_refused(TrialError::NOT_OPEN);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(subject(1), &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    paused(&world).when(subject(1), &EnrolSubject::default()).then_refused(TrialError::NOT_OPEN);
    let closed = world.when(trial(), &command::<CloseEnrolment>(json!({"reason": "full"}))).then(&["EnrolmentClosed"]);
    closed.when(subject(1), &EnrolSubject::default()).then_refused(TrialError::CLOSED);
}

/// Whoever names what there is not is told whether the address or a field did so.
#[test]
fn what_is_not_there_is_told_with_the_field_that_named_it() {
    let world = open_trial(10, 10);
    let report = world.when(ReportId::from(Uuid::from_u128(0x50)), &report(json!({})));
    let refused = report.refused();
    assert_eq!((refused.field.as_deref(), refused.kind), (Some("subject_id"), RefusalKind::Rule));
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data"}));
    let outcome = world.when(patient(9), &withdraw);
    let refused = outcome.refused();
    assert_eq!((refused.field.as_deref(), refused.kind), (None, RefusalKind::NotFound));
    assert_eq!(refused.rule, "patient-not-found");
}

#[test]
fn whoever_is_too_young_is_not_eligible() {
    let world = consented(&open_trial(10, 10), 1, 12);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let assessed = world.when(subject(1), &RecordEligibility::default());
    assert_eq!(assessed.payload("EligibilityRecorded")["outcome"], "ineligible");
    let world = assessed.then(&["EligibilityRecorded"]);
    world.when(subject(1), &EnrolSubject::default()).then_refused("subject-not-eligible");
}

/// On 31 January 2026.
#[test]
fn a_year_of_age_is_completed_on_the_birthday() {
    for (born, outcome) in [("2008-01-30", "eligible"), ("2008-01-31", "eligible"), ("2008-02-01", "ineligible")] {
        let person: RegisterPatient = command(json!({"birth_date": born}));
        let world = open_trial(10, 10).when(patient(1), &person).then(&["PatientRegistered"]);
        let present: PresentConsentForm =
            command(json!({"trial_id": trial(), "site_id": site(), "form_version": "1", "language": "en"}));
        let world = world.when(patient(1), &present).then(&["ConsentFormPresented", "PatientAdmitted"]);
        let world = world.when(patient(1), &sign()).then(&["ConsentSigned"]);
        let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        let assessed = world.when(subject(1), &RecordEligibility::default());
        assert_eq!(assessed.payload("EligibilityRecorded")["outcome"], outcome, "{born}");
    }
}

#[test]
fn a_subject_number_tells_how_many_a_site_gave_out() {
    let world = consented(&open_trial(10, 10), 1, 40);
    let named: ScreenPatient = command(json!({"trial_id": trial(), "subject_number": "S-9"}));
    let mut world = world.when(patient(1), &named).then(&["PatientScreened", "SubjectNumberAssigned"]);
    for (number, given) in [(2, "701-002"), (3, "701-003")] {
        world = consented(&world, number, 40);
        let screened = world.when(patient(number), &screen());
        assert_eq!(screened.payload("SubjectNumberAssigned")["subject_number"], given);
        world = screened.then(&["PatientScreened", "SubjectNumberAssigned"]);
    }
}

fn report(answers: Value) -> SubmitReport {
    command(json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": answers}))
}

fn phq9(answers: [u8; 9]) -> Value {
    answers.iter().zip(1..).map(|(answer, item)| (format!("PHQ010{item}"), json!(answer))).collect()
}

#[test]
fn a_report_is_scored_by_the_definition_and_a_correction_keeps_the_old_score() {
    let id = ReportId::from(Uuid::from_u128(0x30));
    let world = enrolled(&open_trial(10, 10), 1);
    let submitted = world.when(id, &report(phq9([1, 1, 1, 1, 1, 1, 1, 1, 0])));
    let payload = submitted.payload("ReportSubmitted");
    assert_eq!((&payload["scores"][0]["value"], &payload["scores"][0]["band"]), (&json!(8), &json!("mild")));
    assert_eq!(payload["triggered_rules"], json!([]));
    let world = submitted.then(&["ReportSubmitted", "ReportFiled"]);
    let world = world.when(id, &report(phq9([0; 9]))).then_refused("report-already-submitted");
    let correct = command::<CorrectReport>(json!({"answers": phq9([3, 3, 3, 3, 3, 3, 3, 3, 1]), "reason": "Misread"}));
    let corrected = world.when(id, &correct);
    let payload = corrected.payload("ReportCorrected");
    assert_eq!(
        (&payload["changes"]["scores"]["TOTAL"], &payload["previous"]["scores"]["TOTAL"]),
        (&json!(25), &json!(8))
    );
    let rules: Vec<&Value> =
        payload["triggered_rules"].as_array().expect("rules").iter().map(|rule| &rule["rule"]).collect();
    assert_eq!(rules, ["phq9-item9", "phq9-severe"]);
    let world = corrected.then(&["ReportCorrected"]);
    world.when(id, &correct).then_refused("nothing-changes");
}

#[test]
fn up_to_two_missing_items_are_prorated() {
    let world = enrolled(&open_trial(10, 10), 1);
    let score = |missing: usize| {
        let answers: Value = (1..=9 - missing).map(|item| (format!("PHQ010{item}"), json!(1))).collect();
        let id = ReportId::from(Uuid::from_u128(0x40 + missing as u128));
        world.when(id, &report(answers)).payload("ReportSubmitted")["scores"][0]["value"].clone()
    };
    assert_eq!([score(0), score(1), score(2)], [json!(9), json!(9), json!(9)]);
    assert_eq!(score(3), Value::Null);
}

#[test]
fn nothing_clinical_is_recorded_without_a_consent_in_force() {
    let world = enrolled(&open_trial(10, 10), 1);
    let early = SubmitReport {
        completed_at: When::at("2021-01-01T00:00:00Z".parse().expect("a time")),
        ..report(phq9([0; 9]))
    };
    let id = ReportId::from(Uuid::from_u128(0x50));
    let world = world.when(id, &early).then_refused("consent-signed-later");
    let withdraw = command::<WithdrawConsent>(json!({"trial_id": trial(), "scope": "further-data"}));
    let world = world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"]);
    let world = world.when(id, &report(phq9([0; 9]))).then_refused("consent-not-in-force");
    let world = world.when(subject(1), &randomise()).then_refused("consent-not-in-force");
    world.when(patient(1), &withdraw).then_refused("consent-not-in-force");
}

#[test]
fn eligibility_counts_only_on_the_criteria_in_force() {
    let world = consented(&open_trial(10, 10), 1, 40);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(subject(1), &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    let stricter = json!({"criteria": [{"code": "I1", "text": "At least 50", "category": "inclusion",
        "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 50}}]});
    let world = world.when(trial(), &command::<DefineEligibility>(stricter)).then(&["EligibilityDefined"]);
    let world = world.when(subject(1), &EnrolSubject::default()).then_refused("subject-not-eligible");
    let assessed = world.when(subject(1), &RecordEligibility::default());
    assert_eq!(assessed.payload("EligibilityRecorded")["outcome"], "ineligible");
}
