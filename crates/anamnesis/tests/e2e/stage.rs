//! Two trials with two sites, participants at each, and an account for every role in every scope.

use std::time::Duration;

use authority::matrix;
use events::access::account::Scope;
use events::envelope::{References, Role};
use events::ids::{AccountId, StreamKey as _};
use serde_json::{Value, json};
use testkit::place::{Place, Spoken};

use crate::api::{Answer, Api};
use crate::clinic::fresh;
use crate::system::System;

/// A running system with everything on it.
pub struct Stage {
    pub system: System,
    /// The first trial's first site.
    pub own: Place,
    /// Its second site.
    pub sibling: Place,
    /// The second trial.
    pub other: Place,
    /// Somebody else at the first site.
    pub neighbour: Place,
    administrator: Api,
}

/// Somebody with one role in one scope.
pub struct Actor {
    pub username: String,
    pub role: Role,
    pub scope: Scope,
    pub api: Api,
}

/// A role as the interface names it.
pub fn word(role: Role) -> String {
    json!(role).as_str().expect("a word").to_owned()
}

/// Sends a command.
pub async fn send(api: &Api, spoken: &Spoken) -> Answer {
    api.post(&spoken.path(), spoken.body.clone()).await
}

impl Stage {
    /// Sets the stage.
    pub async fn new(system: System) -> Self {
        let (mut own, mut other) = (Place::new(fresh), Place::new(fresh));
        let mut sibling = own.sibling(fresh);
        let mut neighbour = Place { site: own.site, ..own.sibling(fresh) };
        let opening = [own.opening(), sibling.joining(), other.opening()].concat_all();
        let people = [&own, &sibling, &other].map(Place::populating).concat_all();
        let further: Vec<Spoken> = neighbour.populating().into_iter().skip(1).collect();
        for spoken in opening.iter().chain(&people).chain(&further) {
            let answer = send(&system.api, spoken).await;
            assert!(answer.status.is_success(), "{}: {:#}", spoken.spec.name, answer.body);
        }
        for place in [&mut own, &mut sibling, &mut other, &mut neighbour] {
            let path = format!("/v1/alerts?patient_id={}", place.patient);
            let alerts = system.api.until(&path, "raised", |alerts| alerts["items"].get(0).is_some()).await;
            place.alert = alerts["items"][0]["alert_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        }
        let administrator = system.as_administrator();
        let stage = Self { system, own, sibling, other, neighbour, administrator };
        stage.settled().await;
        stage
    }

    /// Waits until all views have seen everything.
    pub async fn settled(&self) {
        let is_behind = |view: &Value| view["behind"] != 0;
        let all = |views: &Value| !views["items"].as_array().expect("views").iter().any(is_behind);
        self.system.api.until("/v1/views", "up to date", all).await;
    }

    /// All that there is.
    pub fn places(&self) -> [&Place; 4] {
        [&self.own, &self.neighbour, &self.sibling, &self.other]
    }

    /// An account for every role in every scope in which it can be held.
    pub async fn actors(&self) -> Vec<Actor> {
        let Place { trial, site, patient, .. } = self.own;
        let (trial_id, site_id) = (trial.into(), site.into());
        let scopes = [
            ("everywhere", Scope::Installation),
            ("trial", Scope::Trial { trial_id }),
            ("site", Scope::Site { trial_id, site_id }),
            ("oneself", Scope::Patient { patient_id: patient.into() }),
        ];
        let mut actors = Vec::new();
        for role in Role::ALL {
            for (name, scope) in scopes.iter().filter(|(_, scope)| matrix::fits(role, scope)) {
                actors.push(self.actor(&format!("{}.{name}", word(role)), role, *scope).await);
            }
        }
        actors
    }

    /// An account with a role.
    pub async fn actor(&self, username: &str, role: Role, scope: Scope) -> Actor {
        let account = format!("/v1/accounts/{}", AccountId::of(username).stream().id);
        let register = format!("{account}/register-account");
        self.administrator.post(&register, json!({"username": username})).await.ok();
        self.administrator.post(&format!("{account}/grant-role"), json!({"role": role, "scope": scope})).await.ok();
        let api = self.system.api.with_token(Some(self.system.token(username, &[])));
        Actor { username: username.to_owned(), role, scope, api }
    }

    /// Sends a command; an account that was locked by too many refusals is let in again.
    pub async fn try_as(&self, actor: &Actor, spoken: &Spoken) -> Answer {
        loop {
            let answer = send(&actor.api, spoken).await;
            let locked = ["account-locked", "account-may-not-act"].map(|rule| format!("urn:anamnesis:problem:{rule}"));
            if !locked.iter().any(|rule| answer.body["type"] == *rule) {
                return answer;
            }
            let account = AccountId::of(&actor.username).stream().id;
            let path = format!("/v1/accounts/{account}/reinstate-account");
            self.administrator.post(&path, json!({"reason": "The matrix goes on"})).await.ok();
        }
    }
}

/// Lists of commands, one after the other.
trait ConcatAll {
    fn concat_all(self) -> Vec<Spoken>;
}

impl<const LISTS: usize> ConcatAll for [Vec<Spoken>; LISTS] {
    fn concat_all(self) -> Vec<Spoken> {
        self.into_iter().flatten().collect()
    }
}

impl Actor {
    /// Whether what is at the place, and of somebody there, lies within the scope.
    pub fn reaches(&self, place: &Place) -> bool {
        self.scope.covers(&about(place))
    }
}

/// The place with its participant.
pub fn about(place: &Place) -> References {
    References::subject(place.trial.into(), place.site.into(), place.patient.into())
}

/// Long enough for any answer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
