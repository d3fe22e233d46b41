//! Times that contradict each other are refused.

use domain::When;
use domain::consent::{PresentConsentForm, SignConsent, WithdrawConsent};
use domain::enrolment::subject::{
    CompleteSubject, DiscontinueSubject, EnrolSubject, RandomiseSubject, RecordEligibility,
};
use domain::patient::{RecordObservation, RegisterPatient};
use domain::site::{ActivateSite, RegisterSite, SiteError, SuspendSite};
use domain::trial::PublishConsentForm;
use domain::visit::RecordVisit;
use events::ids::VisitId;
use serde_json::json;
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, open_trial, patient, screen, site, subject, trial};

fn present(time: &str) -> PresentConsentForm {
    let (trial_id, site_id) = (trial(), site());
    command(
        json!({"trial_id": trial_id, "site_id": site_id, "form_version": "1", "language": "en", "occurred_at": time}),
    )
}

fn sign(time: &str) -> SignConsent {
    command(json!({"trial_id": trial(), "form_version": "1", "language": "en", "signed_at": time}))
}

fn withdraw(time: &str) -> WithdrawConsent {
    command(json!({"trial_id": trial(), "scope": "further-data", "withdrawn_at": time}))
}

/// A patient to whom the form was presented on 10 March 2025 at nine.
fn presented() -> World {
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    world.when(patient(1), &present("2025-03-10T09:00:00Z")).then(&["ConsentFormPresented", "PatientAdmitted"])
}

fn signed() -> World {
    presented().when(patient(1), &sign("2025-03-10T10:00:00Z")).then(&["ConsentSigned"])
}

#[test]
fn a_form_is_signed_after_it_was_presented() {
    let world = presented();
    for early in ["2025-03-10T08:00:00Z", "2025-03-09T00:00:00Z"] {
        world.when(patient(1), &sign(early)).then_refused("consent-form-presented-later");
    }
    // A clock that is a little behind, and a date without a time of day.
    for fits in ["2025-03-10T08:58:00Z", "2025-03-10T00:00:00Z", "2025-03-10T09:00:00Z"] {
        world.when(patient(1), &sign(fits)).then(&["ConsentSigned"]);
    }
}

#[test]
fn a_consent_is_withdrawn_after_it_was_signed_and_signed_anew_after_that() {
    let world = signed();
    world.when(patient(1), &withdraw("2025-03-10T09:30:00Z")).then_refused("consent-withdrawn-before-signed");
    let world = world.when(patient(1), &withdraw("2025-04-01T09:00:00Z")).then(&["ConsentWithdrawn"]);
    world.when(patient(1), &sign("2025-05-01T09:00:00Z")).then_refused("consent-form-not-presented");
    let world = world.when(patient(1), &present("2025-03-20T09:00:00Z")).then(&["ConsentFormPresented"]);
    world.when(patient(1), &sign("2025-03-25T09:00:00Z")).then_refused("consent-withdrawn-later");
    world.when(patient(1), &sign("2025-05-01T09:00:00Z")).then(&["ConsentSigned"]);
}

/// Assessed on the 12th as 40 years old, in screening since the 11th.
fn assessed() -> World {
    let observe = |age: u32, time: &str| -> RecordObservation {
        command(json!({"code": "AGE", "value": age, "observed_at": time}))
    };
    let world = signed();
    let screen_at = |time: &str| domain::enrolment::subject::ScreenPatient {
        occurred_at: When::at(time.parse().expect("a time")),
        ..screen()
    };
    world.when(patient(1), &screen_at("2025-03-10T09:00:00Z")).then_refused("consent-signed-later");
    let world = world.when(patient(1), &screen_at("2025-03-11T09:00:00Z"));
    let world = world.then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(patient(1), &observe(40, "2025-03-11T10:00:00Z")).then(&["ObservationRecorded"]);
    // Observed later: it does not count on the 12th.
    let world = world.when(patient(1), &observe(12, "2025-03-20T10:00:00Z")).then(&["ObservationRecorded"]);
    world.when(subject(1), &assess("2025-03-11T08:00:00Z")).then_refused("subject-stage-later");
    let assessed = world.when(subject(1), &assess("2025-03-12T10:00:00Z"));
    assert_eq!(assessed.payload("EligibilityRecorded")["outcome"], "eligible");
    let world = assessed.then(&["EligibilityRecorded"]);
    let later = world.when(subject(1), &assess("2025-03-21T10:00:00Z"));
    assert_eq!(later.payload("EligibilityRecorded")["outcome"], "ineligible");
    world
}

fn assess(time: &str) -> RecordEligibility {
    command(json!({"occurred_at": time}))
}

#[test]
fn the_stages_of_a_subject_follow_each_other_in_time() {
    let world = assessed();
    let enrol = |time: &str| -> EnrolSubject { command(json!({"occurred_at": time})) };
    let randomise = |time: &str| -> RandomiseSubject { command(json!({"arm": "A", "occurred_at": time})) };
    let complete = |time: &str| -> CompleteSubject { command(json!({"occurred_at": time})) };
    let end = |time: &str| -> DiscontinueSubject { command(json!({"reason": "DEATH", "occurred_at": time})) };
    let id = subject(1);
    let early = world.when(id, &end("2025-03-10T23:00:00Z"));
    assert!(early.refused().message.contains("is in screening since 2025-03-1"), "{:?}", early.refused());
    early.then_refused("subject-stage-later");
    world.when(id, &enrol("2025-03-10T23:00:00Z")).then_refused("subject-stage-later");
    let world = world.when(id, &enrol("2025-03-13T09:00:00Z")).then(&["SubjectEnrolled", "PlaceTaken"]);
    world.when(id, &randomise("2025-03-12T09:00:00Z")).then_refused("subject-stage-later");
    let world = world.when(id, &randomise("2025-03-13T00:00:00Z")).then(&["SubjectRandomised"]);
    world.when(id, &complete("2025-03-12T09:00:00Z")).then_refused("subject-stage-later");
    world.when(id, &end("2025-03-12T09:00:00Z")).then_refused("subject-stage-later");
    world.when(id, &complete("2025-06-12T09:00:00Z")).then(&["SubjectCompleted"]);
}

#[test]
fn what_happens_to_a_site_happens_in_order() {
    let second: events::ids::SiteId = Uuid::from_u128(0x21).into();
    let register = json!({"trial_id": trial(), "code": "702", "name": "Clinic", "occurred_at": "2025-03-01T09:00:00Z"});
    let world =
        open_trial(10, 10).when(second, &command::<RegisterSite>(register)).then(&["SiteRegistered", "SiteJoined"]);
    let activate =
        |at: &str| -> ActivateSite { command(json!({"enrolment_cap": 10, "investigator": "dr", "occurred_at": at})) };
    let suspend = |at: &str| -> SuspendSite { command(json!({"reason": "an audit", "occurred_at": at})) };
    world.when(second, &activate("2025-02-28T09:00:00Z")).then_refused(SiteError::OUT_OF_ORDER);
    let world = world.when(second, &activate("2025-03-05T09:00:00Z")).then(&["SiteActivated"]);
    world.when(second, &suspend("2025-03-03T09:00:00Z")).then_refused(SiteError::OUT_OF_ORDER);
    let world = world.when(second, &suspend("2025-03-07T09:00:00Z")).then(&["SiteSuspended"]);
    world.when(second, &activate("2025-03-06T09:00:00Z")).then_refused(SiteError::OUT_OF_ORDER);
    world.when(second, &activate("2025-03-08T09:00:00Z")).then(&["SiteActivated"]);
    world.assert_snapshots_hold();
}

#[test]
fn a_visit_is_recorded_under_a_consent_whenever_it_was() {
    let world = assessed();
    let visit = |day: &str, recorded_at: &str| -> RecordVisit {
        let id = subject(1);
        command(json!({"subject_id": id, "visit": "WEEK 2", "attended_on": day, "occurred_at": recorded_at}))
    };
    let id = VisitId::from(Uuid::from_u128(0x60));
    world.when(id, &visit("2025-03-09", "2025-03-09T00:00:00Z")).then_refused("consent-signed-later");
    world.when(id, &visit("2025-03-09", "2025-03-12T00:00:00Z")).then(&["VisitAttended", "VisitFiled"]);
    let world = world.when(patient(1), &withdraw("2025-04-01T09:00:00Z")).then(&["ConsentWithdrawn"]);
    world.when(id, &visit("2025-04-02", "2025-04-02T00:00:00Z")).then_refused("consent-not-in-force");
    world.when(id, &visit("2025-03-12", "2025-03-11T00:00:00Z")).then_refused("visit-recorded-before-attended");
    world.when(id, &visit("2025-03-12", "2025-04-02T00:00:00Z")).then(&["VisitAttended", "VisitFiled"]);
}

#[test]
fn demographics_count_before_what_was_written_down() {
    let born: RegisterPatient = command(json!({"birth_date": "2015-01-01"}));
    let world = open_trial(10, 10).when(patient(1), &born).then(&["PatientRegistered"]);
    let observe: RecordObservation =
        command(json!({"code": "AGE", "value": 40, "observed_at": "2025-03-01T00:00:00Z"}));
    let world = world.when(patient(1), &observe).then(&["ObservationRecorded"]);
    let world =
        world.when(patient(1), &present("2025-03-10T09:00:00Z")).then(&["ConsentFormPresented", "PatientAdmitted"]);
    let world = world.when(patient(1), &sign("2025-03-10T10:00:00Z")).then(&["ConsentSigned"]);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let assessed = world.when(subject(1), &RecordEligibility::default()).payload("EligibilityRecorded");
    assert_eq!((&assessed["outcome"], &assessed["assessments"][0]["seen"]), (&json!("ineligible"), &json!(null)));
}

#[test]
fn a_form_takes_effect_on_a_day_that_somebody_lives_to_see() {
    let form = |day: &str| -> PublishConsentForm {
        command(json!({"form_version": "9", "language": "en", "text_sha256": "0".repeat(64), "effective_on": day}))
    };
    let world = open_trial(10, 10);
    for wrong in ["0001-01-01", "9999-01-01"] {
        world.when(trial(), &form(wrong)).then_refused("out-of-range");
    }
    world.when(trial(), &form("2030-01-01")).then(&["ConsentFormPublished"]);
}
