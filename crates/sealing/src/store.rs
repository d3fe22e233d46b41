//! Where wrapped data keys are kept.

use async_trait::async_trait;

use crate::master::{Context, Wrapped};
use crate::owner::Owner;

/// A data key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose key it is, and which of the owner's keys.
    pub context: Context,
    /// The key.
    pub wrapped: Wrapped,
}

/// How it stands with an owner's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The owner never had any.
    None,
    /// The owner has these: at least one, in the order of their versions.
    Kept(Vec<StoredKey>),
    /// They were destroyed. The owner never gets another.
    Destroyed,
}

/// The keys' store could not answer.
#[derive(Debug, thiserror::Error)]
#[error("the store of keys failed while {doing}")]
pub struct KeyStoreError {
    /// What was being done.
    pub doing: &'static str,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl KeyStoreError {
    /// Wraps an error with what was being done.
    pub fn database<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> Self {
        move |source| Self { doing, source: Box::new(source) }
    }
}

/// The storage of wrapped data keys, shared by all processes.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// How it stands with each of these owners, in their order.
    async fn load(&self, owners: &[Owner]) -> Result<Vec<Standing>, KeyStoreError>;

    /// Keeps a key, if the owner has none of this version and was not destroyed: who comes first wins. Gives how it
    /// stands with the owner now.
    async fn insert(&self, key: &StoredKey) -> Result<Standing, KeyStoreError>;

    /// Keeps `to` in place of `from`, if that is what is kept; tells whether it was.
    async fn replace(&self, context: Context, from: &Wrapped, to: &Wrapped) -> Result<bool, KeyStoreError>;

    /// Removes an owner's keys for good, and remembers that; tells whether they were not destroyed before.
    async fn destroy(&self, owner: Owner) -> Result<bool, KeyStoreError>;

    /// Keys in the order of owner and version, behind `after`.
    async fn page(&self, after: Option<Context>, limit: u32) -> Result<Vec<StoredKey>, KeyStoreError>;
}
