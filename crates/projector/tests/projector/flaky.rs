//! A storage of views that can be away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use event_store::views::{
    CommitError, Filter, Found, ListQuery, Page, ViewBatch, ViewError, ViewSchema, ViewState, ViewStore,
};
use serde_json::value::RawValue;
use tokio::sync::watch;
use uuid::Uuid;

/// Views whose commits fail while the storage is away.
pub struct Flaky {
    pub inner: Arc<dyn ViewStore>,
    pub is_away: AtomicBool,
    pub refused: AtomicU32,
    pub failures_noted: AtomicU32,
    pub states_read: AtomicU32,
    pub positions_read: AtomicU32,
}

impl Flaky {
    /// Views that are there.
    pub fn of(inner: Arc<dyn ViewStore>) -> Self {
        Self {
            inner,
            is_away: AtomicBool::new(false),
            refused: AtomicU32::new(0),
            failures_noted: AtomicU32::new(0),
            states_read: AtomicU32::new(0),
            positions_read: AtomicU32::new(0),
        }
    }
}

#[async_trait]
impl ViewStore for Flaky {
    async fn register(&self, schema: &ViewSchema) -> Result<ViewState, ViewError> {
        self.inner.register(schema).await
    }

    async fn states(&self) -> Result<Vec<ViewState>, ViewError> {
        self.states_read.fetch_add(1, Ordering::SeqCst);
        self.inner.states().await
    }

    async fn load(
        &self,
        view: &str,
        generation: i64,
        keys: &[String],
    ) -> Result<HashMap<String, Box<RawValue>>, ViewError> {
        self.inner.load(view, generation, keys).await
    }

    async fn commit(&self, batches: &[ViewBatch]) -> Result<(), CommitError> {
        // Away for many at once, and there again for each alone: no view is to be blamed.
        if self.is_away.load(Ordering::SeqCst) && batches.len() > 1 {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(ViewError::database("connecting")(sqlx::Error::PoolTimedOut).into());
        }
        self.inner.commit(batches).await
    }

    async fn start_rebuild(&self, schema: &ViewSchema) -> Result<i64, ViewError> {
        self.inner.start_rebuild(schema).await
    }

    async fn swap(&self, view: &str, generation: i64) -> Result<bool, ViewError> {
        self.inner.swap(view, generation).await
    }

    async fn sweep(&self, view: &str) -> Result<(), ViewError> {
        self.inner.sweep(view).await
    }

    async fn set_failure(&self, view: &str, failure: Option<&str>) -> Result<(), ViewError> {
        if failure.is_some() {
            self.failures_noted.fetch_add(1, Ordering::SeqCst);
        }
        self.inner.set_failure(view, failure).await
    }

    async fn get(&self, view: &str, key: &str) -> Result<Found, ViewError> {
        self.inner.get(view, key).await
    }

    async fn list(&self, view: &str, query: &ListQuery) -> Result<Page, ViewError> {
        self.inner.list(view, query).await
    }

    async fn count(&self, view: &str, filters: &[Filter], max: u32) -> Result<u64, ViewError> {
        self.inner.count(view, filters, max).await
    }

    async fn position(&self, view: &str) -> Result<u64, ViewError> {
        self.positions_read.fetch_add(1, Ordering::SeqCst);
        self.inner.position(view).await
    }

    async fn origin(&self, log_id: Uuid) -> Result<Uuid, ViewError> {
        self.inner.origin(log_id).await
    }

    fn watch(&self) -> watch::Receiver<()> {
        self.inner.watch()
    }
}
