//! Why there is no key.

use crate::key::NoRandomness;
use crate::master::{Context, MasterError};
use crate::owner::Owner;
use crate::store::KeyStoreError;

/// There is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The owner's keys were destroyed: what was sealed under them is unreadable for good.
    #[error("the keys of {0} were destroyed")]
    Destroyed(Owner),
    /// There never was such a key here.
    #[error("{} has no key of version {}", _0.owner, _0.version)]
    Missing(Context),
    /// The key was wrapped with a master key that this process does not have.
    #[error("the key was wrapped with the master key `{0}`, which is not known here")]
    OtherMaster(String),
    /// The secret of the installation is needed for as long as there is a log.
    #[error("the secret of the installation is never destroyed")]
    Installation,
    /// The store of keys failed.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The master key failed.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// The system gives no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl KeyError {
    /// Whether the same may succeed later, with nothing done about it.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Master(error) => error.may_pass(),
            _ => false,
        }
    }
}
