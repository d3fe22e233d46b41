//! Where an issuer's keys come from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::discovery::Discovery;
use super::fetch::FetchError;
use super::jwk::{KeySet, KeySetError};
use super::keys::{SigningKeyError, SigningKeys};

/// Where this program's own keys come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// These, for as long as the process lives.
    Keys(SigningKeys),
    /// The file of keys that sign, read again when it may have changed.
    KeyFile(PathBuf),
    /// A file with the public keys only ([`SigningKeys::jwks`]), read again when it may have changed.
    JwksFile(PathBuf),
}

/// Where an issuer's keys come from.
pub(super) enum Origin {
    Own(Source),
    Discovery(Box<Discovery>),
}

/// Keys as they are now.
pub(super) struct Found {
    pub(super) keys: KeySet,
    /// How long they may be kept, where that is told.
    pub(super) max_age: Option<Duration>,
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum OriginError {
    #[error("the issuer's keys cannot be fetched")]
    Fetch(#[from] FetchError),
    #[error("the file of signing keys cannot be used")]
    Keys(#[from] SigningKeyError),
    #[error("the file of public keys {0} cannot be read")]
    File(PathBuf, #[source] io::Error),
    #[error("the file of public keys {0} is no set of keys")]
    Jwks(PathBuf, #[source] KeySetError),
}

impl Origin {
    /// Whether the keys are here, and need be asked of nobody.
    pub(super) const fn is_here(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The keys as they are now.
    pub(super) async fn keys(&self) -> Result<Found, OriginError> {
        let kept = |keys| Found { keys, max_age: None };
        match self {
            Self::Own(Source::Keys(keys)) => Ok(kept(keys.public())),
            Self::Own(Source::KeyFile(path)) => Ok(kept(SigningKeys::load(path)?.public())),
            Self::Own(Source::JwksFile(path)) => read_jwks(path).map(kept),
            Self::Discovery(discovery) => Ok(discovery.keys().await?),
        }
    }
}

/// A file of ours, small and local: not worth a thread.
fn read_jwks(path: &Path) -> Result<KeySet, OriginError> {
    let text = fs::read(path).map_err(|error| OriginError::File(path.to_owned(), error))?;
    KeySet::parse(&text).map_err(|error| OriginError::Jwks(path.to_owned(), error))
}
