//! Commands that work on the storage itself.

use event_store::{OpenError, Store, StoreOptions};
use projector::{RebuildError, VIEWS, rebuild as rebuild_view};
use service::settings::StorageSettings;

use crate::output::line;

/// Why a command on the storage failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
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
    let views: Vec<&str> =
        if view == "all" { VIEWS.iter().map(|view| view.schema().name).collect() } else { vec![view] };
    for view in views {
        let mut told = 0;
        let mut progress = |position: u64, head: u64| {
            if position * 10 / head.max(1) > told {
                told = position * 10 / head.max(1);
                eprintln!("{view}: {position} of {head} events");
            }
        };
        let rebuilt = rebuild_view(&store, view, &mut progress).await;
        rebuilt.map_err(|error| AdminError::Rebuild(view.to_owned(), error))?;
        line(&format!("{view}: rebuilt and in place."));
    }
    store.close().await;
    Ok(())
}
