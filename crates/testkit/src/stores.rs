//! Stores for tests: an embedded one, and one on PostgreSQL.

use std::sync::Arc;

use event_store::execute::{Executor, ExecutorOptions};
use event_store::{Installation, Store, StoreOptions};
use sealing::master::GivenMaster;
use sealing::{Keyring, KeyringOptions};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::TestDatabase;

/// A store with whatever it lives in.
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// Its address.
    pub url: String,
    // Held so that they outlive the store.
    _folder: Option<TempDir>,
    _database: Option<TestDatabase>,
}

/// A fresh store of the embedded engine.
///
/// # Panics
/// Where it cannot be opened.
pub async fn sqlite() -> TestStore {
    let folder = TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", folder.path().display());
    let store = Store::open(&url, &StoreOptions::default()).await.expect("the store opens");
    TestStore { store, url, _folder: Some(folder), _database: None }
}

/// A fresh store on PostgreSQL.
///
/// # Panics
/// Where it cannot be opened.
pub async fn postgres() -> TestStore {
    let database = crate::postgres().await;
    let store = Store::open(&database.url, &StoreOptions::default()).await.expect("the store opens");
    TestStore { store, url: database.url.clone(), _folder: None, _database: Some(database) }
}

/// The master key of tests.
pub const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// The keys of this store, opened; also where a test appended to its log before there were any.
///
/// # Panics
/// Where they cannot be.
pub async fn installation(store: &Store) -> Installation {
    let master = GivenMaster::parse(MASTER_KEY).expect("a master key");
    let keyring = Arc::new(Keyring::new(store.keys.clone(), Arc::new(master), KeyringOptions::default()));
    let log_id = store.log.identity().await.expect("the log says which one it is").log_id;
    keyring.secret(log_id).await.expect("a secret");
    let installation = Installation::new(store, keyring);
    installation.open().await.expect("the keys are there");
    installation
}

/// Carries commands out on this store.
///
/// # Panics
/// As [`installation`].
pub async fn executor(store: &Store) -> Executor {
    Executor::new(store.log.clone(), installation(store).await, ExecutorOptions::default())
}

impl TestStore {
    /// The same storage as another process would open it.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub async fn again(&self) -> Store {
        Store::open(&self.url, &StoreOptions::default()).await.expect("the store opens again")
    }

    /// A connection of the test's own to the embedded engine's log.
    ///
    /// # Panics
    /// Where it does not open, or where the store is not embedded.
    pub async fn file(&self) -> SqliteConnection {
        self.connect("log.db").await
    }

    /// A connection of the test's own to what the embedded engine derives.
    ///
    /// # Panics
    /// Where it does not open, or where the store is not embedded.
    pub async fn derived_file(&self) -> SqliteConnection {
        self.connect("derived.db").await
    }

    async fn connect(&self, file: &str) -> SqliteConnection {
        let folder = self.url.strip_prefix("sqlite:").expect("a folder");
        SqliteConnection::connect(&format!("sqlite://{folder}/{file}")).await.expect("the file opens")
    }
}

/// Makes a test of each engine out of each of these functions, which take a [`TestStore`].
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test($crate::stores::sqlite().await).await; }
        )+ }
        mod postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test($crate::stores::postgres().await).await; }
        )+ }
    };
}
