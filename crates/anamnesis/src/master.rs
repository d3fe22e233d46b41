//! The master key that the settings name, and the keys that it wraps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use event_store::{Installation, InstallationError, Store};
use sealing::master::transit::TransitError;
use sealing::master::{FileMaster, GivenMaster, MalformedMaster, TransitMaster, TransitOptions};
use sealing::{Keyring, KeyringOptions, Master, MasterError};
use service::health::Check;
use service::settings::{MasterSource, StorageSettings};
use service::supervise::Supervisor;
use tokio_util::sync::CancellationToken;

/// First pause before it is looked again whether the keys are to be had; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No master key was named, and there is none where it is by default.
    #[error(
        "there is no master key: no file {0}. Name the one that wraps this installation's keys (--master-key-file, \
         ANAMNESIS_MASTER_KEY or --transit-address); for a new installation make one with `anamnesis key create FILE` and \
         give it to every process (docs/guides/keep-the-keys.md)"
    )]
    NoMaster(PathBuf),
    /// The master key that was given is none.
    #[error("ANAMNESIS_MASTER_KEY is no master key")]
    Given(#[source] MalformedMaster),
    /// The settings of OpenBao / Vault cannot be used.
    #[error("OpenBao or Vault cannot be asked as the settings say")]
    Transit(#[from] TransitError),
    /// The master key cannot be used.
    #[error("the master key cannot be used")]
    Master(#[from] MasterError),
    /// The secret of the installation cannot be had.
    #[error("this installation's keys cannot be used")]
    Installation(#[from] InstallationError),
}

/// A master key, by where it is.
pub enum NamedMaster {
    /// In a file.
    File(FileMaster),
    /// In the settings.
    Given(GivenMaster),
    /// In OpenBao or Vault.
    Transit(TransitMaster),
}

impl NamedMaster {
    /// The one that the settings name. Nothing is made, and nobody is asked yet.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn of(storage: &StorageSettings) -> Result<Self, KeysError> {
        match storage.sealing.master() {
            MasterSource::Given(text) => Ok(Self::Given(GivenMaster::parse(text).map_err(KeysError::Given)?)),
            MasterSource::File(file) => Ok(Self::File(FileMaster::open(file).await?)),
            MasterSource::DefaultFile => {
                let file = storage.master_key_file();
                match FileMaster::open(&file).await {
                    Err(MasterError::File(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
                        Err(KeysError::NoMaster(file))
                    }
                    opened => Ok(Self::File(opened?)),
                }
            }
            MasterSource::Transit(address, key, token_file) => {
                let options = TransitOptions {
                    mount: storage.sealing.transit_mount.clone(),
                    ca_file: storage.sealing.transit_ca.clone(),
                    ..TransitOptions::new(address, key, token_file.to_owned())
                };
                Ok(Self::Transit(TransitMaster::new(&options)?))
            }
        }
    }

    /// As whoever wraps keys.
    pub fn shared(self) -> Arc<dyn Master> {
        match self {
            Self::File(master) => Arc::new(master),
            Self::Given(master) => Arc::new(master),
            Self::Transit(master) => Arc::new(master),
        }
    }
}

/// The keys of this storage, which are not opened yet. `make` has the master key's file made, where none is named and
/// nothing is stored yet that another master key could have wrapped.
///
/// # Errors
/// [`KeysError`].
pub async fn installation(store: &Store, storage: &StorageSettings, make: bool) -> Result<Installation, KeysError> {
    if make && storage.sealing.master() == MasterSource::DefaultFile && Installation::is_new(store).await? {
        FileMaster::open_or_create(&storage.master_key_file()).await?;
    }
    let master = NamedMaster::of(storage).await?.shared();
    let keyring = Keyring::new(store.keys.clone(), master, KeyringOptions::default());
    Ok(Installation::new(store, Arc::new(keyring)))
}

/// Opens the installation. Where whoever has the master key is away, it stays closed for now: see [`keep_trying`].
///
/// # Errors
/// [`KeysError`] where trying again would not help.
pub async fn open(installation: &Installation) -> Result<(), KeysError> {
    match installation.open().await {
        Err(error) if error.may_pass() => {
            tell(&error);
            Ok(())
        }
        opened => Ok(opened?),
    }
}

/// Has it told whether the keys are there, and tries on until they are.
pub fn attend(installation: Option<&Installation>, checks: &mut Vec<Check>, supervisor: &mut Supervisor) {
    let Some(installation) = installation else { return };
    checks.push(are_there(installation.clone()));
    supervisor.spawn("keys", keep_trying(installation.clone(), supervisor.shutdown()));
}

/// Tries to open the installation until it is, or until the process is asked to stop.
async fn keep_trying(installation: Installation, shutdown: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !installation.is_open() {
        let attempt = async {
            tokio::time::sleep(pause).await;
            installation.open().await
        };
        match shutdown.run_until_cancelled(attempt).await {
            None => return,
            Some(Ok(())) => tracing::info!("the keys are there"),
            Some(Err(error)) => tell(&error),
        }
        pause = PAUSE_MAX.min(pause * 2);
    }
    shutdown.cancelled().await;
}

fn tell(error: &InstallationError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "the keys cannot be used now; commands are answered 503 until they can");
}

/// Whether the keys are there.
fn are_there(installation: Installation) -> Check {
    Check::new("keys", move || {
        let opened = installation.marks().map(drop).map_err(|error| error.to_string());
        std::future::ready(opened)
    })
}
