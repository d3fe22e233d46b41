//! Whom security events are told to: somebody tried what they may not.

use std::sync::Arc;

use events::access::incident::IncidentKind;
use events::ids::AccountId;
use futures::future::BoxFuture;

/// Somebody tried what they may not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incident {
    /// What was tried.
    pub kind: IncidentKind,
    /// The rule that refused it.
    pub rule: String,
    /// The account with its username, where it is known.
    pub account: Option<(AccountId, Arc<str>)>,
    /// The method and the route, without ids.
    pub operation: String,
    /// From where.
    pub address: Option<String>,
}

/// Records incidents.
pub trait Recorder: Send + Sync {
    /// Records one; done when nothing can lose it any more, or when it is counted with others of its kind.
    fn record(&self, incident: Incident) -> BoxFuture<'_, ()>;
}

/// Records none: for servers of tests that need no account.
pub struct Unrecorded;

impl Recorder for Unrecorded {
    fn record(&self, _incident: Incident) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
