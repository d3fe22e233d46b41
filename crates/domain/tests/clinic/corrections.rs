//! What was recorded wrongly is corrected; the old value stays.

use domain::consent::{ConsentError, CorrectConsent, PresentConsentForm, SignConsent, WithdrawConsent};
use domain::enrolment::subject::ScreenPatient;
use domain::patient::{CorrectDemographics, CorrectObservation, PatientError, RecordObservation, RegisterPatient};
use domain::trial::PublishConsentForm;
use domain::validate::Invalid;
use domain::visit::{CorrectVisit, RecordVisit, VisitError};
use events::ids::VisitId;
use serde_json::{Value, json};
use testkit::given::{World, with};
use uuid::Uuid;

use crate::world::{command, consented, enrolled, open_trial, patient, screen, shown, site, subject, trial};

fn registered() -> World {
    let register: RegisterPatient =
        command(json!({"name": "Kari Nordmann", "birth_date": "1980-02-03", "sex": "F", "mobile": "+4791234567"}));
    open_trial(10, 10).when(patient(1), &register).then(&["PatientRegistered"])
}

#[test]
fn demographics_are_corrected_field_by_field() {
    let world = registered();
    let correct: CorrectDemographics = command(json!({
        "birth_date": "1980-03-02", "mobile": null, "sex": "F", "reason": "day and month were exchanged"
    }));
    let corrected = world.when(patient(1), &correct);
    let payload = corrected.payload("DemographicsCorrected");
    assert_eq!(payload["changes"], json!({"birth_date": "1980-03-02", "mobile": null}));
    assert_eq!(payload["previous"], json!({"birth_date": "1980-02-03", "mobile": "+4791234567"}));
    let world = corrected.then(&["DemographicsCorrected"]);
    let world = world.when(patient(1), &correct).then_refused(Invalid::NOTHING_CHANGES);
    let later: CorrectDemographics = command(json!({"birth_date": "2027-01-01", "reason": "x"}));
    let world = world.when(patient(1), &later).then_refused(Invalid::IN_FUTURE);
    let wrong: CorrectDemographics = command(json!({"mobile": "91234567", "reason": "x"}));
    let world = world.when(patient(1), &wrong).then_refused(Invalid::MALFORMED);
    world.when(patient(2), &correct).then_refused(PatientError::NOT_FOUND);
    world.assert_snapshots_hold();
}

#[test]
fn a_corrected_observation_is_what_eligibility_sees() {
    let world = consented(&open_trial(10, 10), 1, 40);
    let observe = |value: u32, at: &str| -> RecordObservation {
        command(json!({"code": "AGE", "value": value, "unit": "a", "observed_at": at}))
    };
    let world = world.when(patient(1), &observe(71, "2026-01-20")).then(&["ObservationRecorded"]);
    let correct = |more: serde_json::Value| -> CorrectObservation {
        command(with(json!({"code": "AGE", "observed_at": "2026-01-20", "reason": "misread"}), &more))
    };
    let corrected =
        world.when(patient(1), &correct(json!({"value": 17, "observed_at_corrected": "2026-01-31T12:01:00Z"})));
    let payload = corrected.payload("ObservationCorrected");
    assert_eq!(payload["changes"], json!({"value": 17, "observed_at": "2026-01-31T12:01:00Z"}));
    assert_eq!(payload["previous"], json!({"value": 71, "observed_at": "2026-01-20T00:00:00Z"}));
    let world = corrected.then(&["ObservationCorrected"]);
    world.assert_snapshots_hold();
    // It was moved: nothing is there any more.
    let world = world.when(patient(1), &correct(json!({"value": 3}))).then_refused(PatientError::OBSERVATION_NOT_FOUND);
    let moved = json!({"observed_at": "2026-01-31T12:01:00Z", "unit": null, "value": 17});
    let payload = world.when(patient(1), &correct(moved.clone())).payload("ObservationCorrected");
    assert_eq!((&payload["changes"], &payload["previous"]), (&json!({"unit": null}), &json!({"unit": "a"})));
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let assessed = world.when(subject(1), &domain::enrolment::subject::RecordEligibility::default());
    assert_eq!(assessed.payload("EligibilityRecorded")["outcome"], "ineligible");
}

#[test]
fn a_visit_is_corrected_after_it_was_recorded() {
    let id = VisitId::from(Uuid::from_u128(0x60));
    let visit: RecordVisit = command(json!({"subject_id": subject(1), "visit": "WEEK 2", "visit_number": 3,
        "attended_on": "2026-01-31"}));
    let world = enrolled(&open_trial(10, 10), 1);
    let correct =
        |more: serde_json::Value| -> CorrectVisit { command(with(json!({"reason": "the wrong row"}), &more)) };
    let change = correct(json!({"visit": "WEEK 4", "visit_number": null, "attended_on": "2026-01-30"}));
    let world = world.when(id, &change).then_refused(VisitError::NOT_FOUND);
    let world = world.when(id, &visit).then(&["VisitAttended", "VisitFiled"]);
    let early = correct(json!({"visit": "WEEK 4", "occurred_at": "2026-01-30T08:00:00Z"}));
    let world = world.when(id, &early).then_refused(VisitError::CORRECTED_BEFORE);
    let corrected = world.when(id, &change);
    let payload = corrected.payload("VisitCorrected");
    assert_eq!(payload["changes"], json!({"visit": "WEEK 4", "visit_number": null, "attended_on": "2026-01-30"}));
    assert_eq!(payload["previous"], json!({"visit": "WEEK 2", "visit_number": 3, "attended_on": "2026-01-31"}));
    let world = corrected.then(&["VisitCorrected", "VisitFiled"]);
    world.when(id, &change).then_refused(Invalid::NOTHING_CHANGES);
    world.assert_snapshots_hold();
}

#[test]
fn nobody_is_enrolled_on_what_was_corrected_since() {
    let register: RegisterPatient = command(json!({"birth_date": "1980-02-03"}));
    let world = open_trial(10, 10).when(patient(1), &register).then(&["PatientRegistered"]);
    let form = json!({"trial_id": trial(), "site_id": site(), "form_version": "1",
        "language": "en"});
    let present: domain::consent::PresentConsentForm = command(form);
    let world = world.when(patient(1), &present).then(&["ConsentFormPresented", "PatientAdmitted"]);
    let world = world.when(patient(1), &crate::world::sign()).then(&["ConsentSigned"]);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let assess = domain::enrolment::subject::RecordEligibility::default();
    let assessed = world.when(subject(1), &assess);
    assert_eq!(assessed.payload("EligibilityRecorded")["outcome"], "eligible");
    let world = assessed.then(&["EligibilityRecorded"]);
    let correct: CorrectDemographics = command(json!({"birth_date": "2010-02-03", "reason": "misread"}));
    let world = world.when(patient(1), &correct).then(&["DemographicsCorrected"]);
    let enrol = domain::enrolment::subject::EnrolSubject::default();
    let world = world.when(subject(1), &enrol).then_refused("subject-not-eligible");
    assert_eq!(world.when(subject(1), &assess).payload("EligibilityRecorded")["outcome"], "ineligible");
}

/// Signed on 1 September and, another form, on 20 September; withdrawn on 1 October; signed anew on 20 October 2025.
fn signed_withdrawn_signed() -> World {
    let publish = |version: &str| -> PublishConsentForm {
        command(json!({"form_version": version, "language": "en", "text_sha256": version.repeat(64),
            "effective_on": "2025-09-15"}))
    };
    let mut world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    for version in ["2", "3"] {
        world = world.when(trial(), &publish(version)).then(&["ConsentFormPublished"]);
    }
    let withdraw: WithdrawConsent =
        command(json!({"trial_id": trial(), "scope": "further-data", "withdrawn_at": "2025-10-01T12:00:00Z"}));
    for (version, at) in [("1", "2025-09-01T12:00:00Z"), ("3", "2025-09-20T12:00:00Z"), ("3", "2025-10-20T12:00:00Z")] {
        if at.starts_with("2025-10") {
            world = world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"]);
        }
        let form = json!({"trial_id": trial(), "form_version": version, "language": "en"});
        let mut present = form.clone();
        (present["site_id"], present["occurred_at"]) = (json!(site()), json!(at));
        world = shown(world.when(patient(1), &command::<PresentConsentForm>(present)));
        let mut sign = form;
        sign["signed_at"] = json!(at);
        world = world.when(patient(1), &command::<SignConsent>(sign)).then(&["ConsentSigned"]);
    }
    world
}

fn correct_consent(fields: Value) -> CorrectConsent {
    command(with(json!({"trial_id": trial(), "reason": "misread"}), &fields))
}

#[test]
fn a_signature_is_corrected_with_what_follows_from_it() {
    let world = signed_withdrawn_signed();
    let change = json!({"signature_number": 2, "form_version": "2", "signer": "legal-representative",
        "signed_at": "2025-09-21T12:00:00Z"});
    world.when(patient(1), &correct_consent(json!({"form_version": "2"}))).then_refused("consent-form-not-in-force");
    let change = Value::Object(change.as_object().expect("fields").clone());
    world.when(patient(1), &correct_consent(change)).then_refused("consent-form-not-in-force");
    let change = json!({"signature_number": 1, "signer": "legal-representative", "signed_at": "2025-08-31",
        "presented_at": "2025-08-30"});
    let corrected = world.when(patient(1), &correct_consent(change.clone()));
    let payload = corrected.payload("ConsentCorrected");
    assert_eq!(payload["signature_number"], 1);
    assert_eq!(
        payload["changes"],
        json!({"signer": "legal-representative", "presented_at": "2025-08-30T00:00:00Z",
            "signed_at": "2025-08-31T00:00:00Z"})
    );
    assert_eq!(
        payload["previous"],
        json!({"signer": "participant", "presented_at": "2025-09-01T12:00:00Z",
            "signed_at": "2025-09-01T12:00:00Z"})
    );
    // What is covered follows.
    let screen_at = |world: &World, at: &str| {
        let screen: ScreenPatient = command(json!({"trial_id": trial(), "occurred_at": at}));
        world.when(patient(1), &screen)
    };
    screen_at(&world, "2025-08-31T12:00:00Z").then_refused(ConsentError::SIGNED_LATER);
    let world = corrected.then(&["ConsentCorrected"]);
    screen_at(&world, "2025-08-31T12:00:00Z").then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(patient(1), &correct_consent(change)).then_refused(Invalid::NOTHING_CHANGES);
    for (wrong, rule) in [
        (json!({"signature_number": 4, "signer": "participant"}), ConsentError::SIGNATURE_NOT_FOUND),
        (json!({"signature_number": 1, "signed_at": "2025-08-29"}), ConsentError::PRESENTED_LATER),
        (json!({"signature_number": 2, "signed_at": "2025-10-02"}), ConsentError::WITHDRAWN_BEFORE_SIGNED),
        (
            json!({"signature_number": 3, "presented_at": "2025-09-30", "signed_at": "2025-09-30"}),
            ConsentError::WITHDRAWN_LATER,
        ),
        (json!({"signature_number": 1, "signed_at": "2027-01-01"}), Invalid::IN_FUTURE),
        (json!({"language": "de"}), ConsentError::LANGUAGE_NOT_IN_FORCE),
        (json!({"language": "no such"}), Invalid::MALFORMED),
        (json!({}), Invalid::NOTHING_CHANGES),
        (json!({"signature_number": 1, "signed_at": "2025-09-16"}), ConsentError::FORM_NOT_IN_FORCE),
        (json!({"withdrawal_scope": "all-use"}), ConsentError::NOT_WITHDRAWN),
        (json!({"withdrawal_reason": "moved"}), ConsentError::NOT_WITHDRAWN),
        (json!({"withdrawn_at": "2025-11-01"}), ConsentError::NOT_WITHDRAWN),
    ] {
        assert_eq!(world.when(patient(1), &correct_consent(wrong.clone())).refusal(), rule, "{wrong}");
    }
    world.assert_snapshots_hold();
}

#[test]
fn a_withdrawal_is_corrected_within_its_neighbours() {
    let world = signed_withdrawn_signed();
    let of_it = |fields: Value| correct_consent(with(json!({"signature_number": 2}), &fields));
    for (wrong, rule) in [
        ("2025-09-19", ConsentError::WITHDRAWN_BEFORE_SIGNED),
        ("2025-10-21", ConsentError::SIGNED_ANEW),
        ("2027-01-01", Invalid::IN_FUTURE),
    ] {
        world.when(patient(1), &of_it(json!({"withdrawn_at": wrong}))).then_refused(rule);
    }
    let change = of_it(json!({"withdrawn_at": "2025-10-10T12:00:00Z", "withdrawal_scope": "all-use",
        "withdrawal_reason": "moved away"}));
    let corrected = world.when(patient(1), &change);
    let payload = corrected.payload("ConsentCorrected");
    assert_eq!(
        payload["changes"],
        json!({"withdrawn_at": "2025-10-10T12:00:00Z", "withdrawal_scope": "all-use",
            "withdrawal_reason": "moved away"})
    );
    assert_eq!(
        payload["previous"],
        json!({"withdrawn_at": "2025-10-01T12:00:00Z", "withdrawal_scope": "further-data",
            "withdrawal_reason": null})
    );
    let world = corrected.then(&["ConsentCorrected"]);
    let screen: ScreenPatient = command(json!({"trial_id": trial(), "occurred_at": "2025-10-05T12:00:00Z"}));
    world.when(patient(1), &screen).then(&["PatientScreened", "SubjectNumberAssigned"]);
    world.assert_snapshots_hold();
}
