//! Whose token it is: from an identity to the account for which it speaks, and what that account holds now.

use std::collections::BTreeSet;
use std::sync::Arc;

use authority::{Account, Holder, Identity, Sight, Standing};
use chrono::{DateTime, Utc};
use decider::{Fact, Need};
use event_store::clock;
use event_store::execute::fold_on;
use event_store::log::{EventLog, LogError};
use events::access::Duty;
use events::ids::{AccountId, IdentityId, StreamId, StreamKey as _};
use moka::sync::Cache;

use crate::problem::Problem;

/// Accounts and identities that are kept folded.
const KEPT_MAX: u64 = 20_000;
/// Seconds after which a database that is away is worth another try.
const UNAVAILABLE_SECONDS: u32 = 2;

/// The accounts, as the log tells them.
#[derive(Clone)]
pub struct Accounts {
    log: Arc<dyn EventLog>,
    // Of each incarnation of the log: what one that went back said counts no longer.
    kept: Cache<(u64, StreamId), Fact>,
}

/// An account as it was looked at.
#[derive(Clone, Debug)]
pub struct Known {
    /// Which.
    pub account_id: AccountId,
    /// By which it is known in histories.
    pub username: Arc<str>,
    /// What lies in sight of it.
    pub sight: Arc<Sight>,
    /// The duties that it has anywhere.
    pub duties: Arc<BTreeSet<Duty>>,
    /// When a grant begins or ends next: until then the sight is that, unless the account changes.
    pub changes_at: Option<DateTime<Utc>>,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum NotLetIn {
    /// No account is linked to the identity.
    #[error("no account is linked to the token")]
    NoAccount,
    /// The account may not act.
    #[error("the account may not act: {0}")]
    MayNotAct(&'static str),
    /// The account holds no role now.
    #[error("the account holds no role")]
    NoRole,
    /// The log does not answer.
    #[error("the accounts cannot be read")]
    Log(#[source] LogError),
}

impl Accounts {
    /// As this log tells them.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, kept: Cache::new(KEPT_MAX) }
    }

    /// The account for which an identity speaks, as it stands now.
    ///
    /// # Errors
    /// [`NotLetIn`].
    pub async fn of(&self, identity_id: IdentityId) -> Result<Known, NotLetIn> {
        if let Some((account_id, account)) = self.unchanged(identity_id).await? {
            return known(account_id, &account);
        }
        let identity = self.read(Need::of::<Identity>(identity_id)).await?;
        let account_id = account_of(&identity).ok_or(NotLetIn::NoAccount)?;
        let account = self.read(Need::of::<Account>(account_id)).await?;
        known(account_id, &account)
    }

    /// What is kept of both, where the log holds no more of either: one question instead of two.
    async fn unchanged(&self, identity_id: IdentityId) -> Result<Option<(AccountId, Fact)>, NotLetIn> {
        let Some(identity) = self.kept(&Need::of::<Identity>(identity_id)) else { return Ok(None) };
        let Some(account_id) = account_of(&identity) else { return Ok(None) };
        let Some(account) = self.kept(&Need::of::<Account>(account_id)) else { return Ok(None) };
        let seen = [(identity_id.stream(), identity.version), (account_id.stream(), account.version)];
        let grown = self.log.compare(&seen).await.map_err(NotLetIn::Log)?.grown;
        Ok(grown.is_empty().then_some((account_id, account)))
    }

    /// The same, perhaps as it stood a while ago: for whoever decides with the account itself.
    ///
    /// # Errors
    /// [`NotLetIn`].
    pub async fn of_lately(&self, identity_id: IdentityId) -> Result<Known, NotLetIn> {
        let identity = self.kept(&Need::of::<Identity>(identity_id));
        if let Some(account_id) = identity.as_ref().and_then(account_of)
            && let Some(account) = self.kept(&Need::of::<Account>(account_id))
            && let Ok(known) = known(account_id, &account)
        {
            return Ok(known);
        }
        self.of(identity_id).await
    }

    fn kept(&self, need: &Need) -> Option<Fact> {
        self.kept.get(&(*self.log.incarnation().borrow(), need.stream))
    }

    /// The stream as it stands: what is kept of it, and what the log holds beyond.
    async fn read(&self, need: Need) -> Result<Fact, NotLetIn> {
        let key = (*self.log.incarnation().borrow(), need.stream);
        let known = self.kept.get(&key).unwrap_or_else(|| Fact::absent(&need.fold));
        let begun_at = known.version;
        let fact = fold_on(&*self.log, need.stream, &need.fold, known).await.map_err(NotLetIn::Log)?;
        // What does not exist is not kept: whoever makes up identities fills nothing.
        if fact.version > begun_at {
            self.kept.insert(key, fact.clone());
        }
        Ok(fact)
    }
}

fn account_of(identity: &Fact) -> Option<AccountId> {
    identity.of::<Identity>().and_then(|identity| identity.account())
}

fn known(account_id: AccountId, account: &Fact) -> Result<Known, NotLetIn> {
    let holder = account.of::<Account>().and_then(Account::holder).ok_or(NotLetIn::NoAccount)?;
    let now = clock::now();
    match holder.standing {
        Standing::Suspended => return Err(NotLetIn::MayNotAct("it is suspended")),
        Standing::Closed => return Err(NotLetIn::MayNotAct("it was closed")),
        Standing::Active if holder.is_locked(now) => {
            return Err(NotLetIn::MayNotAct(
                "it is locked for a while, because too much of what it asked for was refused",
            ));
        }
        Standing::Active => {}
    }
    Ok(Known {
        account_id,
        username: holder.username.as_str().into(),
        sight: Arc::new(Sight::of(holder.grants_in_force(now))),
        duties: Arc::new(duties(holder, now)),
        changes_at: changes_at(holder, now),
    })
}

/// The duties that come with the grants.
fn duties(holder: &Holder, now: DateTime<Utc>) -> BTreeSet<Duty> {
    let held = |duty: &Duty| holder.grants_in_force(now).any(|grant| grant.has(*duty));
    Duty::ALL.into_iter().filter(held).collect()
}

/// When the next grant begins or ends.
fn changes_at(holder: &Holder, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let times = holder.grants.values().flat_map(|grant| [Some(grant.from), grant.until]).flatten();
    times.filter(|time| *time > now).min()
}

impl From<NotLetIn> for Problem {
    fn from(error: NotLetIn) -> Self {
        match error {
            NotLetIn::NoAccount => Problem::new(
                axum::http::StatusCode::FORBIDDEN,
                "no-account",
                "The token is good, but no account here is linked to it. Ask an administrator for one.",
            ),
            NotLetIn::MayNotAct(why) => Problem::new(
                axum::http::StatusCode::FORBIDDEN,
                "account-may-not-act",
                format!("The account may do nothing: {why}. Ask an administrator."),
            ),
            NotLetIn::NoRole => Problem::new(
                axum::http::StatusCode::FORBIDDEN,
                "no-role",
                "The account holds no role now, so it reads nothing. Ask an administrator for one.",
            ),
            NotLetIn::Log(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "accounts cannot be read");
                let detail = "The database cannot be used; the server's log says why.";
                Problem::unavailable("database-unavailable", detail, UNAVAILABLE_SECONDS)
            }
        }
    }
}
