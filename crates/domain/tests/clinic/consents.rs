//! A consent covers spans of time: whatever happened inside one is taken, whenever it arrives.

use chrono::{DateTime, TimeDelta, Utc};
use domain::When;
use domain::consent::{ConsentError, DeclineConsent, PresentConsentForm, SignConsent, WithdrawConsent};
use domain::enrolment::subject::{DiscontinueSubject, FailScreening, ScreenPatient, SubjectError};
use domain::epro::report::{CorrectReport, SubmitReport};
use domain::patient::RegisterPatient;
use domain::safety::adverse_event::{ReportAdverseEvent, UpdateAdverseEvent};
use domain::site::{ActivateSite, RegisterSite, SiteError, SuspendSite};
use domain::trial::PublishConsentForm;
use domain::visit::RecordVisit;
use events::ids::{AdverseEventId, ReportId, SiteId, VisitId};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, consented, enrolled, open_trial, patient, randomise, screen, shown, site, subject, trial};

fn other_site() -> SiteId {
    Uuid::from_u128(0x21).into()
}

/// A second site that is active, in this time zone.
fn with_site_in(world: &World, time_zone: &str) -> World {
    let register = json!({"trial_id": trial(), "code": "702", "name": "Clinic", "time_zone": time_zone});
    let world = world.when(other_site(), &command::<RegisterSite>(register)).then(&["SiteRegistered", "SiteJoined"]);
    let activate = json!({"enrolment_cap": 10, "investigator": "dr"});
    world.when(other_site(), &command::<ActivateSite>(activate)).then(&["SiteActivated"])
}

fn publish(version: &str, language: &str, day: &str) -> PublishConsentForm {
    command(json!({
        "form_version": version, "language": language, "text_sha256": "0".repeat(64), "effective_on": day
    }))
}

fn present(site: SiteId, version: &str, language: &str, at: Value) -> PresentConsentForm {
    let (trial, version) = (trial(), version);
    command(json!({
        "trial_id": trial, "site_id": site, "form_version": version, "language": language, "occurred_at": at
    }))
}

fn sign(version: &str, language: &str, at: Value) -> SignConsent {
    command(json!({"trial_id": trial(), "form_version": version, "language": language, "signed_at": at}))
}

fn withdraw(at: &str) -> WithdrawConsent {
    command(json!({"trial_id": trial(), "scope": "further-data", "withdrawn_at": at}))
}

/// Presents and signs form 1 at once.
fn consents(world: &World, at: &str) -> World {
    let world = shown(world.when(patient(1), &present(site(), "1", "en", json!(at))));
    world.when(patient(1), &sign("1", "en", json!(at))).then(&["ConsentSigned"])
}

fn report(completed_at: &str) -> SubmitReport {
    command(json!({
        "subject_id": subject(1), "instrument": "PHQ-9", "answers": {"PHQ0101": 1}, "completed_at": completed_at
    }))
}

fn report_id(number: u128) -> ReportId {
    Uuid::from_u128(0x500 + number).into()
}

/// Screened; covered from 1 September to 1 October 2025.
fn withdrawn() -> World {
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = consents(&world, "2025-09-01T08:00:00Z");
    let screen = ScreenPatient { occurred_at: at("2025-09-01T09:00:00Z"), ..screen() };
    let world = world.when(patient(1), &screen).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(report_id(0), &report("2025-09-10T08:00:00Z")).then(&["ReportSubmitted", "ReportFiled"]);
    let event = json!({"subject_id": subject(1), "term": "Rash", "severity": "mild", "serious": false,
        "onset": "2025-09-12", "occurred_at": "2025-09-13T08:00:00Z"});
    let world = world.when(adverse_event(0), &command::<ReportAdverseEvent>(event)).then(&["AdverseEventReported"]);
    world.when(patient(1), &withdraw("2025-10-01T12:00:00Z")).then(&["ConsentWithdrawn"])
}

fn adverse_event(number: u128) -> AdverseEventId {
    Uuid::from_u128(0x600 + number).into()
}

fn at(time: &str) -> When {
    When::at(time.parse().expect("a time"))
}

#[test]
fn what_happened_before_a_withdrawal_is_taken_after_it() {
    let world = withdrawn();
    world.when(report_id(1), &report("2025-09-30T08:00:00Z")).then(&["ReportSubmitted", "ReportFiled"]);
    let visit = |day: &str| -> RecordVisit {
        command(json!({"subject_id": subject(1), "visit": "WEEK 4", "attended_on": day}))
    };
    let visit_id = VisitId::from(Uuid::from_u128(0x700));
    world.when(visit_id, &visit("2025-09-28")).then(&["VisitAttended", "VisitFiled"]);
    // What comes after it is not taken.
    world.when(report_id(1), &report("2025-10-01T12:00:01Z")).then_refused(ConsentError::NOT_IN_FORCE);
    world.when(visit_id, &visit("2025-10-02")).then_refused(ConsentError::NOT_IN_FORCE);
    // Of a month or a year some day is covered, or none.
    for (day, is_covered) in [("2025-09", true), ("2025", true), ("2025-10", true), ("2025-11", false)] {
        let outcome = world.when(visit_id, &visit(day));
        if is_covered {
            outcome.then(&["VisitAttended", "VisitFiled"])
        } else {
            outcome.then_refused(ConsentError::NOT_IN_FORCE)
        };
    }
    world.when(report_id(1), &report("2025-08-31T08:00:00Z")).then_refused(ConsentError::SIGNED_LATER);
    // Nor does a second consent take the cover of the first away, or fill the time between.
    let world = consents(&world, "2025-10-20T12:00:00Z");
    for covered in ["2025-09-20T08:00:00Z", "2025-10-21T08:00:00Z"] {
        world.when(report_id(1), &report(covered)).then(&["ReportSubmitted", "ReportFiled"]);
    }
    world.when(report_id(1), &report("2025-10-10T08:00:00Z")).then_refused(ConsentError::NOT_IN_FORCE);
}

#[test]
fn what_is_on_record_is_followed_up_and_corrected_after_a_withdrawal() {
    let world = withdrawn();
    let correct: CorrectReport = command(json!({"answers": {"PHQ0101": 2}, "reason": "wrong click"}));
    world.when(report_id(0), &correct).then(&["ReportCorrected"]);
    let update: UpdateAdverseEvent =
        command(json!({"serious": true, "outcome": "FATAL", "ended": "2025-09-29", "reason": "letter"}));
    let updated = world.when(adverse_event(0), &update);
    let payload = updated.payload("AdverseEventUpdated");
    assert_eq!(payload["changes"], json!({"serious": true, "outcome": "FATAL", "ended": "2025-09-29"}));
    assert_eq!(payload["previous"], json!({"serious": false, "outcome": null, "ended": null}));
    assert_eq!(payload["triggered_rules"][0]["finding"], "fatal adverse event: Rash");
}

#[test]
fn a_serious_adverse_event_is_taken_and_flagged_without_a_consent() {
    let world = withdrawn();
    let report = |serious: bool, onset: &str| -> ReportAdverseEvent {
        command(json!({"subject_id": subject(1), "term": "Stroke", "severity": "severe", "serious": serious,
            "onset": onset, "occurred_at": "2025-11-03T00:00:00Z"}))
    };
    let outside = world.when(adverse_event(1), &report(true, "2025-11-01")).payload("AdverseEventReported");
    assert_eq!(outside["outside_consent"], true);
    world.when(adverse_event(1), &report(false, "2025-11-01")).then_refused(ConsentError::NOT_IN_FORCE);
    // Began while it was covered, told of later.
    for serious in [true, false] {
        let inside = world.when(adverse_event(1), &report(serious, "2025-09-20")).payload("AdverseEventReported");
        assert_eq!(inside.get("outside_consent"), None);
    }
}

#[test]
fn a_withdrawal_does_not_lie_before_the_latest_signature() {
    let world = open_trial(10, 10).when(trial(), &publish("2", "en", "2025-09-15")).then(&["ConsentFormPublished"]);
    let world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = consents(&world, "2025-09-01T08:00:00Z");
    let later = json!("2025-09-20T08:00:00Z");
    let world = world.when(patient(1), &present(site(), "2", "en", later.clone())).then(&["ConsentFormPresented"]);
    let signed = world.when(patient(1), &sign("2", "en", later));
    assert_eq!(signed.payload("ConsentSigned")["purpose"], "reconsent");
    let world = signed.then(&["ConsentSigned"]);
    world.when(patient(1), &withdraw("2025-09-10T08:00:00Z")).then_refused(ConsentError::WITHDRAWN_BEFORE_SIGNED);
    world.when(patient(1), &withdraw("2025-09-20T08:00:00Z")).then(&["ConsentWithdrawn"]);
}

#[test]
fn whoever_takes_part_is_asked_again_at_a_suspended_site_and_at_no_other() {
    let world = with_site_in(&enrolled(&open_trial(10, 10), 1), "Europe/Oslo");
    let world = world.when(trial(), &publish("2", "en", "2021-01-01")).then(&["ConsentFormPublished"]);
    let suspend: SuspendSite = command(json!({"reason": "an audit"}));
    let world = world.when(site(), &suspend).then(&["SiteSuspended"]);
    let elsewhere = present(other_site(), "2", "en", Value::Null);
    world.when(patient(1), &elsewhere).then_refused(ConsentError::AT_ANOTHER_SITE);
    let world = world.when(patient(1), &present(site(), "2", "en", Value::Null)).then(&["ConsentFormPresented"]);
    world.when(patient(1), &sign("2", "en", Value::Null)).then(&["ConsentSigned"]);
    // Nobody new.
    let world = world.when(patient(2), &RegisterPatient::default()).then(&["PatientRegistered"]);
    world.when(patient(2), &present(site(), "2", "en", Value::Null)).then_refused(SiteError::NOT_ACTIVE);
}

#[test]
fn a_form_that_was_shown_may_be_declined() {
    let decline: DeclineConsent = command(json!({"trial_id": trial(), "reason": "too many visits"}));
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    world.when(patient(1), &decline).then_refused(ConsentError::NOT_PRESENTED);
    let shown = present(site(), "1", "en", Value::Null);
    let world = world.when(patient(1), &shown).then(&["ConsentFormPresented", "PatientAdmitted"]);
    let early: DeclineConsent = command(json!({"trial_id": trial(), "declined_at": "2025-01-01T00:00:00Z"}));
    world.when(patient(1), &early).then_refused(ConsentError::PRESENTED_LATER);
    let declined = world.when(patient(1), &decline);
    assert_eq!(declined.payload("ConsentDeclined")["form_version"], "1");
    let world = declined.then(&["ConsentDeclined"]);
    world.when(patient(1), &sign("1", "en", Value::Null)).then_refused(ConsentError::NOT_PRESENTED);
    let world = world.when(patient(1), &shown).then(&["ConsentFormPresented"]);
    let world = world.when(patient(1), &sign("1", "en", Value::Null)).then(&["ConsentSigned"]);
    world.when(patient(1), &decline).then_refused(ConsentError::NOT_PRESENTED);
}

#[test]
fn a_patient_who_was_not_allocated_is_screened_again_under_a_new_number() {
    let world = consented(&open_trial(10, 10), 1, 40);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let fail: FailScreening = command(json!({"reasons": ["I1"]}));
    let world = world.when(subject(1), &fail).then(&["ScreeningFailed"]);
    let again = world.when(patient(1), &screen());
    let payload = again.payload("PatientRescreened");
    assert_eq!((&payload["subject_number"], &payload["screening_number"]), (&json!("701-002"), &json!(2)));
    let world = again.then(&["PatientRescreened", "SubjectNumberAssigned"]);
    world.when(patient(1), &screen()).then_refused(SubjectError::ALREADY_SCREENED);
    world.assert_snapshots_hold();
    // Whoever was allocated is not.
    let world = enrolled(&open_trial(10, 10), 1).when(subject(1), &randomise()).then(&["SubjectRandomised"]);
    let end = command::<domain::enrolment::subject::DiscontinueSubject>(json!({"reason": "WITHDRAWAL BY SUBJECT"}));
    let world = world.when(subject(1), &end).then(&["SubjectDiscontinued"]);
    world.when(patient(1), &screen()).then_refused(SubjectError::ALREADY_SCREENED);
}

#[test]
fn whoever_was_allocated_comes_back_to_be_followed_up_at_the_same_site() {
    let world = with_site_in(&enrolled(&open_trial(10, 10), 1), "Europe/Oslo");
    let world = world.when(subject(1), &randomise()).then(&["SubjectRandomised"]);
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data"}));
    let world = world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"]);
    let world = world.when(site(), &command::<SuspendSite>(json!({"reason": "an audit"}))).then(&["SiteSuspended"]);
    world.when(patient(1), &present(other_site(), "1", "en", Value::Null)).then_refused(ConsentError::AT_ANOTHER_SITE);
    let world = world.when(patient(1), &present(site(), "1", "en", Value::Null)).then(&["ConsentFormPresented"]);
    let signed = world.when(patient(1), &sign("1", "en", Value::Null));
    assert_eq!(signed.payload("ConsentSigned")["purpose"], "renewal");
    let world = signed.then(&["ConsentSigned"]);
    let now = SubmitReport { completed_at: When::NOW, ..report("2026-01-01") };
    let world = world.when(report_id(3), &now).then(&["ReportSubmitted", "ReportFiled"]);
    world.when(patient(1), &screen()).then_refused(SubjectError::ALREADY_SCREENED);
}

#[test]
fn an_end_that_is_carried_out_late_does_not_end_a_consent_that_was_given_anew() {
    let world = enrolled(&open_trial(10, 10), 1);
    let end: DiscontinueSubject = command(json!({"reason": "WITHDRAWAL BY SUBJECT", "unless_consented": true}));
    world.when(subject(1), &end).then_refused(ConsentError::IN_FORCE);
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data"}));
    let world = world.when(patient(1), &withdraw).then(&["ConsentWithdrawn"]);
    world.when(subject(1), &end).then(&["SubjectDiscontinued", "PlaceReleased"]);
}

#[test]
fn an_older_signature_that_arrives_later_is_not_the_latest() {
    let world = open_trial(10, 10).when(trial(), &publish("2", "en", "2025-09-15")).then(&["ConsentFormPublished"]);
    let world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let (early, late) = (json!("2025-09-01T08:00:00Z"), json!("2025-09-20T08:00:00Z"));
    let world = world
        .when(patient(1), &present(site(), "2", "en", late.clone()))
        .then(&["ConsentFormPresented", "PatientAdmitted"]);
    let world = world.when(patient(1), &sign("2", "en", late.clone())).then(&["ConsentSigned"]);
    let world = world.when(patient(1), &present(site(), "1", "en", early.clone())).then(&["ConsentFormPresented"]);
    let world = world.when(patient(1), &sign("1", "en", early)).then(&["ConsentSigned"]);
    world.when(patient(1), &present(site(), "2", "en", late)).then_refused(ConsentError::ALREADY_SIGNED);
    // A form that was shown earlier than was thought can be signed as of then.
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = world
        .when(patient(1), &present(site(), "1", "en", json!("2025-09-10")))
        .then(&["ConsentFormPresented", "PatientAdmitted"]);
    let world =
        world.when(patient(1), &present(site(), "1", "en", json!("2025-09-01"))).then(&["ConsentFormPresented"]);
    world.when(patient(1), &sign("1", "en", json!("2025-09-05"))).then(&["ConsentSigned"]);
}

#[test]
fn a_screening_of_before_a_withdrawal_is_taken_after_it() {
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = consents(&world, "2025-09-01T08:00:00Z");
    let world = world.when(patient(1), &withdraw("2025-10-01T12:00:00Z")).then(&["ConsentWithdrawn"]);
    world.when(patient(1), &screen()).then_refused(ConsentError::NOT_IN_FORCE);
    let screen = ScreenPatient { occurred_at: at("2025-09-02T09:00:00Z"), ..screen() };
    world.when(patient(1), &screen).then(&["PatientScreened", "SubjectNumberAssigned"]);
}

#[test]
fn a_form_takes_effect_on_the_day_of_the_site() {
    let world = with_site_in(&open_trial(10, 10), "Asia/Tokyo");
    let world = world.when(trial(), &publish("2", "en", "2025-11-20")).then(&["ConsentFormPublished"]);
    let world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let shown = |version: &str, at: &str| world.when(patient(1), &present(other_site(), version, "en", json!(at)));
    // 20 November, 08:30 in Tokyo: by the offset that is given, by the site's zone, as clocks there show it.
    for morning in ["2025-11-20T08:30:00+09:00", "2025-11-19T23:30:00Z", "2025-11-20T08:30:00", "2025-11-20"] {
        shown("2", morning).then(&["ConsentFormPresented", "PatientAdmitted"]);
        shown("1", morning).then_refused(ConsentError::FORM_NOT_IN_FORCE);
    }
    // The evening of the 19th in Los Angeles, where the patient travels.
    shown("1", "2025-11-19T17:00:00-08:00").then(&["ConsentFormPresented", "PatientAdmitted"]);
    shown("2", "2025-11-19T17:00:00-08:00").then_refused(ConsentError::FORM_NOT_IN_FORCE);
}

#[test]
fn languages_compare_as_bcp_47_says_and_an_outdated_translation_is_told() {
    let world = open_trial(10, 10).when(trial(), &publish("1", "de-CH", "2025-03-01")).then(&["ConsentFormPublished"]);
    world.when(trial(), &publish("1", "DE-ch", "2025-03-01")).then_refused("consent-form-exists");
    let world = world.when(trial(), &publish("2", "en", "2025-02-01")).then(&["ConsentFormPublished"]);
    let world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let shown = world.when(patient(1), &present(site(), "1", "de-ch", Value::Null));
    let payload = shown.payload("ConsentFormPresented");
    // Translated later, and still of the older version.
    assert_eq!((&payload["language"], &payload["newer_version"]), (&json!("de-CH"), &json!("2")));
    let world = shown.then(&["ConsentFormPresented", "PatientAdmitted"]);
    world.when(patient(1), &sign("1", "de-CH", Value::Null)).then(&["ConsentSigned"]);
    let current = world.when(patient(1), &present(site(), "2", "EN", Value::Null)).payload("ConsentFormPresented");
    assert_eq!(current.get("newer_version"), None);
    // Whoever asks for a language that there is not is told which ones there are.
    let other = world.when(patient(1), &present(site(), "1", "fr", Value::Null));
    assert!(other.refused().message.ends_with("in force on that day in de-CH only"), "{:?}", other.refused());
    other.then_refused(ConsentError::LANGUAGE_NOT_IN_FORCE);
}

/// What may happen to a consent, and when: days from the beginning.
#[derive(Clone, Copy, Debug)]
enum Act {
    Sign(i64),
    Withdraw(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![(0..60_i64).prop_map(Act::Sign), (0..60_i64).prop_map(Act::Withdraw)];
    proptest::collection::vec(act, 0..8)
}

/// Noon of a day.
fn noon(day: i64) -> DateTime<Utc> {
    "2025-06-01T12:00:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::days(day)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However acts of consent come in, what happens on a day is taken if and only if that day lies in a span that the
    /// accepted acts make: a model that keeps days, not spans.
    #[test]
    fn what_is_covered_is_what_accepted_acts_say(acts in acts(), days in proptest::collection::vec(0..60_i64, 6)) {
        let mut world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
        let mut covered = [false; 60];
        let (mut open_since, mut withdrawn_on, mut signed_on): (Option<i64>, Option<i64>, i64) = (None, None, -1);
        let mut version = 1;
        for act in acts {
            match act {
                Act::Sign(day) => {
                    version += 1;
                    let form = publish(&version.to_string(), "en", "2020-01-01");
                    world = world.when(trial(), &form).then(&["ConsentFormPublished"]);
                    let (version, time) = (version.to_string(), json!(noon(day)));
                    world = world.when(patient(1), &present(site(), &version, "en", time.clone())).then_either();
                    let may = withdrawn_on.is_none_or(|withdrawn_on| day >= withdrawn_on);
                    let outcome = world.when(patient(1), &sign(&version, "en", time));
                    if !may {
                        world = outcome.then_refused(ConsentError::WITHDRAWN_LATER);
                        continue;
                    }
                    world = outcome.then(&["ConsentSigned"]);
                    let since = open_since.map_or(day, |since| since.min(day));
                    covered[since as usize..].fill(true);
                    (open_since, signed_on) = (Some(since), signed_on.max(day));
                }
                Act::Withdraw(day) => {
                    let withdraw = WithdrawConsent { withdrawn_at: When::at(noon(day)), ..withdraw("2025-01-01") };
                    let outcome = world.when(patient(1), &withdraw);
                    if open_since.is_none() {
                        world = outcome.then_refused(ConsentError::NOT_IN_FORCE);
                    } else if day < signed_on {
                        world = outcome.then_refused(ConsentError::WITHDRAWN_BEFORE_SIGNED);
                    } else {
                        world = outcome.then(&["ConsentWithdrawn"]);
                        covered[day as usize..].fill(false);
                        (open_since, withdrawn_on) = (None, Some(day));
                    }
                }
            }
        }
        // Screening needs a consent in force: whoever has none signs at the very end.
        if open_since.is_none() {
            let time = json!("2025-12-01T12:00:00Z");
            world = world.when(patient(1), &present(site(), &version.to_string(), "en", time.clone())).then_either();
            world = world.when(patient(1), &sign(&version.to_string(), "en", time)).then(&["ConsentSigned"]);
        }
        let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        for day in days {
            let submit = SubmitReport { completed_at: When::at(noon(day)), ..report("2025-01-01") };
            let outcome = world.when(report_id(9), &submit);
            if covered[day as usize] {
                outcome.then(&["ReportSubmitted", "ReportFiled"]);
            } else {
                let rule = outcome.refusal();
                prop_assert!([ConsentError::NOT_IN_FORCE, ConsentError::SIGNED_LATER].contains(&rule.as_str()), "{rule}");
            }
        }
        world.assert_snapshots_hold();
    }
}
