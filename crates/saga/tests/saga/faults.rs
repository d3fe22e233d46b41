//! A log and a saga store that fail, lose answers and crash at a moment of choice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_bus::{Feed, FeedError, FeedSource};
use event_store::Store;
use event_store::log::{
    Append, AppendError, Appended, Comparison, EventLog, KnownCommand, LogError, LogIdentity, Reference, Snapshot,
};
use event_store::sagas::{About, Documents, SagaBatch, SagaCursor, SagaStore, StepOrder, StoredStep, Troubles};
use event_store::views::{CommitError, ViewError};
use events::envelope::Envelope;
use events::ids::StreamId;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and the caller is told so.
    FailsBefore,
    /// It is done, and the caller is told that it failed: it will be repeated.
    LosesAnswer,
    /// The process dies before it is done.
    CrashesBefore,
    /// The process dies after it was done and before it hears of it.
    CrashesAfter,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::FailsBefore, Fault::LosesAnswer, Fault::CrashesBefore, Fault::CrashesAfter];
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an append to the log: a step that is carried out.
    Append,
    /// At a commit of instances and steps.
    Commit,
}

/// One fault at one moment of a run.
pub struct Faults {
    plan: Option<(Place, usize, Fault)>,
    appends: AtomicUsize,
    commits: AtomicUsize,
    struck: AtomicBool,
    crash: Notify,
}

impl Faults {
    pub fn none() -> Arc<Self> {
        Self::new(None)
    }

    pub fn at(place: Place, turn: usize, fault: Fault) -> Arc<Self> {
        Self::new(Some((place, turn, fault)))
    }

    fn new(plan: Option<(Place, usize, Fault)>) -> Arc<Self> {
        let (appends, commits, struck, crash) = Default::default();
        Arc::new(Self { plan, appends, commits, struck, crash })
    }

    /// The store as the disturbed process sees it.
    pub fn around(self: Arc<Self>, store: &Store) -> Store {
        let mut disturbed = store.clone();
        disturbed.log = Arc::new(DisturbedLog { inner: store.log.clone(), faults: self.clone() });
        disturbed.sagas = Arc::new(DisturbedSagas { inner: store.sagas.clone(), faults: self });
        disturbed
    }

    /// How often something was stored here.
    pub fn count(&self, place: Place) -> usize {
        self.counter(place).load(Ordering::SeqCst)
    }

    /// Whether the fault happened.
    pub fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// Waits for a crash.
    pub async fn crashed(&self) {
        self.crash.notified().await;
    }

    const fn counter(&self, place: Place) -> &AtomicUsize {
        match place {
            Place::Append => &self.appends,
            Place::Commit => &self.commits,
        }
    }

    /// Does `work`, and whatever goes wrong with it at this place and moment.
    async fn strike<T, E>(
        &self,
        place: Place,
        work: impl Future<Output = Result<T, E>>,
        failure: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let turn = self.counter(place).fetch_add(1, Ordering::SeqCst);
        let Some((_, _, fault)) = self.plan.filter(|plan| (plan.0, plan.1) == (place, turn)) else { return work.await };
        self.struck.store(true, Ordering::SeqCst);
        match fault {
            Fault::FailsBefore => Err(failure()),
            Fault::LosesAnswer => work.await.and_then(|_| Err(failure())),
            Fault::CrashesBefore => self.die().await,
            Fault::CrashesAfter => {
                // Whatever became of it, nobody hears of it.
                drop(work.await);
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.crash.notify_one();
        std::future::pending().await
    }
}

struct DisturbedSagas {
    inner: Arc<dyn SagaStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl SagaStore for DisturbedSagas {
    async fn cursor(&self, saga: &str) -> Result<Option<SagaCursor>, ViewError> {
        self.inner.cursor(saga).await
    }

    async fn restart(
        &self,
        saga: &str,
        generation: i64,
        state_version: u32,
        from: Option<SagaCursor>,
    ) -> Result<SagaCursor, CommitError> {
        self.inner.restart(saga, generation, state_version, from).await
    }

    async fn running(
        &self,
        saga: &str,
        generation: i64,
        about: &About,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Documents, ViewError> {
        self.inner.running(saga, generation, about, after, limit).await
    }

    async fn due(&self, saga: &str, generation: i64, by: DateTime<Utc>, limit: u32) -> Result<Documents, ViewError> {
        self.inner.due(saga, generation, by, limit).await
    }

    async fn pending(&self, saga: &str, after: Option<StepOrder>, limit: u32) -> Result<Vec<StoredStep>, ViewError> {
        self.inner.pending(saga, after, limit).await
    }

    async fn find(&self, saga: &str, command_id: Uuid) -> Result<Option<StoredStep>, ViewError> {
        self.inner.find(saga, command_id).await
    }

    async fn troubles(&self, saga: &str, generation: i64) -> Result<Troubles, ViewError> {
        self.inner.troubles(saga, generation).await
    }

    async fn announce(&self, among: &[String]) -> Result<(), ViewError> {
        self.inner.announce(among).await
    }

    async fn commit(&self, batch: SagaBatch) -> Result<(), CommitError> {
        let failure = || CommitError::View(ViewError::Corrupt("on purpose".to_owned()));
        self.faults.strike(Place::Commit, self.inner.commit(batch), failure).await
    }
}

struct DisturbedLog {
    inner: Arc<dyn EventLog>,
    faults: Arc<Faults>,
}

#[async_trait]
impl EventLog for DisturbedLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let failure = || AppendError::Log(LogError::BatchFailed);
        self.faults.strike(Place::Append, self.inner.append(append), failure).await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        self.inner.identity().await
    }

    async fn begin_epoch(&self, epoch: u64) -> Result<LogIdentity, LogError> {
        self.inner.begin_epoch(epoch).await
    }

    async fn read_stream(&self, stream: StreamId, after: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        self.inner.read_stream(stream, after, limit).await
    }

    async fn compare(&self, seen: &[(StreamId, u64)]) -> Result<Comparison, LogError> {
        self.inner.compare(seen).await
    }

    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<Envelope>, LogError> {
        self.inner.read_all(after, limit).await
    }

    fn batches_apart(&self) -> Duration {
        self.inner.batches_apart()
    }

    async fn read_reference(
        &self,
        reference: Reference,
        after: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        self.inner.read_reference(reference, after, to, limit).await
    }

    async fn read_reference_back(
        &self,
        reference: Reference,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        self.inner.read_reference_back(reference, before, limit).await
    }

    async fn find_event(&self, event_id: Uuid) -> Result<Option<Envelope>, LogError> {
        self.inner.find_event(event_id).await
    }

    async fn head(&self) -> Result<u64, LogError> {
        self.inner.head().await
    }

    async fn position_at(&self, time: DateTime<Utc>) -> Result<u64, LogError> {
        self.inner.position_at(time).await
    }

    async fn find_commands(&self, command_ids: &[Uuid]) -> Result<HashMap<Uuid, KnownCommand>, LogError> {
        self.inner.find_commands(command_ids).await
    }

    fn watch_head(&self) -> watch::Receiver<u64> {
        self.inner.watch_head()
    }

    async fn load_snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>, LogError> {
        self.inner.load_snapshot(stream).await
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), LogError> {
        self.inner.save_snapshot(snapshot).await
    }

    async fn delete_snapshots(&self) -> Result<(), LogError> {
        self.inner.delete_snapshots().await
    }
}

/// A feed in pieces of `size` events, each delivered `times` times.
pub struct Burst {
    pub source: Arc<dyn FeedSource>,
    pub size: usize,
    pub times: usize,
}

impl FeedSource for Burst {
    fn open(&self, after_position: u64) -> Box<dyn Feed> {
        let inner = self.source.open(after_position);
        Box::new(BurstFeed { inner, size: self.size, times: self.times, pieces: Vec::new() })
    }
}

struct BurstFeed {
    inner: Box<dyn Feed>,
    size: usize,
    times: usize,
    // The next one last.
    pieces: Vec<Vec<Envelope>>,
}

#[async_trait]
impl Feed for BurstFeed {
    async fn next(&mut self) -> Result<Vec<Envelope>, FeedError> {
        loop {
            if let Some(piece) = self.pieces.pop() {
                return Ok(piece);
            }
            let batch = self.inner.next().await?;
            let pieces = batch.chunks(self.size).flat_map(|piece| std::iter::repeat_n(piece.to_vec(), self.times));
            self.pieces = pieces.collect();
            self.pieces.reverse();
        }
    }
}
