//! What lies outside an account's scope does not exist for it, and no decision of its reaches there.

use authority::Places;
use decider::Refusal;
use events::access::account::Scope;
use events::envelope::{References, Role};
use events::ids::{PatientId, StreamType};
use events::patient::PatientEvent;
use events::set::EventSet as _;
use proptest::collection::vec;
use proptest::prelude::*;
use testkit::given::{Outcome, World};
use testkit::place::{Place, Spoken};

use crate::cast::{Cast, commands, hired, roles_with, sent};

const SOMEBODY: &str = "somebody";
/// Kinds of which nothing is at any place: whoever names an id makes it.
const NOWHERE: [StreamType; 2] = [StreamType::Notification, StreamType::Article];

/// An answer without the ids that were asked for.
fn told(cast: &Cast, outcome: &Outcome) -> String {
    match outcome.result() {
        Ok(decision) => format!("{} events", decision.writes.iter().map(|write| write.events.len()).sum::<usize>()),
        Err(Refusal { rule, kind, field, message, faults }) => {
            cast.without_ids(&format!("{rule} {kind:?} {field:?} {message} {faults:?}"))
        }
    }
}

/// A command to the one place whose body is about the other.
fn mixed(target: &Place, body: &Place, command: &str) -> Spoken {
    Spoken { target: target.spoken(command).target, ..body.spoken(command) }
}

#[test]
fn what_is_outside_is_answered_as_what_does_not_exist() {
    let cast = Cast::new();
    let mut different = Vec::new();
    let mut compared = 0;
    for spec in commands() {
        for role in roles_with(spec.duty) {
            for (scope, outside) in cast.scopes(role) {
                let world = hired(&cast.world, SOMEBODY, role, scope);
                let answer = |target: &Place, body: &Place| {
                    let outcome = sent(&world, SOMEBODY, &mixed(target, body, spec.name));
                    (outcome.result().is_ok(), told(&cast, &outcome))
                };
                for foreign in outside {
                    // A trial is that of all its sites.
                    let trial = if foreign.trial == cast.own.trial { cast.own.trial } else { cast.absent.trial };
                    let absent = &Place { trial, ..cast.absent.clone() };
                    let pairs = [
                        ((foreign, &cast.own), (absent, &cast.own)),
                        ((&cast.own, foreign), (&cast.own, absent)),
                        ((foreign, foreign), (absent, absent)),
                    ];
                    // Whoever brings over the records of another system admits whom they know the id of.
                    let brings_over = role == Role::Integration && spec.name == "AdmitPatient";
                    // Accounts are no site's.
                    let is_outside = spec.target != StreamType::Account
                        && foreign.of_kind(spec.target) != cast.own.of_kind(spec.target);
                    for (index, ((target, body), (no_target, no_body))) in pairs.into_iter().enumerate() {
                        let is_nowhere = NOWHERE.contains(&spec.target);
                        if index != 1 && !is_outside || index == 0 && (brings_over || is_nowhere) {
                            continue;
                        }
                        let (is_done, there) = answer(target, body);
                        let (_, nowhere) = answer(no_target, no_body);
                        compared += 1;
                        // An id that is taken is not given again, nor a device's name in a trial: then it is refused.
                        let is_taken = spec.creates && index != 1 || spec.name == "AssignDevice" && index == 1;
                        let is_same = there == nowhere || is_taken;
                        let is_well = is_same && (index == 1 || !is_done);
                        if !is_well {
                            different.push(format!("{role:?} {scope:?} {} {index}: {there} | {nowhere}", spec.name));
                        }
                    }
                }
            }
        }
    }
    different.sort();
    different.dedup();
    assert!(different.is_empty(), "{} {different:#?}", different.len());
    assert!(compared > 500, "{compared}");
}

/// Where the person is cared for.
fn places(world: &World, patient_id: PatientId) -> Vec<References> {
    let mut places = Places::default();
    for (stream, event) in ["PatientRegistered", "PatientAdmitted"].iter().flat_map(|name| world.events(name)) {
        if stream.id == patient_id.uuid() {
            let event = PatientEvent::decode(event.event_type, event.schema_version, &event.payload).expect("an event");
            places.evolve(&event);
        }
    }
    authority::PatientPlaces { patient_id, places: &places }.references().collect()
}

/// Whether what a decision is about lies within the scope.
fn is_within(world: &World, scope: Scope, about: References) -> bool {
    let is_a_person = about.trial_id.is_none() && about.site_id.is_none();
    scope.covers(&about)
        || about
            .patient_id
            .is_some_and(|patient| is_a_person && places(world, patient).iter().any(|at| scope.covers(at)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn no_decision_reaches_beyond_the_scope(
        role in 0..5_usize,
        scope in 0..2_usize,
        steps in vec((0..60_usize, 0..5_usize, 0..5_usize), 1..40),
    ) {
        let cast = Cast::new();
        let roles =
            [Role::Integration, Role::Investigator, Role::Participant, Role::MedicalMonitor, Role::Sponsor];
        let role = roles[role];
        let scopes = cast.scopes(role);
        let (scope, _) = &scopes[scope % scopes.len()];
        let all = [&cast.own, &cast.sibling, &cast.other, &cast.neighbour, &cast.absent];
        let commands: Vec<_> = commands().collect();
        let mut world = hired(&cast.world, SOMEBODY, role, *scope);
        for (command, target, body) in steps {
            let spec = commands[command % commands.len()];
            let outcome = sent(&world, SOMEBODY, &mixed(all[target], all[body], spec.name));
            let about = outcome.result().as_ref().ok().map(decider::Decision::references);
            world = outcome.then_either();
            if let Some(about) = about {
                prop_assert!(is_within(&world, *scope, about), "{role:?} {scope:?} {} {about:?}", spec.name);
            }
        }
    }
}
