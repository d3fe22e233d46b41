//! Whatever is sent in whatever order: no decision panics, places never exceed
//! their number, subject numbers differ, and snapshots change nothing.

use std::collections::{BTreeMap, BTreeSet};

use domain::consent::{PresentConsentForm, SignConsent, WithdrawConsent};
use domain::enrolment::subject::{
    CompleteSubject, DiscontinueSubject, EnrolSubject, FailScreening, RandomiseSubject, RecordEligibility,
    ScreenPatient,
};
use domain::patient::{RecordObservation, RegisterPatient};
use domain::site::{ActivateSite, SuspendSite};
use domain::trial::{CloseEnrolment, OpenEnrolment, PauseEnrolment};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::given::World;

use crate::world::{command, open_trial, patient, site, subject, trial};

const PATIENTS: u128 = 4;
const CAP: u32 = 2;

/// One of all commands about patients, with a time of its own on one of a few days.
fn step(world: &World, number: u128, kind: u8, day: u8) -> World {
    let (id, subject_id) = (patient(number), subject(number));
    let time = format!("2025-03-{:02}T12:00:00Z", day + 1);
    let at = |field: &str, mut body: Value| {
        body[field] = json!(time);
        body
    };
    let consent = json!({"trial_id": trial(), "form_version": "1", "language": "en"});
    let outcome = match kind {
        0 => world.when(id, &command::<RegisterPatient>(at("occurred_at", json!({})))),
        1 => {
            world.when(id, &command::<RecordObservation>(at("observed_at", json!({"code": "AGE", "value": 17 + day}))))
        }
        2 => {
            let mut body = at("occurred_at", consent);
            body["site_id"] = json!(site());
            world.when(id, &command::<PresentConsentForm>(body))
        }
        3 => world.when(id, &command::<SignConsent>(at("signed_at", consent))),
        4 => world.when(id, &command::<ScreenPatient>(at("occurred_at", json!({"trial_id": trial()})))),
        5 => world.when(subject_id, &command::<RecordEligibility>(at("occurred_at", json!({})))),
        6 => world.when(subject_id, &command::<EnrolSubject>(at("occurred_at", json!({})))),
        7 => world.when(subject_id, &command::<RandomiseSubject>(at("occurred_at", json!({"arm": "A"})))),
        8 => world.when(subject_id, &command::<CompleteSubject>(at("occurred_at", json!({})))),
        9 => world.when(subject_id, &command::<DiscontinueSubject>(at("occurred_at", json!({"reason": "DEATH"})))),
        10 => world.when(subject_id, &command::<FailScreening>(at("occurred_at", json!({"reasons": ["I1"]})))),
        11 => {
            let body = json!({"trial_id": trial(), "scope": "further-data"});
            world.when(id, &command::<WithdrawConsent>(at("withdrawn_at", body)))
        }
        12 => world.when(site(), &command::<SuspendSite>(json!({"reason": "Audit"}))),
        13 => world.when(site(), &command::<ActivateSite>(json!({"enrolment_cap": CAP, "investigator": "dr"}))),
        14 => world.when(trial(), &command::<PauseEnrolment>(json!({"reason": "Drug supply"}))),
        15 => world.when(trial(), &OpenEnrolment::default()),
        _ => world.when(trial(), &command::<CloseEnrolment>(json!({"reason": "Done"}))),
    };
    outcome.then_either()
}

/// How many places are taken, event by event.
fn places_taken(world: &World) -> usize {
    world.events("PlaceTaken").len() - world.events("PlaceReleased").len()
}

fn check(world: &World) -> Result<(), TestCaseError> {
    prop_assert!(places_taken(world) <= CAP as usize, "never more than the cap");
    let numbers = world.events("SubjectNumberAssigned");
    let distinct: BTreeSet<String> = numbers
        .iter()
        .map(|(_, event)| serde_json::from_slice::<Value>(&event.payload).expect("JSON")["subject_number"].to_string())
        .collect();
    prop_assert_eq!(distinct.len(), numbers.len(), "subject numbers differ");
    // Nobody gets on without the stage before.
    let mut stages: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for stage in ["PatientScreened", "SubjectEnrolled", "SubjectRandomised", "SubjectCompleted"] {
        for (stream, _) in world.events(stage) {
            stages.entry(stream).or_default().push(stage);
        }
    }
    let course = ["PatientScreened", "SubjectEnrolled", "SubjectRandomised", "SubjectCompleted"];
    for seen in stages.values() {
        prop_assert_eq!(seen.as_slice(), &course[..seen.len()]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_sent_the_rules_hold(
        steps in vec((1..=PATIENTS, prop_oneof![8 => 0..12_u8, 1 => 12..17_u8], 0..28_u8), 0..60),
        course in vec((1..=PATIENTS, 0..28_u8), 0..6),
    ) {
        let mut world = open_trial(3, CAP);
        // Some go the straight way for a while, so that late stages are met, too.
        for (number, day) in course {
            for kind in 0..8 {
                world = step(&world, number, kind, day);
            }
        }
        for (number, kind, day) in steps {
            world = step(&world, number, kind, day);
            check(&world)?;
        }
        world.assert_snapshots_hold();
    }
}
