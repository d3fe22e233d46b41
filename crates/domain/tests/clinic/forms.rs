//! Which form was shown where, and who may be asked again.

use domain::consent::{ConsentError, PresentConsentForm, SignConsent, WithdrawConsent};
use domain::patient::RegisterPatient;
use domain::site::{ActivateSite, RegisterSite, SiteError, SuspendSite};
use domain::trial::PublishConsentForm;
use events::ids::SiteId;
use serde_json::json;
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, consented, open_trial, patient, screen, site, trial};

fn second_site() -> SiteId {
    Uuid::from_u128(0x21).into()
}

fn with_second_site(world: &World) -> World {
    let register = json!({"trial_id": trial(), "code": "702", "name": "Clinic"});
    let world = world.when(second_site(), &command::<RegisterSite>(register)).then(&["SiteRegistered", "SiteJoined"]);
    let activate = json!({"enrolment_cap": 10, "investigator": "dr"});
    world.when(second_site(), &command::<ActivateSite>(activate)).then(&["SiteActivated"])
}

fn present(site: SiteId, language: &str) -> PresentConsentForm {
    command(json!({"trial_id": trial(), "site_id": site, "form_version": "1", "language": language}))
}

#[test]
fn the_same_form_shown_at_another_site_is_another_act() {
    let world = with_second_site(&open_trial(10, 10));
    let mut world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    for (shown_at, events) in [
        (site(), ["ConsentFormPresented", "PatientAdmitted"].as_slice()),
        (site(), &[]),
        (second_site(), &["ConsentFormPresented", "PatientAdmitted"]),
        (second_site(), &[]),
        (site(), &["ConsentFormPresented"]),
    ] {
        world = world.when(patient(1), &present(shown_at, "en")).then(events);
    }
}

#[test]
fn what_was_shown_in_one_language_is_not_signed_in_another() {
    let norwegian: PublishConsentForm = command(json!({
        "form_version": "1", "language": "nb", "text_sha256": "0".repeat(64), "effective_on": "2020-01-01"}));
    let world = open_trial(10, 10).when(trial(), &norwegian).then(&["ConsentFormPublished"]);
    let world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = world.when(patient(1), &present(site(), "en")).then(&["ConsentFormPresented", "PatientAdmitted"]);
    let sign = |language: &str| -> SignConsent {
        command(json!({"trial_id": trial(), "form_version": "1", "language": language}))
    };
    world.when(patient(1), &sign("nb")).then_refused(ConsentError::NOT_PRESENTED);
    world.when(patient(1), &sign("en")).then(&["ConsentSigned"]);
}

/// Whoever was screened only is new again: an active site is needed, and any will do.
#[test]
fn whoever_was_not_allocated_comes_back_as_somebody_new() {
    let world = with_second_site(&consented(&open_trial(10, 10), 1, 40));
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data"}));
    let world = world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"]);
    let world = world.when(site(), &command::<SuspendSite>(json!({"reason": "an audit"}))).then(&["SiteSuspended"]);
    world.when(patient(1), &present(site(), "en")).then_refused(SiteError::NOT_ACTIVE);
    world.when(patient(1), &present(second_site(), "en")).then(&["ConsentFormPresented", "PatientAdmitted"]);
}
