//! The master key, under which data keys are wrapped where they are kept.

mod file;
mod given;
#[cfg(feature = "transit")]
pub mod transit;
mod versions;

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::key::{Key, NoRandomness, NotAuthentic};
use crate::owner::Owner;

pub use file::FileMaster;
pub use given::GivenMaster;
#[cfg(feature = "transit")]
pub use transit::{TransitMaster, TransitOptions};
pub use versions::MalformedMaster;

/// What a data key is bound to while it is wrapped: whose it is, and which of the owner's keys. As text
/// `<owner>.<version>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// Whose key it is.
    pub owner: Owner,
    /// Which of the owner's keys, from 1.
    pub version: u32,
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.owner, self.version)
    }
}

/// Which version of which master key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MasterVersion {
    /// The master's name; see [`Master::name`].
    pub name: String,
    /// The version, from 1.
    pub version: u32,
}

/// A data key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// What it is wrapped with.
    pub by: MasterVersion,
    /// The wrapped key.
    pub text: String,
}

/// What a master key is asked for could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// Whoever has the master key does not answer now. It may later.
    #[error("{master} does not answer")]
    Away {
        /// Who was asked.
        master: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Whoever has the master key does not do it for us.
    #[error("{master} refused: {reason}")]
    Refused {
        /// Who was asked.
        master: String,
        /// In its own words.
        reason: String,
    },
    /// The data key was wrapped with a version of the master key that is not there.
    #[error("there is no version {} of the master key `{}`", _0.version, _0.name)]
    NoVersion(MasterVersion),
    /// The data key was not wrapped with this master key for this owner, or was altered.
    #[error("the wrapped data key of {0} cannot be opened")]
    Foreign(Owner, #[source] NotAuthentic),
    /// The file with the master key cannot be used.
    #[error("the master key in {0} cannot be used")]
    File(PathBuf, #[source] std::io::Error),
    /// The file with the master key does not hold one.
    #[error("{0} holds no master key")]
    Malformed(PathBuf, #[source] MalformedMaster),
    /// The system gives no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl MasterError {
    /// Whether the same may succeed later, with nothing done about it.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// Whoever has the master key.
#[async_trait]
pub trait Master: Send + Sync + 'static {
    /// Its name, which stands with each key that it wrapped: without `:`, the same as long as it can unwrap them.
    fn name(&self) -> &str;

    /// The version that wraps new keys now.
    async fn current(&self) -> Result<MasterVersion, MasterError>;

    /// Wraps a data key with the newest version.
    async fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, MasterError>;

    /// Unwraps a data key.
    async fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, MasterError>;

    /// Unwraps several data keys; the outer error is one that concerns all of them.
    async fn unwrap_all(&self, wrapped: &[(Wrapped, Context)]) -> Result<Vec<Result<Key, MasterError>>, MasterError> {
        let mut keys = Vec::with_capacity(wrapped.len());
        for (wrapped, context) in wrapped {
            keys.push(self.unwrap(wrapped, *context).await);
        }
        Ok(keys)
    }

    /// Wraps several data keys again, with the newest version; the outer error is one that concerns all of them.
    async fn rewrap_all(
        &self,
        wrapped: &[(Wrapped, Context)],
    ) -> Result<Vec<Result<Wrapped, MasterError>>, MasterError> {
        let mut again = Vec::with_capacity(wrapped.len());
        for (key, (_, context)) in self.unwrap_all(wrapped).await?.into_iter().zip(wrapped) {
            again.push(match key {
                Ok(key) => self.wrap(&key, *context).await,
                Err(error) => Err(error),
            });
        }
        Ok(again)
    }
}
