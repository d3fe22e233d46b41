//! An account, folded from its stream.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use decider::Aggregate;
use events::access::Duty;
use events::access::account::{AccountEvent, LinkedIdentity, Scope};
use events::envelope::{Actor, Role};
use events::ids::AccountId;
use events::messaging::contact::Contact;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::matrix;

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// Not registered.
    #[default]
    Unregistered,
    /// Registered.
    Registered(Box<Holder>),
}

/// Who has an account, and what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// By which the account is known in histories.
    pub username: String,
    /// The organisation for which it acts.
    pub organisation: Option<String>,
    /// Those at other issuers that speak for it.
    pub identities: BTreeSet<LinkedIdentity>,
    /// The roles that were granted and not revoked.
    pub grants: BTreeMap<Uuid, Grant>,
    /// Whether it may act.
    pub standing: Standing,
    /// Until when it is locked by rule.
    pub locked_until: Option<DateTime<Utc>>,
    /// How it is reached.
    pub contact: Contact,
}

/// Whether an account may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It may.
    Active,
    /// Not for now.
    Suspended,
    /// Never again.
    Closed,
}

/// A role that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// Those of its duties that were delegated, where these are not all.
    pub duties: Option<Vec<Duty>>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when, where it ends.
    pub until: Option<DateTime<Utc>>,
}

impl Grant {
    /// Whether it is held at `time`.
    pub fn is_in_force(&self, time: DateTime<Utc>) -> bool {
        self.from <= time && self.until.is_none_or(|until| time < until)
    }

    /// Whether the duty comes with it.
    pub fn has(&self, duty: Duty) -> bool {
        matrix::has_duty(self.role, duty) && self.duties.as_ref().is_none_or(|duties| duties.contains(&duty))
    }
}

impl Holder {
    /// Whether the account may act at `time` at all.
    pub fn may_act(&self, time: DateTime<Utc>) -> bool {
        self.standing == Standing::Active && !self.is_locked(time)
    }

    /// Whether it is locked by rule at `time`.
    pub fn is_locked(&self, time: DateTime<Utc>) -> bool {
        self.locked_until.is_some_and(|until| time < until)
    }

    /// The grants that are held at `time`.
    pub fn grants_in_force(&self, time: DateTime<Utc>) -> impl Iterator<Item = &Grant> {
        self.grants.values().filter(move |grant| grant.is_in_force(time))
    }

    /// The account, acting in this role.
    pub fn actor(&self, role: Role) -> Actor {
        Actor { id: self.username.clone(), role, organisation: self.organisation.clone() }
    }
}

impl Account {
    /// Whose it is, where it is registered.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Account::Unregistered => None,
            Account::Registered(holder) => Some(holder),
        }
    }
}

impl Aggregate for Account {
    type Id = AccountId;
    type Event = AccountEvent;
    const SNAPSHOT_VERSION: u16 = 2;

    fn evolve(self, event: &AccountEvent, _occurred_at: DateTime<Utc>) -> Self {
        let mut holder = match (self, event) {
            (Account::Unregistered, AccountEvent::AccountRegistered(registered)) => {
                return Account::Registered(Box::new(Holder {
                    username: registered.username.clone(),
                    organisation: registered.organisation.clone(),
                    identities: BTreeSet::new(),
                    grants: BTreeMap::new(),
                    standing: Standing::Active,
                    locked_until: None,
                    contact: Contact::default(),
                }));
            }
            (Account::Registered(holder), _) => holder,
            // Not decided by any command; the log is read all the same.
            (Account::Unregistered, _) => return Account::Unregistered,
        };
        match event {
            AccountEvent::AccountRegistered(_) => {}
            AccountEvent::IdentityLinked(linked) => {
                holder.identities.insert(linked.identity.clone());
            }
            AccountEvent::IdentityUnlinked(unlinked) => {
                holder.identities.remove(&unlinked.identity);
            }
            AccountEvent::RoleGranted(granted) => {
                let grant = Grant {
                    role: granted.role,
                    scope: granted.scope,
                    duties: granted.duties.clone(),
                    from: granted.from,
                    until: granted.until,
                };
                holder.grants.insert(granted.grant_id, grant);
            }
            AccountEvent::RoleRevoked(revoked) => {
                holder.grants.remove(&revoked.grant_id);
            }
            AccountEvent::AccountSuspended(_) => holder.standing = Standing::Suspended,
            AccountEvent::AccountReinstated(_) => {
                holder.standing = Standing::Active;
                holder.locked_until = None;
            }
            AccountEvent::AccountClosed(_) => holder.standing = Standing::Closed,
            AccountEvent::AccountContactSet(set) => holder.contact = set.contact.clone(),
            AccountEvent::AccountLocked(locked) => holder.locked_until = Some(locked.until),
        }
        Account::Registered(holder)
    }
}
