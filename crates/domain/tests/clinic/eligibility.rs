//! Asking whether a patient is eligible.

use authority::{Area, Grant, Sight};
use decider::RefusalKind;
use domain::enrolment::eligibility_check::{CheckEligibility, EligibilityCheck};
use domain::enrolment::subject::RecordEligibility;
use domain::trial::DefineEligibility;
use events::access::account::Scope;
use events::enrolment::subject::{CriterionResult, EligibilityOutcome};
use events::envelope::Role;
use serde_json::json;
use testkit::given::{World, now};
use uuid::Uuid;

use crate::world::{command, consented, open_trial, patient, screen, site, subject, trial};

/// What somebody asks who has a role in a scope.
fn asked_as(role: Role, scope: Scope) -> CheckEligibility {
    let grant = Grant { role, scope, duties: None, from: now(), until: None };
    let sight = Sight::of(std::iter::once(&grant));
    CheckEligibility {
        patient_id: patient(1),
        trial_id: trial(),
        clinical: sight.on(Area::Clinical),
        protocols: sight.on(Area::Protocol),
    }
}

fn asked() -> CheckEligibility {
    asked_as(Role::Auditor, Scope::Installation)
}

#[track_caller]
fn told(world: &World) -> EligibilityCheck {
    world.ask(&asked()).expect("an answer")
}

#[test]
fn every_criterion_is_told_with_what_it_saw() {
    let world = open_trial(10, 5);
    let criteria = json!({"criteria": [
        {"code": "I1", "text": "Adult", "category": "inclusion",
            "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}},
        {"code": "E1", "text": "Pain", "category": "exclusion",
            "test": {"kind": "observation", "code": "PAIN", "operator": "at-least", "value": 7}},
        {"code": "I2", "text": "Fit", "category": "inclusion", "test": {"kind": "judgement"}}]});
    let world = world.when(trial(), &command::<DefineEligibility>(criteria)).then(&["EligibilityDefined"]);
    let world = consented(&world, 1, 17);
    let check = told(&world);
    assert_eq!((check.eligible, check.outcome, check.criteria_version), (false, EligibilityOutcome::Ineligible, 2));
    let results: Vec<_> = check.criteria.iter().map(|one| (&*one.code, &*one.text, one.result, one.against)).collect();
    let expected = [
        ("I1", "Adult", CriterionResult::NotMet, true),
        ("E1", "Pain", CriterionResult::Unknown, false),
        ("I2", "Fit", CriterionResult::Unknown, false),
    ];
    assert_eq!(results, expected);
    assert_eq!(json!(check.criteria[0].seen), 17);
    assert_eq!(
        (check.missing_observations, check.missing_judgements),
        (vec!["PAIN".to_owned()], vec!["I2".to_owned()])
    );
}

#[test]
fn what_the_investigator_judged_counts_on_the_criteria_in_force_only() {
    let judged = json!({"criteria": [
        {"code": "I2", "text": "Fit", "category": "inclusion", "test": {"kind": "judgement"}}]});
    let define = command::<DefineEligibility>(judged);
    let world = open_trial(10, 5).when(trial(), &define).then(&["EligibilityDefined"]);
    let world =
        consented(&world, 1, 40).when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    assert_eq!(told(&world).outcome, EligibilityOutcome::Undetermined);
    let record = command::<RecordEligibility>(json!({"judgements": {"I2": true}}));
    let world = world.when(subject(1), &record).then(&["EligibilityRecorded"]);
    assert!(told(&world).eligible);
    // The same criterion, defined once more, is another one.
    let world = world.when(trial(), &define).then_either();
    let other = json!({"criteria": [
        {"code": "I2", "text": "Very fit", "category": "inclusion", "test": {"kind": "judgement"}}]});
    let world = world.when(trial(), &command::<DefineEligibility>(other)).then(&["EligibilityDefined"]);
    assert_eq!(told(&world).outcome, EligibilityOutcome::Undetermined);
}

#[test]
fn the_answer_is_that_of_the_assessment() {
    for (age, eligible) in [(17, false), (18, true), (40, true)] {
        let world = consented(&open_trial(10, 5), 1, age);
        let check = told(&world);
        let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        let recorded = world.when(subject(1), &RecordEligibility::default());
        assert_eq!(check.eligible, eligible, "{age}");
        assert_eq!(json!(check.outcome), recorded.payload("EligibilityRecorded")["outcome"], "{age}");
        assert_eq!(told(&world), check, "screening tells nothing new");
    }
}

#[test]
fn who_is_out_of_sight_is_not_told_apart_from_who_is_not_there() {
    let world = consented(&open_trial(10, 5), 1, 40);
    let own = Scope::Site { trial_id: trial(), site_id: site() };
    let elsewhere = Scope::Site { trial_id: trial(), site_id: Uuid::from_u128(0x21).into() };
    let absent = |asked: CheckEligibility| CheckEligibility { patient_id: patient(2), ..asked };
    assert!(world.ask(&asked_as(Role::Coordinator, own)).expect("its own patient").eligible);
    let hidden = world.ask(&asked_as(Role::Coordinator, elsewhere)).expect_err("another site's patient");
    let missing = world.ask(&absent(asked_as(Role::Coordinator, elsewhere))).expect_err("nobody");
    assert_eq!((hidden.kind, &*hidden.rule), (RefusalKind::NotFound, "patient-not-found"));
    assert_eq!(
        hidden.message.replace(&patient(1).to_string(), "…"),
        missing.message.replace(&patient(2).to_string(), "…")
    );
    // Participants see the trial in which they take part, and no other person.
    let oneself = Scope::Patient { patient_id: patient(1) };
    assert!(world.ask(&asked_as(Role::Participant, oneself)).expect("oneself").eligible);
    let another = Scope::Patient { patient_id: patient(3) };
    assert_eq!(world.ask(&asked_as(Role::Participant, another)).expect_err("somebody else").rule, "patient-not-found");
    // A trial that is not there, or not in sight.
    let unknown = CheckEligibility { trial_id: Uuid::from_u128(0x11).into(), ..asked() };
    assert_eq!(world.ask(&unknown).expect_err("no trial").field.as_deref(), Some("trial_id"));
    // Nobody, without any role.
    let nothing = CheckEligibility { clinical: Sight::default(), protocols: Sight::default(), ..asked() };
    assert_eq!(world.ask(&nothing).expect_err("nothing is in sight").rule, "patient-not-found");
}
