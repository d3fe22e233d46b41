//! Commands that work on the storage itself.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use client::Invocation;
use client::invocation::{absolute, quoted};
use event_bus::{ConnectionError, RelayOptions, RepublishError, WhileAway};
use event_store::{BackupError, OpenError, Store, StoreOptions};
use projector::{RebuildError, rebuild as rebuild_view, rebuild_all};
use serde_json::json;
use service::event_keys::EventKeyError;
use service::settings::{EventKeySettings, MasterSource, NatsSettings, StorageSettings};
use views::DynView;

use crate::loss::LossError;
use crate::master::{self, KeysError};
use crate::output::line;
use crate::{nats, publishing};

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
    /// The keys of published events cannot be used.
    #[error(transparent)]
    EventKeys(#[from] EventKeyError),
    /// The stream cannot be filled.
    #[error("the stream was not filled anew; running the command again is safe")]
    Republish(#[from] RepublishError),
    /// The log cannot be compared with those who read it, or not be taken up.
    #[error("the log was not taken up; running the command again is safe")]
    Loss(#[from] LossError),
    /// The folder of a backup cannot be made.
    #[error("the folder {0} cannot be made")]
    Folder(PathBuf, #[source] std::io::Error),
    /// There is no backup.
    #[error("no backup was made")]
    Backup(#[from] BackupError),
    /// The keys of what is sealed in views cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A view cannot be rebuilt.
    #[error("the view `{0}` was not rebuilt; the one that is read is as it was")]
    Rebuild(String, #[source] RebuildError),
}

/// How the commands here open the storage: as it is.
pub fn options(storage: &StorageSettings) -> StoreOptions {
    StoreOptions {
        derived_url: storage.derived_url.clone(),
        keys_url: storage.sealing.keys_url.clone(),
        migrate: false,
        ..StoreOptions::default()
    }
}

/// Copies log and readings of the embedded engine into a folder of its own, also while they are written: the log first, so that
/// whatever it says of readings is in their copy.
pub async fn backup(storage: &StorageSettings, to: &Path, json: bool) -> Result<(), AdminError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(to)
        .map_err(|source| AdminError::Folder(to.to_owned(), source))?;
    let store = Store::open(&storage.url(), &options(storage)).await?;
    let file = to.join("log.db");
    let readings = to.join("readings.db");
    let copied = match store.back_up(&file).await {
        Ok(copied) => store.back_up_readings(&readings).await.map(|chunks| (copied, chunks)),
        Err(error) => Err(error),
    };
    store.close().await;
    let (copied, chunks) = copied?;
    if json {
        let (log_id, epoch, position) = (copied.log_id, copied.epoch, copied.position);
        line(
            &json!({"file": absolute(&file), "log_id": log_id, "epoch": epoch, "position": position,
                "readings_file": absolute(&readings), "chunks": chunks})
            .to_string(),
        );
        return Ok(());
    }
    line(&format!(
        "{}: log {}, epoch {}, up to position {}; read through and whole.\n{}: {chunks} chunks of readings of wearables.\nWhat is derived comes back from it. The keys that \
         open it are backed up apart (`anamnesis key backup`). To serve it, from a copy of the copy and of the keys:\n  {}",
        file.display(),
        copied.log_id,
        copied.epoch,
        copied.position,
        readings.display(),
        served_again(storage, to),
    ));
    Ok(())
}

/// How a copy of a log is served beside the one that goes on: from a copy of its own, so that the backup stays what it is.
fn served_again(storage: &StorageSettings, to: &Path) -> String {
    let mut again = absolute(to).into_os_string();
    again.push("-restored");
    let again = Path::new(&again);
    let [copy, place] = [&absolute(to), again].map(|folder| quoted(&folder.to_string_lossy()));
    let mut keys = Invocation::of(&["key", "backup"]).word(again.join("keys.db").display()).data_dir(&storage.data_dir);
    if let Some(url) = &storage.sealing.keys_url {
        keys = keys.word("--keys-url").word(url);
    }
    let serve = Invocation::of(&["serve"]).data_dir(again);
    let serve = match storage.sealing.master() {
        MasterSource::File(file) => serve.word("--master-key-file").word(absolute(file).display()),
        MasterSource::DefaultFile => {
            serve.word("--master-key-file").word(absolute(&storage.master_key_file()).display())
        }
        // They hold secrets, and are where they were.
        MasterSource::Given(_) | MasterSource::Transit(..) => serve,
    };
    format!("cp -r {copy} {place} && {keys} && {serve}")
}

/// Brings the schemas up to date.
pub async fn migrate(storage: &StorageSettings) -> Result<(), AdminError> {
    event_store::migrate(&storage.url(), &options(storage)).await?;
    line("The schemas are up to date.");
    Ok(())
}

/// Makes a view, or all of them, again from the log.
pub async fn rebuild(storage: &StorageSettings, view: &str, json: bool) -> Result<(), AdminError> {
    let store = Store::open(&storage.url(), &options(storage)).await?;
    // Only who counts allocation needs keys; the store keeps what opens it.
    let holds = |table: &&dyn DynView| !views::allocation(table.schema().name, table.schema().version).is_empty();
    if views::ALL.iter().filter(|table| holds(table)).any(|table| view == "all" || view == table.schema().name) {
        let installation = master::installation(&store, storage, false).await?;
        installation.open().await.map_err(KeysError::from)?;
    }
    let mut progress = tell(view);
    let rebuilt = match view {
        "all" => rebuild_all(&store, &mut progress).await,
        view => rebuild_view(&store, view, &mut progress).await,
    };
    rebuilt.map_err(|error| AdminError::Rebuild(view.to_owned(), error))?;
    let states = store.views.states().await.map_err(RebuildError::from);
    store.close().await;
    let states = states.map_err(|error| AdminError::Rebuild(view.to_owned(), error))?;
    if json {
        let rebuilt = states.iter().filter(|state| view == "all" || state.name == view);
        let told = rebuilt.map(|state| json!({"view": state.name, "position": state.checkpoint.position}));
        line(&json!({"rebuilt": told.collect::<Vec<_>>()}).to_string());
    } else {
        line(&format!("{view}: rebuilt and in place."));
    }
    Ok(())
}

/// Fills the stream anew from the log.
pub async fn republish(
    storage: &StorageSettings,
    nats: &NatsSettings,
    keys: &EventKeySettings,
    from: u64,
) -> Result<(), AdminError> {
    let signer = publishing::signer(&keys.keys(&storage.data_dir, false)?);
    let client = nats::connect(nats, WhileAway::Fail).await?.ok_or(AdminError::NatsMissing)?;
    let store = Store::open(&storage.url(), &options(storage)).await?;
    let relay = RelayOptions { replicas: nats.nats_replicas, ..RelayOptions::new(signer) };
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
