//! A master key in a file that only its owner can read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::versions::{NAME, Versions};
use super::{Context, Master, MasterError, MasterVersion, Wrapped};
use crate::key::Key;
use crate::private_file;

/// A master key in a file of mode 0600: a line with number and key for each version. Another process may add a
/// version meanwhile; it is found when it is needed.
#[derive(Debug)]
pub struct FileMaster {
    path: PathBuf,
    versions: RwLock<Versions>,
}

impl FileMaster {
    /// Reads the master key of a file.
    ///
    /// # Errors
    /// [`MasterError`], also where others than its owner can read the file.
    pub async fn open(path: &Path) -> Result<Self, MasterError> {
        let versions = blocking(path, read).await?;
        Ok(Self { path: path.to_owned(), versions: RwLock::new(versions) })
    }

    /// Reads the master key of a file; makes both where there is none. For whoever is sure that there is nothing yet
    /// that another master key wrapped.
    ///
    /// # Errors
    /// [`MasterError`].
    pub async fn open_or_create(path: &Path) -> Result<Self, MasterError> {
        match Self::open(path).await {
            Err(MasterError::File(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match Self::create(path).await {
            // Another process was first: its key is the one.
            Err(MasterError::File(_, error)) if error.kind() == io::ErrorKind::AlreadyExists => Self::open(path).await,
            created => created,
        }
    }

    /// Makes a master key in a file, which must not exist, with its folder where that is missing.
    ///
    /// # Errors
    /// [`MasterError`].
    pub async fn create(path: &Path) -> Result<Self, MasterError> {
        let create = |path: &Path| {
            let mut versions = Versions::default();
            versions.add()?;
            private_file::create(path, versions.to_text().as_bytes())
                .map_err(|source| MasterError::File(path.to_owned(), source))
        };
        blocking(path, create).await?;
        Self::open(path).await
    }

    /// Adds a new version, which wraps from now on, and gives it. Older ones stay until every key is wrapped again.
    ///
    /// # Errors
    /// [`MasterError`]; then the file is as it was.
    pub async fn rotate(&self) -> Result<MasterVersion, MasterError> {
        let rotate = |path: &Path| {
            let using = |source| MasterError::File(path.to_owned(), source);
            let _turn = private_file::lock(path).map_err(using)?;
            let mut versions = read(path)?;
            versions.add()?;
            private_file::replace(path, versions.to_text().as_bytes()).map_err(using)?;
            Ok(versions)
        };
        let versions = blocking(&self.path, rotate).await?;
        Ok(self.keep(versions))
    }

    /// Reads the file again.
    async fn refresh(&self) -> Result<Versions, MasterError> {
        let versions = blocking(&self.path, read).await?;
        self.keep(versions.clone());
        Ok(versions)
    }

    fn keep(&self, versions: Versions) -> MasterVersion {
        let newest = MasterVersion { name: NAME.to_owned(), version: versions.newest() };
        *self.versions.write().unwrap_or_else(PoisonError::into_inner) = versions;
        newest
    }

    fn kept(&self) -> Versions {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Master for FileMaster {
    fn name(&self) -> &str {
        NAME
    }

    async fn current(&self) -> Result<MasterVersion, MasterError> {
        Ok(MasterVersion { name: NAME.to_owned(), version: self.refresh().await?.newest() })
    }

    async fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, MasterError> {
        // Keys are seldom made: once for a patient. So none is wrapped with a version that another process replaced.
        self.refresh().await?.wrap(key, context)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, MasterError> {
        let kept = self.kept();
        let versions = if kept.has(wrapped.by.version) { kept } else { self.refresh().await? };
        versions.unwrap(wrapped, context)
    }
}

fn read(path: &Path) -> Result<Versions, MasterError> {
    let bytes = private_file::read(path).map_err(|source| MasterError::File(path.to_owned(), source))?;
    let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).unwrap_or_default();
    Versions::parse(&text).map_err(|error| MasterError::Malformed(path.to_owned(), error))
}

/// Works with a file where that holds nobody up.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, MasterError> + Send + 'static,
) -> Result<T, MasterError> {
    let own = path.to_owned();
    let worked = spawn_blocking(move || work(&own)).await;
    worked.unwrap_or_else(|error| Err(MasterError::File(path.to_owned(), io::Error::other(error))))
}
