//! The keys of measured storage.

use std::sync::Arc;

use event_store::execute::{Executor, ExecutorOptions};
use event_store::{Installation, Store};
use sealing::master::GivenMaster;
use sealing::{Keyring, KeyringOptions};

use crate::BenchError;

/// The master key of all that is measured.
pub const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// Carries commands out on this store; its log may have been filled before it had keys.
pub async fn executor(store: &Store) -> Result<Executor, BenchError> {
    let said = |error: &dyn std::error::Error| BenchError::Said(error.to_string());
    let master = GivenMaster::parse(MASTER_KEY).map_err(|error| said(&error))?;
    let keyring = Arc::new(Keyring::new(store.keys.clone(), Arc::new(master), KeyringOptions::default()));
    keyring.secret(store.log.identity().await?.log_id).await.map_err(|error| said(&error))?;
    let installation = Installation::new(store, keyring);
    installation.open().await.map_err(|error| said(&error))?;
    Ok(Executor::new(store.log.clone(), installation, ExecutorOptions::default()))
}
