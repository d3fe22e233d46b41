//! Opening the storage: one address, all ports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use sqlx::PgPool;
use sqlx::migrate::MigrateError;

use crate::checkpoints::CheckpointStore;
use crate::leases::LeaseStore;
use crate::log::EventLog;
use crate::migrations;
use crate::postgres::{self, AddressError, PostgresCoordination, PostgresLog, PostgresSagas, PostgresViews, Primary};
use crate::sagas::SagaStore;
use crate::sqlite::{self, SqliteCoordination, SqliteLog, SqlitePools, SqliteSagas, SqliteViews};
use crate::views::{ViewError, ViewStore, ViewWaits};

/// How the storage is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Brings the schema up to date first.
    pub migrate: bool,
    /// Connections to PostgreSQL beside the writer's.
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
            migrate: true,
            connections_max: 16,
            append_give_up_after: Duration::from_secs(15),
            answer_within: Duration::from_secs(10),
        }
    }
}

/// How long connections may take to close.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Why the storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is neither PostgreSQL's nor a file's.
    #[error("the database address must begin with `postgres://` or `sqlite:`")]
    Address,
    /// PostgreSQL's address cannot be read, or asks for what is not supported.
    #[error(transparent)]
    Unreadable(AddressError),
    /// The folder of the file could not be made.
    #[error("the folder {0} cannot be made")]
    Folder(PathBuf, #[source] std::io::Error),
    /// The embedded engine's file cannot be used.
    #[error("the file {0} cannot be used; the file and its folder must exist and be writable for this user")]
    File(PathBuf, #[source] sqlx::Error),
    /// Another process could not be kept from migrating at the same time.
    #[error("the file {0}, by which one process at a time migrates, cannot be locked")]
    Lock(PathBuf, #[source] std::io::Error),
    /// The database could not be reached.
    #[error("the database cannot be reached")]
    Connect(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[source] MigrateError),
}

/// Everything that is stored, behind its ports.
#[derive(Clone)]
pub struct Store {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The views.
    pub views: Arc<dyn ViewStore>,
    /// Who waits for the views.
    pub view_waits: ViewWaits,
    /// The process managers.
    pub sagas: Arc<dyn SagaStore>,
    /// The leases.
    pub leases: Arc<dyn LeaseStore>,
    /// The checkpoints.
    pub checkpoints: Arc<dyn CheckpointStore>,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Postgres(PgPool),
    Sqlite(Box<SqlitePools>),
}

impl Store {
    /// Opens the storage at `url`: `postgres://…` or `sqlite:<path>`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<'caller>(
        url: &'caller str,
        options: &'caller StoreOptions,
    ) -> LocalBoxFuture<'caller, Result<Self, OpenError>> {
        Box::pin(async move {
            match Address::parse(url)? {
                Address::Postgres(url) => Self::open_postgres(url, options).await,
                Address::Sqlite(path) => Self::open_sqlite(path, options).await,
            }
        })
    }

    async fn open_postgres(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        let primary = Primary::new(url).map_err(OpenError::Unreadable)?;
        let pool = postgres::connect(&primary, options.connections_max).await.map_err(OpenError::Connect)?;
        if options.migrate {
            migrations::POSTGRES.run(&pool).await.map_err(OpenError::Migrate)?;
        }
        let coordination = Arc::new(PostgresCoordination::open(pool.clone()));
        let views = Arc::new(PostgresViews::open(pool.clone()));
        Ok(Self {
            log: Arc::new(PostgresLog::open(
                &primary,
                pool.clone(),
                options.append_give_up_after,
                options.answer_within,
            )),
            sagas: Arc::new(PostgresSagas::open(pool.clone(), views.clone())),
            view_waits: ViewWaits::new(views.clone()),
            views,
            leases: coordination.clone(),
            checkpoints: coordination,
            engine: Engine::Postgres(pool),
        })
    }

    async fn open_sqlite(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder(folder.to_owned(), source))?;
        }
        let unusable = |source| OpenError::File(path.to_owned(), source);
        let migrating = if options.migrate { Some(only_one_migrates(path).await?) } else { None };
        let pools = sqlite::connect(path).await.map_err(unusable)?;
        let mut connection = pools.write.turn().await.map_err(unusable)?;
        // A file that can only be read opens as well as any other; commands would find it out one by one.
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut *connection).await.map_err(unusable)?;
        if options.migrate {
            migrations::SQLITE.run(&mut *connection).await.map_err(OpenError::Migrate)?;
        }
        drop((connection, migrating));
        let coordination = Arc::new(SqliteCoordination::open(pools.clone()));
        let views = Arc::new(SqliteViews::open(pools.clone()));
        Ok(Self {
            log: Arc::new(SqliteLog::open(pools.clone(), options.append_give_up_after)),
            sagas: Arc::new(SqliteSagas::open(pools.clone(), views.clone())),
            view_waits: ViewWaits::new(views.clone()),
            views,
            leases: coordination.clone(),
            checkpoints: coordination,
            engine: Engine::Sqlite(Box::new(pools)),
        })
    }

    /// Forgets views, process managers' instances, their steps and how far they have come, in one
    /// transaction: whoever keeps them makes them again from the log, and sends nothing twice.
    ///
    /// # Errors
    /// [`ViewError`]; then nothing is forgotten.
    pub async fn forget_derived(&self) -> Result<(), ViewError> {
        match &self.engine {
            Engine::Postgres(pool) => postgres::forget_derived(pool).await,
            Engine::Sqlite(pools) => sqlite::forget_derived(pools).await,
        }
    }

    /// Closes all connections, within a bound: one that is silent is left to the operating system.
    /// Callers that still wait are told.
    pub async fn close(&self) {
        let closing = async {
            match &self.engine {
                Engine::Postgres(pool) => pool.close().await,
                Engine::Sqlite(pools) => {
                    pools.read.close().await;
                    pools.write.close().await;
                }
            }
        };
        if tokio::time::timeout(CLOSE_MAX, closing).await.is_err() {
            tracing::warn!("connections to the database did not close in time");
        }
    }
}

/// Waits until no other process migrates the file at `path`, and keeps others from it until the
/// lock is dropped: SQLite's migrations are several transactions.
async fn only_one_migrates(path: &Path) -> Result<File, OpenError> {
    let path = path.with_extension("migrating");
    let failed = |source| OpenError::Lock(path.clone(), source);
    let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    locked.map_err(std::io::Error::other).and_then(|locked| locked).map_err(failed)
}

/// Brings the schema at `url` up to date and does nothing else.
///
/// # Errors
/// [`OpenError`].
pub async fn migrate(url: &str) -> Result<(), OpenError> {
    let store = Store::open(url, &StoreOptions { migrate: true, ..StoreOptions::default() }).await?;
    store.close().await;
    Ok(())
}

enum Address<'url> {
    Postgres(&'url str),
    Sqlite(&'url Path),
}

impl<'url> Address<'url> {
    fn parse(url: &'url str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Address::Postgres(url));
        }
        let path = url.strip_prefix("sqlite:").ok_or(OpenError::Address)?;
        Ok(Address::Sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))))
    }
}
