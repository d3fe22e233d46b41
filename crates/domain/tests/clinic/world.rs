//! A trial with one site, and how patients come to take part in it.

use decider::Command;
use domain::consent::{PresentConsentForm, SignConsent};
use domain::enrolment::subject::{EnrolSubject, RandomiseSubject, RecordEligibility, ScreenPatient};
use domain::patient::{RecordObservation, RegisterPatient};
use domain::site::{ActivateSite, RegisterSite};
use domain::trial::{AddArm, DefineEligibility, DefineQuestionnaire, OpenEnrolment, PublishConsentForm, RegisterTrial};
use events::ids::{PatientId, SiteId, SubjectId, TrialId};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::given::{Outcome, World};
use uuid::Uuid;

pub fn trial() -> TrialId {
    Uuid::from_u128(0x10).into()
}

pub fn site() -> SiteId {
    Uuid::from_u128(0x20).into()
}

pub fn patient(number: u128) -> PatientId {
    Uuid::from_u128(0x1000 + number).into()
}

pub fn subject(number: u128) -> SubjectId {
    SubjectId::of(patient(number), trial())
}

pub fn command<C: Command + DeserializeOwned>(body: Value) -> C {
    serde_json::from_value(body).expect("a command")
}

pub fn open_trial(planned: u32, cap: u32) -> World {
    let open = OpenEnrolment::default();
    let world = World::new();
    let world = world
        .when(
            trial(),
            &command::<RegisterTrial>(json!({
                "protocol": "P-1", "title": "T", "blinding": "double-blind", "planned_enrolment": planned})),
        )
        .then(&["TrialRegistered", "ProtocolNumberClaimed"]);
    let world = world.when(trial(), &open).then_refused("trial-not-ready");
    let world = world.when(trial(), &command::<AddArm>(json!({"code": "A", "name": "Arm"}))).then(&["ArmAdded"]);
    let criteria = json!({"criteria": [{"code": "I1", "text": "Adult", "category": "inclusion",
        "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}}]});
    let world = world.when(trial(), &command::<DefineEligibility>(criteria)).then(&["EligibilityDefined"]);
    let form =
        json!({"form_version": "1", "language": "en", "text_sha256": "0".repeat(64), "effective_on": "2020-01-01"});
    let world = world.when(trial(), &command::<PublishConsentForm>(form)).then(&["ConsentFormPublished"]);
    let world = world
        .when(trial(), &command::<DefineQuestionnaire>(json!({"questionnaire": {"instrument": "PHQ-9"}})))
        .then(&["QuestionnaireDefined"]);
    let register = json!({"trial_id": trial(), "code": "701", "name": "Hospital"});
    let world = world.when(site(), &command::<RegisterSite>(register)).then(&["SiteRegistered", "SiteJoined"]);
    let world = world.when(trial(), &open).then_refused("trial-not-ready");
    let activate = json!({"enrolment_cap": cap, "investigator": "dr"});
    let world = world.when(site(), &command::<ActivateSite>(activate)).then(&["SiteActivated"]);
    let world = world.when(trial(), &open).then(&["EnrolmentOpened"]);
    world.when(trial(), &open).then(&[])
}

/// A form was shown, for the first time at this site or not: then the site takes care of the person from there on.
#[track_caller]
pub fn shown(outcome: Outcome) -> World {
    outcome.payload("ConsentFormPresented");
    outcome.then_either()
}

pub fn sign() -> SignConsent {
    command(json!({"trial_id": trial(), "form_version": "1", "language": "en"}))
}

pub fn screen() -> ScreenPatient {
    command(json!({"trial_id": trial()}))
}

pub fn consented(world: &World, number: u128, age: u32) -> World {
    let observe = json!({"code": "AGE", "value": age});
    let present = json!({"trial_id": trial(), "site_id": site(), "form_version": "1", "language": "en"});
    let id = patient(number);
    let world = world.when(id, &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = world.when(id, &command::<RecordObservation>(observe)).then(&["ObservationRecorded"]);
    let world = world.when(id, &sign()).then_refused("consent-form-not-presented");
    let world = world.when(id, &screen()).then_refused("consent-not-in-force");
    let world = world.when(id, &command::<PresentConsentForm>(present));
    // From here on the site takes care of the person.
    let world = world.then(&["ConsentFormPresented", "PatientAdmitted"]);
    world.when(id, &sign()).then(&["ConsentSigned"])
}

pub fn enrolled(world: &World, number: u128) -> World {
    let world = consented(world, number, 40);
    let world = world.when(patient(number), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let id = subject(number);
    let world = world.when(id, &EnrolSubject::default()).then_refused("subject-not-eligible");
    let world = world.when(id, &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    world.when(id, &EnrolSubject::default()).then(&["SubjectEnrolled", "PlaceTaken"])
}

pub fn randomise() -> RandomiseSubject {
    command(json!({"arm": "A"}))
}
