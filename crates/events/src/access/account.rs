//! Events of an `account` stream: who acts, and what they may do where.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Duty;
use crate::envelope::{References, Role};
use crate::ids::{PatientId, SiteId, TrialId};
use crate::messaging::contact::Contact;
use crate::values::{Personal, Prose};

/// Where a role is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scope {
    /// Everywhere.
    Installation,
    /// In one trial, at all of its sites.
    Trial {
        /// The trial.
        trial_id: TrialId,
    },
    /// At one site of a trial.
    Site {
        /// The trial.
        trial_id: TrialId,
        /// The site.
        site_id: SiteId,
    },
    /// On one patient: oneself.
    Patient {
        /// The patient.
        patient_id: PatientId,
    },
}

impl Scope {
    /// Whether what is about these lies within.
    pub fn covers(&self, about: &References) -> bool {
        match self {
            Scope::Installation => true,
            Scope::Trial { trial_id } => about.trial_id == Some(*trial_id),
            Scope::Site { trial_id, site_id } => about.trial_id == Some(*trial_id) && about.site_id == Some(*site_id),
            Scope::Patient { patient_id } => about.patient_id == Some(*patient_id),
        }
    }
}

/// An account as an issuer of tokens knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkedIdentity {
    /// The issuer (`iss` of its tokens).
    pub issuer: String,
    /// Whom the issuer means (`sub` of its tokens).
    pub subject: String,
}

/// An account was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRegistered {
    /// By which it is known in histories; given once and to nobody else ever (21 CFR 11.100(a)).
    pub username: String,
    /// The person's name as it is printed beside what they sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed_name: Option<Personal<String>>,
    /// The organisation for which the account acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

/// Tokens of an issuer for this subject speak for the account from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityLinked {
    /// The identity.
    pub identity: LinkedIdentity,
}

/// Tokens of an issuer for this subject no longer speak for the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityUnlinked {
    /// The identity.
    pub identity: LinkedIdentity,
    /// Why.
    pub reason: Prose,
}

/// A role was given to the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleGranted {
    /// Names the grant.
    pub grant_id: Uuid,
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// The duties that were delegated, where these are not all of the role's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duties: Option<Vec<Duty>>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when, where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// A role was taken from the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleRevoked {
    /// The grant.
    pub grant_id: Uuid,
    /// Why.
    pub reason: Prose,
}

/// The account may do nothing for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSuspended {
    /// Why.
    pub reason: Prose,
}

/// The account may act again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountReinstated {
    /// Why.
    pub reason: Prose,
}

/// The account was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountClosed {
    /// Why.
    pub reason: Prose,
}

/// The account was locked by rule, because too much of what it asked for was refused (21 CFR 11.300(d)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountLocked {
    /// How much was refused.
    pub refusals: u32,
    /// Until when, unless it is reinstated before.
    pub until: DateTime<Utc>,
}

/// How the account is reached, in place of what was known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountContactSet {
    /// How.
    pub contact: Contact,
}

event_set! {
    /// What can happen to an account.
    pub enum AccountEvent in Account {
        AccountRegistered = 1;
        IdentityLinked = 1;
        IdentityUnlinked = 1;
        RoleGranted = 1;
        RoleRevoked = 1;
        AccountSuspended = 1;
        AccountReinstated = 1;
        AccountClosed = 1;
        AccountLocked = 1;
        AccountContactSet = 1;
    }
}
