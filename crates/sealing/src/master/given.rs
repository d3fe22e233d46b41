//! A master key that was given to the process.

use async_trait::async_trait;

use super::versions::{NAME, Versions};
use super::{Context, MalformedMaster, Master, MasterError, MasterVersion, Wrapped};
use crate::key::Key;

/// A master key that was given to the process, by its environment or by a test.
#[derive(Debug)]
pub struct GivenMaster(Versions);

impl GivenMaster {
    /// Reads it: 64 hexadecimal digits, or a line with a version and such a key for each version; the newest wraps.
    ///
    /// # Errors
    /// [`MalformedMaster`].
    pub fn parse(text: &str) -> Result<Self, MalformedMaster> {
        Versions::parse(text).map(Self)
    }
}

#[async_trait]
impl Master for GivenMaster {
    fn name(&self) -> &str {
        NAME
    }

    async fn current(&self) -> Result<MasterVersion, MasterError> {
        Ok(MasterVersion { name: NAME.to_owned(), version: self.0.newest() })
    }

    async fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, MasterError> {
        self.0.wrap(key, context)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, MasterError> {
        self.0.unwrap(wrapped, context)
    }
}
