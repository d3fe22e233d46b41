//! The secret of this installation: of one log and its store of keys.

use std::sync::Arc;

use sealing::{Context, Key, KeyError, KeyStore, KeyStoreError, Keyring, Mac, Owner, OwnerKind, Purpose, Standing};
use tokio::sync::SetOnce;
use uuid::Uuid;

use crate::execute::Marks;
use crate::log::{EventLog, LogError};
use crate::sealer::Sealer;
use crate::store::Store;

/// The keys of an installation, and its secret once it was fetched. Cheap to clone.
#[derive(Clone)]
pub struct Installation {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn EventLog>,
    keys: Arc<dyn KeyStore>,
    keyring: Arc<Keyring>,
    opened: SetOnce<Opened>,
}

struct Opened {
    log_id: Uuid,
    secret: Key,
    marks: Arc<Marks>,
}

/// The secret was not fetched yet: whoever has the master key, or the store of keys, does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret of the installation is not there yet")]
pub struct NotOpen;

/// There is no secret of the installation.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// Something is in the log that a secret was needed for, and the secret is gone.
    #[error(
        "the log {0} has events, and the store of keys holds no secret of it: its keys were lost, or these are those of \
         nobody. Name the store that belongs to this log (--keys-url), or restore a copy of its keys \
         (docs/guides/keep-the-keys.md); nothing was changed"
    )]
    Lost(Uuid),
    /// The store of keys belongs to another log.
    #[error(
        "the keys are of log {found}, the log is {log}: one of the two addresses is wrong (--keys-url), or a copy of \
         other keys was restored; nothing was changed"
    )]
    OtherLog {
        /// The log that is opened.
        log: Uuid,
        /// The log that the keys are of.
        found: Uuid,
    },
    /// The log cannot be asked.
    #[error("the log does not say which one it is")]
    Log(#[from] LogError),
    /// The secret cannot be had.
    #[error("the secret of the installation cannot be had")]
    Key(#[from] KeyError),
}

impl InstallationError {
    /// Whether the same may succeed later, with nothing done about it.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) | Self::OtherLog { .. } => false,
            Self::Log(error) => matches!(error, LogError::Database { .. } | LogError::BatchFailed),
            Self::Key(error) => error.may_pass(),
        }
    }
}

impl From<KeyStoreError> for InstallationError {
    fn from(error: KeyStoreError) -> Self {
        Self::Key(error.into())
    }
}

impl Installation {
    /// That of this store; nothing is fetched yet.
    pub fn new(store: &Store, keyring: Arc<Keyring>) -> Self {
        let (log, keys) = (store.log.clone(), store.keys.clone());
        let installation = Self { inner: Arc::new(Inner { log, keys, keyring, opened: SetOnce::new() }) };
        // Who was first has the same keys.
        drop(store.sealer.set(Sealer::new(installation.clone())));
        installation
    }

    /// Fetches the secret, and keeps it for as long as the process lives; makes it where log and store of keys are
    /// new. Several processes that do so at once get the same one.
    ///
    /// # Errors
    /// [`InstallationError`]; then nothing was made.
    pub async fn open(&self) -> Result<(), InstallationError> {
        let inner = &*self.inner;
        if inner.opened.get().is_some() {
            return Ok(());
        }
        // In this order: before another process writes its first event, it makes the secret.
        let log_id = inner.log.identity().await?.log_id;
        let has_events = inner.log.head().await? > 0;
        let owner = Owner::installation(log_id);
        let standing = inner.keys.load(&[owner]).await?.pop();
        if standing.is_none_or(|standing| standing == Standing::None) {
            match self.other_log().await? {
                Some(found) if found != log_id => return Err(InstallationError::OtherLog { log: log_id, found }),
                // Made by another process in between.
                Some(_) => {}
                None if has_events => return Err(InstallationError::Lost(log_id)),
                None => {}
            }
        }
        let secret = inner.keyring.secret(log_id).await?;
        let marks = Arc::new(Marks::new(&secret));
        // Who was first has the same one.
        drop(inner.opened.set(Opened { log_id, secret, marks }));
        Ok(())
    }

    /// Whether the store holds the secret of no log at all: a master key may be made for it.
    ///
    /// # Errors
    /// [`InstallationError`].
    pub async fn is_new(store: &Store) -> Result<bool, InstallationError> {
        Ok(store.keys.page(None, 1).await?.is_empty() && store.log.head().await? == 0)
    }

    /// The log that the store of keys has a secret of.
    async fn other_log(&self) -> Result<Option<Uuid>, KeyStoreError> {
        let before = Context { owner: Owner::installation(Uuid::nil()), version: 0 };
        let first = self.inner.keys.page(Some(before), 1).await?.pop().map(|key| key.context.owner);
        Ok(first.filter(|owner| owner.kind == OwnerKind::Installation).map(|owner| owner.id))
    }

    /// Waits until the secret is there.
    pub async fn opened(&self) {
        self.inner.opened.wait().await;
    }

    /// Whether the secret is there.
    pub fn is_open(&self) -> bool {
        self.inner.opened.get().is_some()
    }

    /// Data keys.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.inner.keyring
    }

    /// What commands are known by.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn marks(&self) -> Result<&Arc<Marks>, NotOpen> {
        self.inner.opened.get().map(|opened| &opened.marks).ok_or(NotOpen)
    }

    /// The log that it is on.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn log_id(&self) -> Result<Uuid, NotOpen> {
        self.inner.opened.get().map(|opened| opened.log_id).ok_or(NotOpen)
    }

    /// Makes and verifies MACs for this purpose.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn mac(&self, purpose: Purpose) -> Result<Mac, NotOpen> {
        self.inner.opened.get().map(|opened| Mac::new(&opened.secret, purpose)).ok_or(NotOpen)
    }
}
