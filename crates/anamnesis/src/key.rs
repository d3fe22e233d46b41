//! `anamnesis key`: the master key and the keys that it wraps.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use client::invocation::absolute;
use event_store::{BackupError, OpenError, Store};
use sealing::master::FileMaster;
use sealing::{KeyError, Keyring, KeyringOptions, MasterError, MasterVersion, Rewrapped};
use service::settings::{LogFormat, StorageSettings};
use service::telemetry::{self, TelemetryError};

use crate::admin;
use crate::examples;
use crate::master::{KeysError, NamedMaster};
use crate::output::line;

/// The master key, and the keys that it wraps.
#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    task: KeyTask,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyTask {
    /// Makes a master key in a file that only its owner can read; one that is there stays.
    #[command(after_help = examples::KEY_CREATE)]
    Create {
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Copies the wrapped keys of the embedded engine into a file, also while it is served: keep it apart from the log's.
    #[command(after_help = examples::KEY_BACKUP)]
    Backup {
        /// The file, which must not exist.
        file: PathBuf,
        /// The storage.
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Adds a version to the master key, which wraps new keys from now on; running processes find it by themselves.
    #[command(after_help = examples::KEY_ROTATE)]
    Rotate(StorageSettings),
    /// Wraps all keys with the newest version of the master key, while commands run; may be broken off and begun again.
    #[command(after_help = examples::KEY_REWRAP)]
    Rewrap(RewrapArgs),
}

/// What is wrapped again.
#[derive(Clone, Debug, Args)]
struct RewrapArgs {
    /// File of the master key that wrapped the keys before another one took its place, as OpenBao's.
    #[arg(long, value_name = "FILE")]
    former_master_key_file: Option<PathBuf>,
    /// The storage.
    #[command(flatten)]
    storage: StorageSettings,
}

/// Why the keys are not as they were to be.
#[derive(Debug, thiserror::Error)]
pub enum KeyTaskError {
    /// What goes wrong with single keys cannot be told.
    #[error("logs cannot be set up")]
    Telemetry(#[from] TelemetryError),
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// The master key that the settings name.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The master key is given by the environment.
    #[error(
        "the master key is given by ANAMNESIS_MASTER_KEY: add a line there with the next number, a blank and a new key of 64 \
         hexadecimal digits, start every process with it, then run `anamnesis key rewrap`"
    )]
    Given,
    /// The master key was not made or rotated.
    #[error("the master key is as it was")]
    Master(#[from] MasterError),
    /// There is no copy of the keys.
    #[error("no backup of the keys was made")]
    Backup(#[from] BackupError),
    /// Not all keys were wrapped again.
    #[error("not all keys were wrapped again; what was done stays, and running the command again is safe")]
    Rewrap(#[source] KeyError),
    /// Some keys could not be.
    #[error("{0} keys could not be wrapped again, the lines above say why: keep the versions that wrap them")]
    Failed(u64),
}

/// Does what is asked.
///
/// # Errors
/// [`KeyTaskError`].
pub async fn run(args: &KeyArgs) -> Result<(), KeyTaskError> {
    match &args.task {
        KeyTask::Create { file } => {
            FileMaster::create(file).await?;
            line(&format!(
                "{}: made. Who loses it reads nothing any more: keep a copy, apart from the keys' and the log's backups.",
                absolute(file).display()
            ));
            Ok(())
        }
        KeyTask::Backup { file, storage } => {
            let store = Store::open(&storage.url(), &admin::options(storage)).await?;
            let copied = store.back_up_keys(file).await;
            store.close().await;
            line(&format!(
                "{}: {} wrapped keys; read through and whole. The master key opens them: keep them apart.",
                absolute(file).display(),
                copied?
            ));
            Ok(())
        }
        KeyTask::Rotate(storage) => {
            let newest = match NamedMaster::of(storage).await? {
                NamedMaster::File(master) => master.rotate().await?,
                NamedMaster::Transit(master) => master.rotate().await?,
                NamedMaster::Given(_) => return Err(KeyTaskError::Given),
            };
            line(&format!("{} wraps new keys; `anamnesis key rewrap` takes all others over.", told(&newest)));
            Ok(())
        }
        KeyTask::Rewrap(args) => rewrap(args).await,
    }
}

async fn rewrap(args: &RewrapArgs) -> Result<(), KeyTaskError> {
    telemetry::init("warn", LogFormat::Text)?;
    let master = NamedMaster::of(&args.storage).await?.shared();
    let former = match &args.former_master_key_file {
        Some(file) => Some(FileMaster::open(file).await?),
        None => None,
    };
    let store = Store::open(&args.storage.url(), &admin::options(&args.storage)).await?;
    let keyring = Keyring::new(store.keys.clone(), master, KeyringOptions::default());
    let keyring = match former {
        Some(former) => keyring.with_former(Arc::new(former)),
        None => keyring,
    };
    let progress =
        |pass: &Rewrapped| eprintln!("rewrap: {} keys looked at, {} wrapped again", pass.seen, pass.rewrapped);
    let rewrapped = keyring.rewrap(progress).await;
    store.close().await;
    let rewrapped = rewrapped.map_err(KeyTaskError::Rewrap)?;
    if rewrapped.failed > 0 {
        return Err(KeyTaskError::Failed(rewrapped.failed));
    }
    let (seen, again) = (rewrapped.seen, rewrapped.rewrapped);
    line(&format!("{seen} keys are wrapped by {}; {again} of them were wrapped again.", told(&rewrapped.to)));
    Ok(())
}

fn told(version: &MasterVersion) -> String {
    format!("version {} of the master key `{}`", version.version, version.name)
}
