//! Every command needs an account that has the duty now: the walk goes over the registry of commands and the matrix of
//! roles and duties.

use authority::matrix;
use chrono::TimeDelta;
use decider::RefusalKind;
use domain::access::account::{
    AccountError, CloseAccount, LinkIdentity, LockAccount, RegisterAccount, ReinstateAccount, SuspendAccount,
    UnlinkIdentity,
};
use domain::access::grant::{DelegateDuties, GrantError, GrantRole};
use domain::access::{Authorised, AuthorityError, Sender};
use domain::commands::{COMMANDS, Duty};
use events::access::account::{LinkedIdentity, Scope};
use events::envelope::Role;
use events::ids::{AccountId, IdentityId};
use serde_json::json;
use testkit::given::{Outcome, World, now};
use testkit::place::{Place, Spoken};

use crate::cast::{Cast, any, commands, dismissed, hired, registered, roles, roles_with, sent, widest};
use crate::world::command;

const SOMEBODY: &str = "somebody";

/// Refused by the rule, as somebody who may not.
#[track_caller]
fn forbidden(outcome: &Outcome, rule: &str, about: &str) {
    let refusal = outcome.refused();
    assert_eq!((refusal.rule.as_str(), refusal.kind), (rule, RefusalKind::Forbidden), "{about}: {refusal:?}");
}

/// Every command that people send, by somebody who has its duty as widely as it can be had.
fn each_command(mut check: impl FnMut(&World, Role, Scope, &Spoken)) {
    let Cast { world, own, .. } = Cast::new();
    for spec in commands() {
        let role = roles_with(spec.duty).next().unwrap_or_else(|| panic!("nobody may send {}", spec.name));
        check(&world, role, widest(role, &own), &own.spoken(spec.name));
    }
}

#[test]
fn every_command_needs_the_duty() {
    let Cast { world, own, .. } = Cast::new();
    let (mut with, mut without) = (0, 0);
    for role in roles() {
        let world = hired(&world, SOMEBODY, role, widest(role, &own));
        for spec in COMMANDS {
            let outcome = sent(&world, SOMEBODY, &own.spoken(spec.name));
            if matrix::has_duty(role, spec.duty) {
                let is_let_in =
                    outcome.result().as_ref().map_or_else(|refusal| refusal.rule.clone(), |_| String::new());
                assert_ne!(is_let_in, AuthorityError::NOT_A_DUTY, "{role:?} {}", spec.name);
                with += 1;
            } else {
                forbidden(&outcome, AuthorityError::NOT_A_DUTY, spec.name);
                without += 1;
            }
        }
        let nobody = dismissed(&world, SOMEBODY);
        for spec in COMMANDS {
            forbidden(&sent(&nobody, SOMEBODY, &own.spoken(spec.name)), AuthorityError::NOT_A_DUTY, spec.name);
        }
    }
    assert!(with > 50 && without > 300, "{with} {without}");
}

#[test]
fn an_account_that_may_not_act_sends_nothing() {
    let account = AccountId::of(SOMEBODY);
    let reason = || "Left".to_owned();
    let locked = LockAccount { refusals: 20, until: now() + TimeDelta::minutes(15) };
    each_command(|world, role, scope, spoken| {
        let name = spoken.spec.name;
        forbidden(&sent(world, SOMEBODY, spoken), AuthorityError::NO_ACCOUNT, name);
        let world = hired(world, SOMEBODY, role, scope);
        let may = |world: &World| match sent(world, SOMEBODY, spoken).result() {
            Ok(_) => true,
            Err(refusal) => refusal.kind != RefusalKind::Forbidden,
        };
        assert!(may(&world), "{name}");
        let suspended = world.when(account, &SuspendAccount { reason: reason() }).then(&["AccountSuspended"]);
        forbidden(&sent(&suspended, SOMEBODY, spoken), AuthorityError::SUSPENDED, name);
        let back = suspended.when(account, &ReinstateAccount { reason: reason() }).then(&["AccountReinstated"]);
        assert!(may(&back), "{name}");
        let closed = world.when(account, &CloseAccount { reason: reason() }).then(&["AccountClosed"]);
        forbidden(&sent(&closed, SOMEBODY, spoken), AuthorityError::ACCOUNT_CLOSED, name);
        let locked = world.when(account, &locked).then(&["AccountLocked"]);
        forbidden(&sent(&locked.minutes_later(14), SOMEBODY, spoken), AuthorityError::LOCKED, name);
        assert!(may(&locked.minutes_later(15)), "{name}");
    });
}

#[test]
fn a_grant_holds_from_when_until_when_it_says() {
    let account = AccountId::of(SOMEBODY);
    let (from, until) = (now() + TimeDelta::hours(1), now() + TimeDelta::hours(2));
    each_command(|world, role, scope, spoken| {
        let name = spoken.spec.name;
        let grant = GrantRole { role, scope, from: Some(from), until: Some(until) };
        let world = registered(world, SOMEBODY).when(account, &grant).then(&["RoleGranted"]);
        for (minutes, is_held) in [(0, false), (59, false), (60, true), (119, true), (120, false)] {
            let outcome = sent(&world.minutes_later(minutes), SOMEBODY, spoken);
            if !is_held {
                forbidden(&outcome, AuthorityError::NOT_A_DUTY, name);
            } else if let Err(refusal) = outcome.result() {
                assert_ne!(refusal.kind, RefusalKind::Forbidden, "{name}: {refusal:?}");
            }
        }
    });
}

#[test]
fn an_identity_that_was_unlinked_speaks_for_nobody() {
    let account = AccountId::of(SOMEBODY);
    let identity = LinkedIdentity { issuer: "https://id.example".to_owned(), subject: "s-1".to_owned() };
    let identity_id = IdentityId::of(&identity.issuer, &identity.subject);
    let sender = Sender { identity_id, account_id: account, signed_in_at: Some(now()) };
    each_command(|world, role, scope, spoken| {
        let by = |world: &World, sender| world.when_any(&Authorised::new(any(spoken), spoken.spec, sender));
        let world = hired(world, SOMEBODY, role, scope);
        forbidden(&by(&world, sender), AuthorityError::NO_ACCOUNT, spoken.spec.name);
        let link = LinkIdentity { identity: identity.clone() };
        let world = world.when(account, &link).then(&["IdentityLinked", "IdentityClaimed"]);
        if let Err(refusal) = by(&world, sender).result() {
            assert_ne!(refusal.kind, RefusalKind::Forbidden, "{}: {refusal:?}", spoken.spec.name);
        }
        let unlink = UnlinkIdentity { identity: identity.clone(), reason: "Left".to_owned() };
        let world = world.when(account, &unlink).then(&["IdentityUnlinked", "IdentityReleased"]);
        forbidden(&by(&world, sender), AuthorityError::NO_ACCOUNT, spoken.spec.name);
        // It may speak for somebody else then, and for nobody before.
        let world = registered(&world, "another");
        let other = AccountId::of("another");
        let world = world.when(other, &link).then(&["IdentityLinked", "IdentityClaimed"]);
        forbidden(&by(&world, sender), AuthorityError::NO_ACCOUNT, spoken.spec.name);
    });
}

#[test]
fn nobody_changes_their_own_account() {
    let Cast { world, own, .. } = Cast::new();
    let scope = Scope::Site { trial_id: own.trial.into(), site_id: own.site.into() };
    let mut seen = 0;
    for (role, scope) in [(Role::Administrator, Scope::Installation), (Role::Investigator, scope)] {
        let world = hired(&world, SOMEBODY, role, scope);
        let oneself = Place { account: AccountId::of(SOMEBODY).uuid(), ..own.clone() };
        for spec in commands().filter(|spec| spec.collection == "accounts" && matrix::has_duty(role, spec.duty)) {
            let spoken = oneself.spoken(spec.name);
            let rule = if spec.creates { AccountError::ALREADY_REGISTERED } else { AccountError::OWN_ACCOUNT };
            assert_eq!(sent(&world, SOMEBODY, &spoken).refusal(), rule, "{}", spec.name);
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn a_username_is_never_given_again() {
    let world = registered(&World::new(), SOMEBODY);
    let close = CloseAccount { reason: "Left".to_owned() };
    let closed = world.when(AccountId::of(SOMEBODY), &close).then(&["AccountClosed"]);
    for world in [&world, &closed] {
        for username in [SOMEBODY, "Somebody", "SOMEBODY"] {
            let again: RegisterAccount = command(json!({"username": username}));
            let another = AccountId::of("another");
            world.when(another, &again).then_refused(AccountError::USERNAME_TAKEN);
        }
        let again: RegisterAccount = command(json!({"username": "another"}));
        world.when(AccountId::of(SOMEBODY), &again).then_refused(AccountError::ALREADY_REGISTERED);
    }
    let reinstate = ReinstateAccount { reason: "Came back".to_owned() };
    closed.when(AccountId::of(SOMEBODY), &reinstate).then_refused(AccountError::CLOSED);
}

/// Delegation is of some of a coordinator's duties, at one's own site, and nothing else is ended by it.
#[test]
fn what_is_delegated_is_what_may_be_done() {
    let Cast { world, own, sibling, .. } = Cast::new();
    let at = |place: &Place| Scope::Site { trial_id: place.trial.into(), site_id: place.site.into() };
    let world = hired(&world, "investigator", Role::Investigator, at(&own));
    let world = registered(&world, SOMEBODY);
    let delegate = |place: &Place, duties: &[Duty]| Spoken {
        target: AccountId::of(SOMEBODY).uuid(),
        body: json!({"site_id": place.site, "duties": duties}),
        ..own.spoken("DelegateDuties")
    };
    for beyond in [Duty::Delegation, Duty::Allocation, Duty::Access, Duty::Conduct, Duty::Process] {
        let refused = sent(&world, "investigator", &delegate(&own, &[Duty::SiteWork, beyond]));
        refused.then_refused(GrantError::NOT_A_COORDINATORS);
    }
    assert!(sent(&world, "investigator", &delegate(&sibling, &[Duty::SiteWork])).result().is_err());
    let world = sent(&world, "investigator", &delegate(&own, &[Duty::SiteWork])).then(&["RoleGranted"]);
    for spec in COMMANDS {
        let outcome = sent(&world, SOMEBODY, &own.spoken(spec.name));
        match outcome.result() {
            Err(refusal) if spec.duty != Duty::SiteWork => assert_eq!(refusal.rule, AuthorityError::NOT_A_DUTY),
            Err(refusal) => assert_ne!(refusal.kind, RefusalKind::Forbidden, "{}: {refusal:?}", spec.name),
            Ok(_) => assert_eq!(spec.duty, Duty::SiteWork, "{}", spec.name),
        }
    }
    let world = ended(&world, "investigator", SOMEBODY).then(&["RoleRevoked"]);
    forbidden(&sent(&world, SOMEBODY, &own.spoken("CorrectVisit")), AuthorityError::NOT_A_DUTY, "ended");

    // What an administrator granted, and what was delegated elsewhere, is not the investigator's to end.
    let granted = hired(&world, "nurse", Role::Coordinator, at(&own));
    ended(&granted, "investigator", "nurse").then_refused(GrantError::NOT_DELEGATED);
    let duties = DelegateDuties { site_id: sibling.site.into(), duties: vec![Duty::SiteWork], from: None, until: None };
    let elsewhere = world.when(AccountId::of(SOMEBODY), &duties).then(&["RoleGranted"]);
    ended(&elsewhere, "investigator", SOMEBODY).then_refused(GrantError::NOT_GRANTED);
}

/// What becomes of ending the last grant of an account.
fn ended(world: &World, by: &str, of: &str) -> Outcome {
    let granted = world.events("RoleGranted");
    let (_, event) = granted.last().expect("a grant");
    let payload: serde_json::Value = serde_json::from_slice(&event.payload).expect("JSON");
    let place = Place { account: AccountId::of(of).uuid(), ..Place::new(uuid::Uuid::nil) };
    let body = json!({"grant_id": payload["grant_id"], "reason": "Left"});
    sent(world, by, &Spoken { body, ..place.spoken("EndDelegation") })
}
