//! Wrapping all keys again, after the master key was rotated or another took its place.

use super::{KeyError, Keyring};
use crate::master::{MasterVersion, Wrapped};
use crate::store::StoredKey;

/// Keys that are wrapped again at once.
const PAGE: u32 = 200;

/// What came of wrapping all keys again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The version that they are wrapped with.
    pub to: MasterVersion,
    /// Keys that were looked at, in the last pass.
    pub seen: u64,
    /// Keys that were wrapped again, in all passes.
    pub rewrapped: u64,
    /// Keys that could not be, in the last pass; the log says why. The versions that wrap them must be kept.
    pub failed: u64,
}

impl Keyring {
    /// Wraps every key with the newest version of the master key, while others make, use and destroy keys. It may be
    /// broken off and begun again at any time. `progress` is told after each page.
    ///
    /// # Errors
    /// [`KeyError`] where the store or the master key fails as a whole; what was done stays.
    pub async fn rewrap(&self, mut progress: impl FnMut(&Rewrapped) + Send) -> Result<Rewrapped, KeyError> {
        let mut rewrapped = 0;
        loop {
            let to = self.master.current().await?;
            let mut pass = Rewrapped { to, seen: 0, rewrapped, failed: 0 };
            let mut after = None;
            loop {
                let page = self.store.page(after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.context);
                self.rewrap_page(page, &mut pass).await?;
                progress(&pass);
            }
            // Who had seen the version before wrapped with it meanwhile, behind our back: until there is none.
            if pass.rewrapped == rewrapped {
                return Ok(pass);
            }
            rewrapped = pass.rewrapped;
        }
    }

    async fn rewrap_page(&self, page: Vec<StoredKey>, pass: &mut Rewrapped) -> Result<(), KeyError> {
        pass.seen += page.len() as u64;
        let is_old = |by: &MasterVersion| by.name != pass.to.name || by.version < pass.to.version;
        let old: Vec<StoredKey> = page.into_iter().filter(|key| is_old(&key.wrapped.by)).collect();
        for (key, again) in self.wrap_again(old).await? {
            match again {
                Ok(wrapped) => {
                    let replaced = self.store.replace(key.context, &key.wrapped, &wrapped).await?;
                    // Otherwise it was destroyed, or wrapped again by another.
                    pass.rewrapped += u64::from(replaced);
                }
                Err(error) => {
                    let owner = key.context.owner;
                    tracing::error!(%owner, error = &error as &dyn std::error::Error, "a key cannot be wrapped again");
                    pass.failed += 1;
                }
            }
        }
        Ok(())
    }

    /// Wraps keys again: by the master key itself what it wrapped, so that it need not be unwrapped here.
    async fn wrap_again(&self, keys: Vec<StoredKey>) -> Result<Vec<(StoredKey, Result<Wrapped, KeyError>)>, KeyError> {
        let (own, other): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.wrapped.by.name == self.master.name());
        let asked: Vec<_> = own.iter().map(|key| (key.wrapped.clone(), key.context)).collect();
        let answers = if asked.is_empty() { Vec::new() } else { self.master.rewrap_all(&asked).await? };
        let answers = answers.into_iter().map(|answer| answer.map_err(KeyError::Master));
        let mut again: Vec<_> = own.into_iter().zip(answers).collect();
        let unwrapped = self.unwrap_keys(&other).await?;
        for (stored, key) in other.into_iter().zip(unwrapped) {
            let wrapped = match key {
                Ok(key) => self.master.wrap(&key, stored.context).await.map_err(KeyError::Master),
                Err(error) => Err(error),
            };
            again.push((stored, wrapped));
        }
        Ok(again)
    }
}
