//! `anamnesis key`: the master key and the keys that it wraps; and the keys by which published events are signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use client::invocation::absolute;
use event_store::{BackupError, OpenError, Store};
use sealing::master::FileMaster;
use sealing::{KeyError, Keyring, KeyringOptions, MasterError, MasterVersion, Rewrapped};
use service::event_keys::{self, EventKeyError, EventKeys};
use service::identity::{SigningKeyError, SigningKeys};
use service::settings::{LogFormat, StorageSettings};
use service::telemetry::{self, TelemetryError};

use crate::admin;
use crate::examples;
use crate::master::{KeysError, NamedMaster};
use crate::output::line;

/// The master key, the keys that it wraps, and those by which published events are signed.
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
    /// Makes a key by which the relay signs what it publishes, in a file that only its owner can read; one that is there
    /// stays. Prints its public half (JWKS) for `--event-jwks-file`.
    #[command(after_help = examples::KEY_CREATE_EVENT_KEY)]
    CreateEventKey {
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Prints the public halves (JWKS) of the keys by which events are signed: for `--event-jwks-file`, of the old key and
    /// the new one while it is changed.
    #[command(after_help = examples::KEY_PUBLIC_EVENT_KEYS)]
    PublicEventKeys {
        /// Files of such keys, or of public keys.
        #[arg(required = true)]
        files: Vec<PathBuf>,
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
    /// The keys of published events cannot be used.
    #[error(transparent)]
    Events(#[from] EventKeyError),
    /// A key of published events was not made.
    #[error("no key was made")]
    EventKey(#[source] SigningKeyError),
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
        KeyTask::CreateEventKey { file } => {
            let keys = SigningKeys::create(file).map_err(KeyTaskError::EventKey)?;
            print(&EventKeys::of(&keys));
            // Beside what is redirected into a file.
            eprintln!("{}: made, for the relay alone. What is printed is its public half.", absolute(file).display());
            Ok(())
        }
        KeyTask::PublicEventKeys { files } => {
            let mut keys = EventKeys::default();
            for file in files {
                keys = keys.and(public(file)?);
            }
            print(&keys);
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

/// The public keys of a file, be it of keys that sign or of public ones.
fn public(file: &Path) -> Result<EventKeys, EventKeyError> {
    match event_keys::load_signing(file) {
        Ok(keys) => Ok(EventKeys::of(&keys)),
        Err(EventKeyError::Missing(_)) => EventKeys::load(file),
        // Public keys may be read by anybody, private ones may not.
        Err(error) => EventKeys::load(file).map_err(|_| error),
    }
}

fn print(keys: &EventKeys) {
    if let Some(jwks) = keys.jwks() {
        line(&jwks.to_string());
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
