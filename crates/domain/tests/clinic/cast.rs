//! Two trials with two sites each and a participant at every one, and accounts that look at them from all sides.

use authority::matrix;
use chrono::{DateTime, Utc};
use domain::access::account::RegisterAccount;
use domain::access::grant::{GrantRole, RevokeRole};
use domain::access::{Authorised, Sender};
use domain::commands::{AnyCommand, COMMANDS, CommandSpec, Duty};
use events::access::account::Scope;
use events::envelope::Role;
use events::ids::{AccountId, IdentityId};
use serde_json::json;
use testkit::given::{Outcome, World};
use testkit::place::{Place, Spoken};
use uuid::Uuid;

use crate::world::command;

/// The cast.
pub struct Cast {
    /// What happened.
    pub world: World,
    /// The first trial's first site.
    pub own: Place,
    /// Its second site.
    pub sibling: Place,
    /// The second trial's first site.
    pub other: Place,
    /// Somebody else at the first trial's first site.
    pub neighbour: Place,
    /// Nobody and nothing.
    pub absent: Place,
}

/// Ids from a number on.
fn ids(from: u128) -> impl FnMut() -> Uuid {
    let mut next = from << 64;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

/// A command, whoever sends it.
pub fn any(spoken: &Spoken) -> AnyCommand {
    let body = serde_json::to_vec(&spoken.body).expect("JSON");
    (spoken.spec.parse)(spoken.target, &body).unwrap_or_else(|error| panic!("{}: {error}", spoken.spec.name))
}

/// Has the program itself do all of it.
pub fn played(world: World, all: Vec<Spoken>) -> World {
    all.iter().fold(world, |world, spoken| {
        let outcome = world.when_any(&any(spoken));
        assert!(outcome.result().is_ok(), "{}: {:?}", spoken.spec.name, outcome.result());
        outcome.then_either()
    })
}

/// What becomes of a command that somebody sends.
pub fn sent(world: &World, username: &str, spoken: &Spoken) -> Outcome {
    signed(world, username, spoken, Some(world.now()))
}

/// What becomes of a command by somebody who signed in then.
pub fn signed(world: &World, username: &str, spoken: &Spoken, signed_in_at: Option<DateTime<Utc>>) -> Outcome {
    let sender = Sender { identity_id: IdentityId::own(username), account_id: AccountId::of(username), signed_in_at };
    world.when_any(&Authorised::new(any(spoken), spoken.spec, sender))
}

/// An account without any role.
pub fn registered(world: &World, username: &str) -> World {
    let register: RegisterAccount = command(json!({"username": username}));
    world.when(AccountId::of(username), &register).then(&["AccountRegistered", "IdentityClaimed"])
}

/// An account with a role.
pub fn hired(world: &World, username: &str, role: Role, scope: Scope) -> World {
    let grant = GrantRole { role, scope, from: None, until: None };
    registered(world, username).when(AccountId::of(username), &grant).then(&["RoleGranted"])
}

/// The same world after the last grant was revoked.
pub fn dismissed(world: &World, username: &str) -> World {
    let granted = world.events("RoleGranted");
    let (_, event) = granted.last().expect("a grant");
    let payload: serde_json::Value = serde_json::from_slice(&event.payload).expect("JSON");
    let revoke: RevokeRole = command(json!({"grant_id": payload["grant_id"], "reason": "Left"}));
    world.when(AccountId::of(username), &revoke).then(&["RoleRevoked"])
}

/// The roles that somebody can be granted.
pub fn roles() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| *role != Role::System)
}

/// The roles that have a duty.
pub fn roles_with(duty: Duty) -> impl Iterator<Item = Role> {
    roles().filter(move |role| matrix::has_duty(*role, duty))
}

/// The commands that people send.
pub fn commands() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().filter(|spec| spec.duty != Duty::Process)
}

impl Cast {
    /// The cast.
    pub fn new() -> Self {
        let (own, other) = (Place::new(ids(1)), Place::new(ids(2)));
        let sibling = own.sibling(ids(3));
        let neighbour = Place { site: own.site, ..own.sibling(ids(4)) };
        let neighbour = Place { account: AccountId::of("neighbour").uuid(), ..neighbour };
        let mut world = played(World::new(), own.opening());
        world = played(world, sibling.joining());
        world = played(world, other.opening());
        for place in [&own, &sibling, &other] {
            world = played(world, place.populating());
            let raise = place.spoken("RaiseAlert");
            world = played(world, vec![raise]);
        }
        // The account of the site is there already.
        world = played(world, neighbour.populating().into_iter().skip(1).collect());
        world = played(world, vec![neighbour.spoken("RaiseAlert")]);
        Self { world, own, sibling, other, neighbour, absent: Place::new(ids(9)) }
    }

    /// Every scope in which the role can be held at the first site, by name, with what lies outside of it.
    pub fn scopes(&self, role: Role) -> Vec<(Scope, Vec<&Place>)> {
        let Place { trial, site, patient, .. } = self.own;
        let all = [
            (Scope::Trial { trial_id: trial.into() }, vec![&self.other]),
            (Scope::Site { trial_id: trial.into(), site_id: site.into() }, vec![&self.sibling, &self.other]),
            (Scope::Patient { patient_id: patient.into() }, vec![&self.neighbour, &self.sibling, &self.other]),
        ];
        all.into_iter().filter(|(scope, _)| matrix::fits(role, scope)).collect()
    }

    /// A text without the ids of any place.
    pub fn without_ids(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let in_the_trial = Place { trial: self.own.trial, ..self.absent.clone() };
        for place in [&self.own, &self.sibling, &self.other, &self.neighbour, &self.absent, &in_the_trial] {
            for spec in COMMANDS {
                text = text.replace(&place.of_kind(spec.target).to_string(), "…");
            }
        }
        text
    }
}

/// The scope in which a role is held most widely.
pub fn widest(role: Role, place: &Place) -> Scope {
    match role {
        Role::Participant => Scope::Patient { patient_id: place.patient.into() },
        _ => Scope::Installation,
    }
}
