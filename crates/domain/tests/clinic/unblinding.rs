//! Breaking the blind for one subject, and what people sign.

use authority::matrix;
use authority::signing::{SIGNED_WITHIN, signs};
use chrono::TimeDelta;
use decider::{Command as _, RefusalKind};
use domain::access::AuthorityError;
use domain::commands::COMMANDS;
use domain::enrolment::subject::{CompleteSubject, UnblindSubject};
use domain::process::{AlertProcess, OnRefusal, Step};
use domain::trial::RegisterTrial;
use events::access::Duty;
use events::enrolment::subject::{SubjectCompleted, SubjectEvent, SubjectUnblinded, UnblindingCategory};
use events::envelope::Role;
use serde_json::json;
use testkit::given::World;
use testkit::given::process::{event_id, given, happened};
use testkit::place::Spoken;

use crate::cast::{Cast, hired, played, roles_with, signed, widest};
use crate::processes::{about, notification, subject_id};
use crate::world::{command, enrolled, open_trial, randomise, subject};

const SOMEBODY: &str = "somebody";

fn unblind(category: &str) -> UnblindSubject {
    command(json!({"category": category, "reason": "Unconscious"}))
}

#[test]
fn who_was_allocated_is_unblinded_whatever_became_of_them() {
    let world = enrolled(&open_trial(10, 10), 1);
    let id = subject(1);
    world.when(subject(2), &unblind("emergency")).then_refused("subject-not-found");
    world.when(id, &unblind("emergency")).then_refused("subject-not-randomised");
    let world = world.when(id, &randomise()).then(&["SubjectRandomised"]);
    world.when(id, &command::<UnblindSubject>(json!({"category": "planned", "reason": " "}))).then_refused("blank");
    for (category, is_taken) in [("emergency", false), ("planned", false), ("inadvertent", true)] {
        let late = json!({"category": category, "reason": "Unconscious", "occurred_at": "2026-01-01T00:00:00Z"});
        let rule =
            world.when(id, &command::<UnblindSubject>(late)).result().as_ref().err().map(|error| error.rule.clone());
        assert_eq!(rule.as_deref(), (!is_taken).then_some("unblinding-is-now"), "{category}");
    }
    let mut ended = world;
    for category in ["emergency", "planned", "inadvertent"] {
        let outcome = ended.when(id, &unblind(category));
        assert_eq!(outcome.payload("SubjectUnblinded"), json!({"category": category, "reason": "Unconscious"}));
        ended = outcome.then_either();
        let end: CompleteSubject = command(json!({}));
        ended = ended.when(id, &end).then_either();
    }
}

#[test]
fn where_nothing_is_hidden_nothing_is_unblinded() {
    let Cast { own, .. } = Cast::new();
    for (blinding, is_hidden) in [("open-label", false), ("single-blind", true), ("double-blind", true)] {
        let mut course: Vec<Spoken> = own.opening().into_iter().chain(own.populating()).collect();
        course.push(own.spoken("RandomiseSubject"));
        let register = course.iter_mut().find(|spoken| spoken.spec.name == RegisterTrial::NAME);
        register.expect("it is registered").body["blinding"] = json!(blinding);
        course.iter_mut().filter(|spoken| spoken.spec.name == "AddArm").for_each(|spoken| {
            spoken.body["code"] = own.body("RandomiseSubject")["arm"].clone();
        });
        let outcome = played(World::new(), course).when(own.subject().into(), &unblind("emergency"));
        let rule = outcome.result().as_ref().err().map(|refusal| refusal.rule.as_str());
        assert_eq!(rule, (!is_hidden).then_some("trial-not-blinded"), "{blinding}");
    }
}

#[test]
fn those_whom_it_concerns_are_told_that_it_was_and_not_what_came_of_it() {
    let unblinded = SubjectUnblinded { category: UnblindingCategory::Emergency, reason: "Unconscious".into() };
    let tell = |role, name: &str| Step::new(format!("notify-{name}"), notification(1, "subject-unblinded", role, name));
    let steps = [
        tell(Role::Sponsor, "sponsor"),
        tell(Role::MedicalMonitor, "medical-monitor"),
        tell(Role::Investigator, "investigator"),
    ];
    let told = given([happened::<_, SubjectEvent>(subject_id(), unblinded, about())]).process::<AlertProcess>();
    let key = event_id(1);
    told.then(&steps)
        .then_on_refusal(key, &steps[0], "notification-already-requested", &OnRefusal::Ignore)
        .then_on_refusal(key, &steps[0], "blank", &OnRefusal::DeadLetter)
        .then_is_about(key, about())
        .then_waits_for(key, "nothing", true);
    let completed = happened::<_, SubjectEvent>(subject_id(), SubjectCompleted {}, about());
    given([completed]).process::<AlertProcess>().then(&[]).then_nothing_began();
}

/// 21 CFR 11.200(a)(1): the walk goes over every command that people sign, and every role that may send it.
#[test]
fn what_is_signed_needs_a_sign_in_of_late_and_nothing_else_does() {
    let Cast { world, own, .. } = Cast::new();
    let mut asked = 0;
    for spec in COMMANDS.iter().filter(|spec| spec.is_sent()) {
        for role in roles_with(spec.duty) {
            let world = hired(&world, SOMEBODY, role, widest(role, &own));
            let long_ago = world.now() - SIGNED_WITHIN - TimeDelta::seconds(1);
            for (signed_in_at, is_late) in
                [(None, true), (Some(long_ago), true), (Some(world.now() - SIGNED_WITHIN), false)]
            {
                let outcome = signed(&world, SOMEBODY, &own.spoken(spec.name), signed_in_at);
                let refusal = outcome.result().as_ref().err();
                let has_to = refusal.is_some_and(|refusal| refusal.kind == RefusalKind::Unauthenticated);
                assert_eq!(has_to, is_late && spec.signed && signs(role), "{} as {role:?}: {refusal:?}", spec.name);
                if has_to {
                    assert_eq!(outcome.refusal(), AuthorityError::SIGN_IN_AGAIN);
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 8, "{asked}");
    for spec in COMMANDS.iter().filter(|spec| spec.signed) {
        assert!(spec.is_sent(), "{}: the program signs nothing", spec.name);
    }
    assert!(roles_with(Duty::Unblinding).all(signs), "no machine breaks a blind");
    assert!(!matrix::has_duty(Role::Sponsor, Duty::Unblinding));
}
