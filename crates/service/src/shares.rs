//! How much of something each account may hold at once, so that one of them does not hold it all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;

use crate::problem::Problem;

/// Seconds after which a share may be free again.
const RETRY_SECONDS: u32 = 1;

/// The shares that accounts have of one thing.
#[derive(Clone)]
pub struct Shares {
    held: Arc<Mutex<HashMap<String, usize>>>,
    max: usize,
    limit: Limit,
}

/// A limit of one account, as it is told to who goes beyond it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The setting that changes it.
    pub setting: &'static str,
    /// The rule's name in problem documents.
    pub rule: &'static str,
    /// What it is a limit of, such as `requests at once`.
    pub of: &'static str,
}

impl Limit {
    /// 429: this account is at `max`; counted under the setting's name.
    pub(crate) fn reached(self, max: impl std::fmt::Display, retry_after_seconds: u32) -> Problem {
        let Limit { setting, rule, of } = self;
        metrics::counter!("anamnesis_http_limited_total", "limit" => setting).increment(1);
        let detail = format!("An account may have at most {max} {of} (`{setting}`). Try again later.");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, rule, detail).retry_after(retry_after_seconds)
    }
}

impl Shares {
    /// At most `max` for each account.
    pub fn new(limit: Limit, max: usize) -> Self {
        Self { held: Arc::default(), max, limit }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more for this account, until it is dropped.
    ///
    /// # Errors
    /// A 429 problem that names the limit, where the account has as many as it may.
    pub fn take(&self, account: &str) -> Result<Share, Problem> {
        self.take_many(account, 1)
    }

    /// So many more for this account, until they are dropped.
    ///
    /// # Errors
    /// As [`Shares::take`].
    pub fn take_many(&self, account: &str, count: usize) -> Result<Share, Problem> {
        let mut share = Share { shares: self.clone(), account: account.to_owned(), count: 0 };
        share.grow(count)?;
        Ok(share)
    }
}

/// What one account holds.
pub struct Share {
    shares: Shares,
    account: String,
    count: usize,
}

impl Share {
    /// So much more.
    ///
    /// # Errors
    /// As [`Shares::take`]; what was held is held still.
    pub fn grow(&mut self, more: usize) -> Result<(), Problem> {
        let mut held = self.shares.held();
        let count = held.get(&self.account).copied().unwrap_or(0);
        let grown = count.checked_add(more).filter(|grown| *grown <= self.shares.max);
        let Some(grown) = grown else {
            drop(held);
            return Err(self.shares.limit.reached(self.shares.max, RETRY_SECONDS));
        };
        match held.get_mut(&self.account) {
            Some(count) => *count = grown,
            None => drop(held.insert(self.account.clone(), grown)),
        }
        drop(held);
        self.count += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        if let Some(count) = held.get_mut(&self.account) {
            *count = count.saturating_sub(self.count);
            if *count == 0 {
                held.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, Shares};

    #[test]
    fn a_share_is_free_again_when_it_is_dropped_and_nothing_is_kept_of_who_holds_none() {
        let shares = Shares::new(Limit { setting: "some_max", rule: "too-many", of: "things" }, 2);
        let (first, second) = (shares.take("a").expect("one"), shares.take("a").expect("two"));
        let refused = shares.take("a").err().expect("no third");
        assert_eq!((refused.status().as_u16(), refused.rule()), (429, "too-many"));
        assert!(shares.take("b").is_ok(), "another account has its own");
        drop(first);
        assert!(shares.take("a").is_ok());
        drop(second);
        assert!(shares.held().is_empty());
        let mut grown = shares.take("a").expect("one");
        grown.grow(1).expect("two");
        assert!(grown.grow(1).is_err() && shares.take("a").is_err());
        drop(grown);
        assert!(shares.held().is_empty());
    }
}
