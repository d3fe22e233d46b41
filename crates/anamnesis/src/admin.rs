//! Commands that work on the storage itself.

use event_bus::{ConnectionError, RelayError, RelayOptions, RepublishError, WhileAway};
use event_store::log::LogError;
use event_store::views::ViewError;
use event_store::{OpenError, Store, StoreOptions};
use projector::{RebuildError, rebuild as rebuild_view, rebuild_all};
use service::settings::{NatsSettings, StorageSettings};

use crate::nats;
use crate::output::line;

/// Why a command on the storage failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// NATS cannot be connected to.
    #[error("NATS cannot be used")]
    Nats(#[from] ConnectionError),
    /// NATS was not named.
    #[error("this needs --nats-url")]
    NatsMissing,
    /// The stream cannot be filled.
    #[error("the stream was not filled anew; running the command again is safe")]
    Republish(#[from] RepublishError),
    /// The stream cannot be compared with the log.
    #[error("the stream cannot be compared with the log; nothing was changed")]
    Compare(#[from] RelayError),
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// The storage of what is derived did not answer.
    #[error("the storage of views and process managers did not answer")]
    Derived(#[from] ViewError),
    /// A view cannot be rebuilt.
    #[error("the view `{0}` was not rebuilt; the one that is read is as it was")]
    Rebuild(String, #[source] RebuildError),
}

/// Brings the schema up to date.
pub async fn migrate(storage: &StorageSettings) -> Result<(), AdminError> {
    event_store::migrate(&storage.url()).await?;
    line("The schema is up to date.");
    Ok(())
}

/// Makes a view, or all of them, again from the log.
pub async fn rebuild(storage: &StorageSettings, view: &str) -> Result<(), AdminError> {
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(&storage.url(), &options).await?;
    let mut progress = tell(view);
    let rebuilt = match view {
        "all" => rebuild_all(&store, &mut progress).await,
        view => rebuild_view(&store, view, &mut progress).await,
    };
    rebuilt.map_err(|error| AdminError::Rebuild(view.to_owned(), error))?;
    line(&format!("{view}: rebuilt and in place."));
    store.close().await;
    Ok(())
}

/// Fills the stream anew from the log.
pub async fn republish(storage: &StorageSettings, nats: &NatsSettings, from: u64) -> Result<(), AdminError> {
    let client = nats::connect(nats, WhileAway::Fail).await?.ok_or(AdminError::NatsMissing)?;
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(&storage.url(), &options).await?;
    let relay = RelayOptions { replicas: nats.nats_replicas };
    let count = event_bus::republish(&store, client, relay, from, &mut tell("republish")).await?;
    line(&format!("{count} events published, from position {from} on."));
    store.close().await;
    Ok(())
}

/// Tells every tenth of a long work.
fn tell(work: &str) -> impl FnMut(u64, u64) + Send {
    let mut told = 0;
    move |position, head| {
        let tenths = position * 10 / head.max(1);
        if tenths > told {
            told = tenths;
            eprintln!("{work}: {position} of {head} events");
        }
    }
}
