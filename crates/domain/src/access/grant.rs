//! Granting roles, revoking them, and delegating duties at a site.

use authority::{Grant, matrix};
use chrono::{DateTime, Utc};
use decider::{Command, Context, Decision, Facts, Halt};
use events::access::Duty;
use events::access::account::{RoleGranted, RoleRevoked, Scope};
use events::envelope::{References, Role};
use events::ids::{AccountId, SiteId, derive_id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::account::of_another;
use crate::patient;
use crate::site::{Site, SiteError};
use crate::trial;
use crate::validate::{self, CLOCK_SKEW_MAX, Invalid};

/// Grants that an account may hold at once.
const GRANTS_MAX: usize = 200;

/// Delegations of one site that an account may hold at once: no site fills the grants of somebody who works at others, too.
const DELEGATIONS_MAX: usize = 20;

/// Gives an account a role in a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRole {
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// From when on; by default now. Nothing is granted for the past.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    /// Until when; by default until it is revoked.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
}

/// Takes a role from an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRole {
    /// The grant, as the account tells it.
    pub grant_id: Uuid,
    /// Why.
    pub reason: String,
}

/// Delegates duties at a site to somebody who then acts as its coordinator (ICH E6(R3), 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegateDuties {
    /// The site.
    pub site_id: SiteId,
    /// Which of a coordinator's duties.
    pub duties: Vec<Duty>,
    /// From when on; by default now.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    /// Until when; by default until the delegation is ended.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
}

/// Ends a delegation of duties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndDelegation {
    /// The grant that the delegation is.
    pub grant_id: Uuid,
    /// Why.
    pub reason: String,
}

rules! {
    /// Why a grant is refused.
    pub enum GrantError {
        DoesNotFit => DOES_NOT_FIT = "role-scope-mismatch":
            "the role cannot be held in this scope: an administrator's is the installation, a participant's is one \
             patient, nobody else's is", field "scope";
        NotGranted => NOT_GRANTED = "grant-not-found": "the account holds no such grant", field "grant_id";
        NotDelegated => NOT_DELEGATED = "grant-not-delegated":
            "the grant is no delegation of duties: an administrator revokes it", field "grant_id";
        OtherWork => OTHER_WORK = "account-not-of-a-site":
            "the account has a role that is no site's: whoever is not site staff gets roles from an administrator";
        NotACoordinators(duty: String) => NOT_A_COORDINATORS = "duty-not-delegable":
            "`{0}` is no duty of a coordinator", field "duties";
    }
}

/// From when until when a grant holds.
fn span(
    context: &Context,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<(DateTime<Utc>, Option<DateTime<Utc>>), Invalid> {
    let out_of_range =
        |field: &str, expected: &str| Invalid::OutOfRange { field: field.to_owned(), expected: expected.to_owned() };
    let from = from.unwrap_or(context.now);
    if from < context.now - CLOCK_SKEW_MAX {
        return Err(out_of_range("from", "now or later: nothing is granted for the past"));
    }
    if until.is_some_and(|until| until <= from.max(context.now)) {
        return Err(out_of_range("until", "later than now and than `from`"));
    }
    Ok((from.max(context.now), until))
}

/// What a grant in the scope is about; the scope exists.
fn about(facts: &Facts, scope: &Scope) -> Result<References, Halt> {
    match *scope {
        Scope::Installation => Ok(References::default()),
        Scope::Trial { trial_id } => {
            trial::registered(facts, trial_id, Some("scope/trial_id"))?;
            Ok(References::trial(trial_id))
        }
        Scope::Site { trial_id, site_id } => {
            let identity = facts.get::<Site>(site_id)?.identity(site_id, Some("scope/site_id"))?;
            if identity.trial_id != trial_id {
                return Err(SiteError::OtherTrial.into());
            }
            Ok(References::site(trial_id, site_id))
        }
        Scope::Patient { patient_id } => {
            patient::registered(facts, patient_id, Some("scope/patient_id"))?;
            Ok(References::patient(patient_id))
        }
    }
}

fn grant(context: &Context, facts: &Facts, account_id: AccountId, granted: RoleGranted) -> Result<Decision, Halt> {
    let about = about(facts, &granted.scope)?;
    let holder = of_another(context, facts, account_id)?;
    let decision = Decision::new(about, context.now);
    let is_same = |held: &Grant| {
        held.role == granted.role
            && held.scope == granted.scope
            && held.duties == granted.duties
            && held.until == granted.until
            && held.from <= granted.from
    };
    if holder.grants.values().any(is_same) {
        return Ok(decision);
    }
    validate::count("role", holder.grants.len() + 1, GRANTS_MAX)?;
    Ok(decision.append(account_id, granted))
}

/// Names a grant: the command that made it.
fn grant_id(context: &Context) -> Uuid {
    derive_id("grant", &[context.command_id.as_bytes()])
}

impl Command for GrantRole {
    type Target = AccountId;
    const NAME: &'static str = "GrantRole";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (from, until) = span(context, self.from, self.until)?;
        if !matrix::fits(self.role, &self.scope) {
            return Err(GrantError::DoesNotFit.into());
        }
        let (role, scope) = (self.role, self.scope);
        let granted = RoleGranted { grant_id: grant_id(context), role, scope, duties: None, from, until };
        grant(context, facts, account_id, granted)
    }
}

impl Command for DelegateDuties {
    type Target = AccountId;
    const NAME: &'static str = "DelegateDuties";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (from, until) = span(context, self.from, self.until)?;
        let role = Role::Coordinator;
        if self.duties.is_empty() {
            return Err(Invalid::Missing { field: "duties".to_owned() }.into());
        }
        validate::count("duties", self.duties.len(), Duty::ALL.len())?;
        if let Some(other) = self.duties.iter().find(|duty| !matrix::has_duty(role, **duty)) {
            let word = serde_json::to_value(other).ok();
            let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default();
            return Err(GrantError::NotACoordinators(word.to_owned()).into());
        }
        let mut duties = self.duties.clone();
        duties.sort_unstable();
        duties.dedup();
        let trial_id = facts.get::<Site>(self.site_id)?.identity(self.site_id, Some("site_id"))?.trial_id;
        let scope = Scope::Site { trial_id, site_id: self.site_id };
        let holder = of_another(context, facts, account_id)?;
        let is_of_a_site = |grant: &Grant| matches!(grant.role, Role::Coordinator | Role::Investigator);
        if !holder.grants.values().all(is_of_a_site) {
            return Err(GrantError::OtherWork.into());
        }
        let delegated = holder.grants.values().filter(|grant| grant.scope == scope && grant.duties.is_some()).count();
        validate::count("duties", delegated + 1, DELEGATIONS_MAX)?;
        let granted = RoleGranted { grant_id: grant_id(context), role, scope, duties: Some(duties), from, until };
        grant(context, facts, account_id, granted)
    }
}

impl Command for RevokeRole {
    type Target = AccountId;
    const NAME: &'static str = "RevokeRole";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        revoke(context, facts, account_id, self.grant_id, &self.reason, false)
    }
}

impl Command for EndDelegation {
    type Target = AccountId;
    const NAME: &'static str = "EndDelegation";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        revoke(context, facts, account_id, self.grant_id, &self.reason, true)
    }
}

fn revoke(
    context: &Context,
    facts: &Facts,
    account_id: AccountId,
    grant_id: Uuid,
    reason: &str,
    only_delegated: bool,
) -> Result<Decision, Halt> {
    validate::prose("reason", reason)?;
    let holder = of_another(context, facts, account_id)?;
    let Some(held) = holder.grants.get(&grant_id) else { return Err(GrantError::NotGranted.into()) };
    if only_delegated && held.duties.is_none() {
        return Err(GrantError::NotDelegated.into());
    }
    let about = match held.scope {
        Scope::Installation => References::default(),
        Scope::Trial { trial_id } => References::trial(trial_id),
        Scope::Site { trial_id, site_id } => References::site(trial_id, site_id),
        Scope::Patient { patient_id } => References::patient(patient_id),
    };
    let revoked = RoleRevoked { grant_id, reason: reason.into() };
    Ok(Decision::new(about, context.now).append(account_id, revoked))
}
