//! Leases: of several processes of a kind, one is active.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

/// A lease that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Up by one with every change of holder.
    pub token: u64,
}

/// A lease or checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the database failed while {doing}")]
pub struct CoordinationError {
    /// What was being done.
    pub doing: &'static str,
    /// The cause.
    #[source]
    pub source: sqlx::Error,
}

impl CoordinationError {
    /// Wraps a database error with what was being done.
    pub fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> CoordinationError {
        move |source| CoordinationError { doing, source }
    }
}

/// The storage of leases. The database's clock decides when one runs out, so
/// that clocks of several machines need not agree. A lease keeps work from
/// being done twice; that nothing *happens* twice is up to compare-and-set.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// Takes the lease, or keeps it, for `duration` from now; `None` where another holds it. Nobody
    /// holds one for more than two minutes, or twice as long as is asked for: a lease that seems to
    /// run longer is of before the clock was set back, and is free.
    async fn acquire(&self, name: &str, holder: Uuid, duration: Duration) -> Result<Option<Lease>, CoordinationError>;

    /// Holds on to everything that `holder` has for `duration` from now; gives the names. What ran out without being
    /// taken by another is still `holder`'s.
    async fn renew(&self, holder: Uuid, duration: Duration) -> Result<Vec<String>, CoordinationError>;

    /// Every lease that is held now and whose name begins with `prefix`, with its holder.
    async fn held(&self, prefix: &str) -> Result<Vec<(String, Uuid)>, CoordinationError>;

    /// Gives the lease back, if `holder` has it.
    async fn release(&self, name: &str, holder: Uuid) -> Result<(), CoordinationError>;
}
