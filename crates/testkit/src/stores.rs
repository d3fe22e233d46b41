//! Stores for tests: an embedded one, and one on PostgreSQL.

use event_store::{Store, StoreOptions};
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
