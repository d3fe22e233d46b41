//! Whoever is screened again at another site: what the first site recorded stays with it.

use events::access::account::Scope;
use events::envelope::{References, Role};
use events::ids::{StreamKey as _, StreamType};
use serde_json::json;
use testkit::given::{World, with};
use testkit::place::{Place, Spoken};

use crate::cast::{Cast, commands, hired, played, roles_with, sent};

const SOMEBODY: &str = "somebody";

/// What is recorded of a subject once, by the site at which it takes part then.
const RECORDS: [StreamType; 4] = [StreamType::Report, StreamType::AdverseEvent, StreamType::Visit, StreamType::Alert];

/// A command to what the first site recorded.
fn spoken(of: &Place, command: &str, body: serde_json::Value) -> Spoken {
    Spoken { body, ..of.spoken(command) }
}

/// The first site's participant left before allocation, and takes part at its sibling now.
fn moved() -> Cast {
    let cast = Cast::new();
    let Cast { own, sibling, .. } = &cast;
    let shown = with(own.body("PresentConsentForm"), &json!({"site_id": sibling.site}));
    let steps = vec![
        own.spoken("WithdrawConsent"),
        own.spoken("DiscontinueSubject"),
        spoken(own, "PresentConsentForm", shown),
        own.spoken("SignConsent"),
        own.spoken("ScreenPatient"),
    ];
    let world = played(cast.world, steps);
    assert_eq!(world.events("PatientRescreened").len(), 1);
    Cast { world, ..cast }
}

/// The world in which somebody has the role at the place's site.
fn at(world: &World, place: &Place, role: Role) -> World {
    hired(world, SOMEBODY, role, Scope::Site { trial_id: place.trial.into(), site_id: place.site.into() })
}

#[test]
fn what_another_site_recorded_does_not_exist_for_the_one_of_now() {
    let cast = moved();
    let mut compared = 0;
    for spec in commands().filter(|spec| RECORDS.contains(&spec.target) && !spec.creates) {
        for role in roles_with(spec.duty).filter(|role| cast.scopes(*role).len() > 1) {
            let world = at(&cast.world, &cast.sibling, role);
            let answer = |target: &Place| {
                let spoken = Spoken { target: target.of_kind(spec.target), ..cast.own.spoken(spec.name) };
                let outcome = sent(&world, SOMEBODY, &spoken);
                cast.without_ids(&outcome.refusal())
            };
            assert_eq!(answer(&cast.own), answer(&cast.absent), "{role:?} {}", spec.name);
            compared += 1;
        }
    }
    assert!(compared > 5, "{compared}");
}

#[test]
fn the_site_that_recorded_it_goes_on_with_it() {
    let cast = moved();
    let about = References::subject(cast.own.trial.into(), cast.own.site.into(), cast.own.patient.into());
    for spec in commands().filter(|spec| RECORDS.contains(&spec.target) && !spec.creates) {
        let mut sent_by_some = false;
        for role in roles_with(spec.duty).filter(|role| cast.scopes(*role).len() > 1) {
            let spoken = match spec.name {
                // Of today, as the world has it.
                "UpdateAdverseEvent" => json!({"severity": "severe", "reason": "Seen again"}),
                "CorrectVisit" => json!({"attended_on": "2026-01-19", "reason": "Misread"}),
                name => cast.own.body(name),
            };
            let spoken = self::spoken(&cast.own, spec.name, spoken);
            let outcome = sent(&at(&cast.world, &cast.own, role), SOMEBODY, &spoken);
            let decision = outcome.result().as_ref().unwrap_or_else(|refusal| panic!("{}: {refusal:?}", spec.name));
            assert_eq!(decision.references(), about, "{}", spec.name);
            sent_by_some = true;
        }
        assert!(sent_by_some, "{}", spec.name);
    }
}

#[test]
fn the_same_again_tells_no_id_of_what_the_first_site_recorded() {
    let cast = moved();
    let world = at(&cast.world, &cast.sibling, Role::Investigator).with_targets_unnamed();
    let came = json!({"subject_id": cast.own.subject(), "visit": "WEEK 2", "attended_on": "2026-01-20"});
    let visit = Spoken { target: cast.absent.visit, ..spoken(&cast.own, "RecordVisit", came) };
    let refusal = format!("{:?}", sent(&world, SOMEBODY, &visit).result());
    assert!(!refusal.contains(&cast.own.visit.to_string()), "{refusal}");
    // Its own site is told.
    let world = at(&cast.world, &cast.own, Role::Investigator).with_targets_unnamed();
    let refusal = format!("{:?}", sent(&world, SOMEBODY, &visit).result());
    assert!(!refusal.contains("visit-already-recorded"), "the subject is no longer in its sight: {refusal}");
    let everywhere = hired(&cast.world, SOMEBODY, Role::Integration, Scope::Installation).with_targets_unnamed();
    let refusal = sent(&everywhere, SOMEBODY, &visit).refused().message.clone();
    assert!(refusal.contains(&cast.own.visit.to_string()), "{refusal}");
}

#[test]
fn what_the_first_site_learns_later_raises_its_alert_there() {
    let cast = moved();
    let Cast { world, own, sibling, .. } = &cast;
    let raised = |own: &Place, kind: &str, source: uuid::Uuid| {
        let id = uuid::Uuid::from_u128(7);
        let body = json!({"source_event_id": id, "source": {"type": kind, "id": source}});
        let body = with(own.body("RaiseAlert"), &body);
        let alert = events::ids::AlertId::of(id, body["rule"].as_str().expect("a rule"));
        let outcome =
            played(world.clone(), vec![Spoken { target: alert.stream().id, ..spoken(own, "RaiseAlert", body) }]);
        let all = outcome.events("AlertRaised");
        let (_, event) = all.iter().find(|(stream, _)| *stream == alert.stream()).expect("the alert");
        event.references
    };
    let about = |site: uuid::Uuid| References::subject(own.trial.into(), site.into(), own.patient.into());
    assert_eq!(raised(own, "report", own.report), about(own.site));
    assert_eq!(raised(own, "adverse-event", own.adverse_event), about(own.site));
    // Of what is somebody else's, or recorded nowhere, it is told where the subject is.
    assert_eq!(raised(own, "report", sibling.report), about(sibling.site));
    assert_eq!(raised(own, "report", cast.absent.report), about(sibling.site));
}
