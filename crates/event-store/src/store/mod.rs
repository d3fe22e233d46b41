//! Opening the storage: one address for the log, one for what is derived from it, one for keys, all ports.

mod connections;
mod error;
mod open;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use sealing::KeyStore;

use crate::checkpoints::CheckpointStore;
use crate::leases::LeaseStore;
use crate::log::EventLog;
use crate::postgres::{self, Pool};
use crate::readings::ReadingStore;
use crate::sagas::SagaStore;
use crate::sealer::Sealer;
use crate::sqlite::{self, BackedUp, BackupError, Folder};
use crate::views::{ViewError, ViewStore, ViewWaits};

pub use connections::ConnectionUse;
pub use error::{OpenError, Said};
pub use open::migrate;

/// How the storage is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where views, process managers and leases are kept. By default beside the log: in the same folder or database.
    pub derived_url: Option<String>,
    /// Where wrapped data keys are kept. By default beside the log: in the same folder or database. Elsewhere, no one
    /// backup holds what is sealed together with its keys.
    pub keys_url: Option<String>,
    /// Brings the schemas up to date first.
    pub migrate: bool,
    /// Connections to PostgreSQL beside the writer's, to each server.
    pub connections_max: u32,
    /// How long an append waits for a database that is away.
    pub append_give_up_after: Duration,
    /// How long the writer waits for an answer of PostgreSQL before it takes its connection for dead and
    /// tries the batch again on another one.
    pub answer_within: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            derived_url: None,
            keys_url: None,
            migrate: true,
            connections_max: 16,
            append_give_up_after: Duration::from_secs(15),
            answer_within: Duration::from_secs(6),
        }
    }
}

/// How long connections may take to close.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Everything that is stored, behind its ports.
#[derive(Clone)]
pub struct Store {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The checkpoints of consumers outside, kept with the log.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The views.
    pub views: Arc<dyn ViewStore>,
    /// Who waits for the views.
    pub view_waits: ViewWaits,
    /// The process managers.
    pub sagas: Arc<dyn SagaStore>,
    /// The leases.
    pub leases: Arc<dyn LeaseStore>,
    /// The wrapped data keys.
    pub keys: Arc<dyn KeyStore>,
    /// The readings of wearables.
    pub readings: Arc<dyn ReadingStore>,
    // Set where this process has the keys.
    pub(crate) sealer: Arc<OnceLock<Sealer>>,
    engine: Engine,
}

/// The connections, by what they lead to. On PostgreSQL derived data and keys have their own where they are in another
/// database than the log.
#[derive(Clone)]
enum Engine {
    Postgres { log: Pool, derived: Option<Pool>, keys: Option<Pool> },
    Sqlite(Folder),
}

impl Store {
    /// Opens the storage at `url`: `postgres://…`, or `sqlite:<folder>` for the embedded engine.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<'caller>(
        url: &'caller str,
        options: &'caller StoreOptions,
    ) -> LocalBoxFuture<'caller, Result<Self, OpenError>> {
        // So that its code is compiled here, and not where it is awaited.
        Box::pin(open::open(url, options))
    }

    /// What opens and seals, where this process has an [`Installation`](crate::Installation) on this store.
    pub fn sealer(&self) -> Option<&Sealer> {
        self.sealer.get()
    }

    /// Forgets views, process managers' instances, their steps and how far they have come, in one
    /// transaction: whoever keeps them makes them again from the log, and sends nothing twice.
    ///
    /// # Errors
    /// [`ViewError`]; then nothing is forgotten.
    pub async fn forget_derived(&self) -> Result<(), ViewError> {
        match &self.engine {
            Engine::Postgres { log, derived, .. } => postgres::forget_derived(derived.as_ref().unwrap_or(log)).await,
            Engine::Sqlite(folder) => sqlite::forget_derived(&folder.derived).await,
        }
    }

    /// Copies the log of the embedded engine into the file `to`, which must not exist, while it is written, and reads
    /// the copy through.
    ///
    /// # Errors
    /// [`BackupError`]; nothing is left of the copy then.
    pub async fn back_up(&self, to: &Path) -> Result<BackedUp, BackupError> {
        match &self.engine {
            Engine::Postgres { .. } => Err(BackupError::NotEmbedded),
            Engine::Sqlite(folder) => sqlite::backup(&folder.log, to).await,
        }
    }

    /// Copies the wrapped data keys of the embedded engine as [`Store::back_up`] does the log, and says how many there are.
    ///
    /// # Errors
    /// [`BackupError`]; nothing is left of the copy then.
    pub async fn back_up_keys(&self, to: &Path) -> Result<u64, BackupError> {
        match &self.engine {
            Engine::Postgres { .. } => Err(BackupError::NotEmbedded),
            Engine::Sqlite(folder) => sqlite::backup_keys(&folder.keys, to).await,
        }
    }

    /// Copies the readings of wearables of the embedded engine as [`Store::back_up`] does the log, and says how many chunks there
    /// are.
    ///
    /// # Errors
    /// [`BackupError`]; nothing is left of the copy then.
    pub async fn back_up_readings(&self, to: &Path) -> Result<u64, BackupError> {
        match &self.engine {
            Engine::Postgres { .. } => Err(BackupError::NotEmbedded),
            Engine::Sqlite(folder) => sqlite::backup_readings(&folder.readings, to).await,
        }
    }

    /// Closes all connections, within a bound: one that is silent is left to the operating system.
    /// Callers that still wait are told.
    pub async fn close(&self) {
        let closing = async {
            match &self.engine {
                Engine::Postgres { log, derived, keys } => {
                    for pool in [Some(log), derived.as_ref(), keys.as_ref()].into_iter().flatten() {
                        pool.close().await;
                    }
                }
                Engine::Sqlite(folder) => folder.close().await,
            }
        };
        if tokio::time::timeout(CLOSE_MAX, closing).await.is_err() {
            tracing::warn!("connections to the database did not close in time");
        }
    }
}
