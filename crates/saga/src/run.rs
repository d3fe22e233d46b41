//! The runner: one task that folds events, sends steps, and keeps time.

use std::sync::Arc;
use std::time::Duration;

use event_bus::{Feed, FeedError, FeedSource};
use event_store::Store;
use event_store::clock;
use event_store::execute::Executor;
use event_store::leases::CoordinationError;
use event_store::log::LogError;
use event_store::sagas::StepChange;
use event_store::views::{CommitError, ViewError};
use events::envelope::Envelope;
use events::registry::AnyEvent;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fold::{Work, due};
use crate::instance::SCHEMA;
use crate::steps::{Outcome, Steps, settle};

/// The lease of the one active runner.
const LEASE: &str = "saga";
/// Pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Steps that are read from storage at a time.
const PENDING_MAX: u32 = 10_000;

/// How the runner works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often timers and forgotten steps are looked for.
    pub look_every: Duration,
    /// How long the lease of the active runner holds without being renewed: the time until another takes over.
    pub lease_time: Duration,
}

impl Options {
    /// How often the lease is renewed: often enough to miss two renewals.
    fn lease_renewal(&self) -> Duration {
        self.lease_time.mul_f32(0.3)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { look_every: Duration::from_secs(1), lease_time: Duration::from_secs(5) }
    }
}

/// Why the runner stopped for the moment; it begins again by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The storage did not answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The storage did not take a batch.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The log did not answer, or holds what this program does not know.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The feed broke off.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The lease could not be read.
    #[error(transparent)]
    Lease(#[from] CoordinationError),
    /// A stored instance or step does not fit its type.
    #[error("an instance or step does not fit its type")]
    Document(#[source] serde_json::Error),
}

/// Runs all process managers until asked to stop. Of several runners one works.
pub async fn run(
    store: Store,
    executor: Executor,
    feed: Arc<dyn FeedSource>,
    options: Options,
    shutdown: CancellationToken,
) {
    let holder = Uuid::now_v7();
    let work = async {
        loop {
            match store.leases.acquire(LEASE, holder, options.lease_time).await {
                Ok(Some(_)) => {
                    let followed = follow(&store, &executor, &*feed, options, holder).await;
                    if let Err(error) = followed {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the process managers begin again");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the lease cannot be taken");
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
    // Another need not wait for the lease to run out; if this fails it does.
    drop(store.leases.release(LEASE, holder).await);
}

struct Runner<'run> {
    store: &'run Store,
    executor: &'run Executor,
    generation: i64,
    position: u64,
    steps: Steps,
}

/// Works from where the instances stand; ends when the lease is lost.
async fn follow(
    store: &Store,
    executor: &Executor,
    feed: &dyn FeedSource,
    options: Options,
    holder: Uuid,
) -> Result<(), RunError> {
    let state = store.views.register(&SCHEMA).await?;
    let (generation, position) = (state.generation, state.position);
    let mut runner = Runner { store, executor, generation, position, steps: Steps::default() };
    runner.steps.add(store.sagas.pending(PENDING_MAX).await?);
    let mut feed = Pump::open(feed, position);
    let mut renew_at = Instant::now() + options.lease_renewal();
    let mut look_at = Instant::now();
    loop {
        runner.steps.start(executor);
        metrics::gauge!("anamnesis_saga_steps_pending").set(runner.steps.len() as f64);
        let retry_at = runner.steps.next_retry().unwrap_or(look_at + options.look_every);
        let wake_at = renew_at.min(look_at).min(retry_at);
        tokio::select! {
            events = feed.next() => runner.fold(events?).await?,
            outcomes = runner.steps.ended() => runner.settle(outcomes).await?,
            () = tokio::time::sleep_until(wake_at) => {}
        }
        if Instant::now() >= renew_at {
            if store.leases.acquire(LEASE, holder, options.lease_time).await?.is_none() {
                return Ok(());
            }
            renew_at = Instant::now() + options.lease_renewal();
        }
        if Instant::now() >= look_at {
            runner.look().await?;
            look_at = Instant::now() + options.look_every;
        }
    }
}

impl Runner<'_> {
    async fn fold(&mut self, mut envelopes: Vec<Envelope>) -> Result<(), RunError> {
        // Delivered again: folded before.
        envelopes.retain(|envelope| envelope.position > self.position);
        let Some(to) = envelopes.last().map(|envelope| envelope.position) else { return Ok(()) };
        let mut work = Work::new(self.generation);
        for envelope in &envelopes {
            let event = AnyEvent::from_envelope(envelope);
            let event = event.map_err(|source| LogError::Decode { position: envelope.position, source })?;
            work.fold(self.store, &event, envelope).await?;
        }
        self.commit(work, to).await
    }

    async fn settle(&mut self, outcomes: Vec<Outcome>) -> Result<(), RunError> {
        let mut work = Work::new(self.generation);
        settle(&mut work, &mut self.steps, self.store, outcomes).await?;
        self.commit(work, self.position).await
    }

    /// Wakes whose time has come; takes up again what was forgotten.
    async fn look(&mut self) -> Result<(), RunError> {
        let mut work = Work::new(self.generation);
        if work.wake(self.store, clock::now()).await? > 0 {
            self.commit(work, self.position).await?;
        }
        if self.steps.is_empty() {
            self.steps.add(self.store.sagas.pending(PENDING_MAX).await?);
        }
        if let Some(next) = due(self.store, None, 1).await?.first().and_then(|instance| instance.due_at) {
            let overdue = (clock::now() - next).num_seconds().max(0);
            metrics::gauge!("anamnesis_saga_timer_overdue_seconds").set(overdue as f64);
        }
        Ok(())
    }

    async fn commit(&mut self, work: Work, to: u64) -> Result<(), RunError> {
        let (batch, changes) = work.finish(self.position, to)?;
        let mut revived = Vec::new();
        let mut added = Vec::new();
        for change in &changes {
            match change {
                StepChange::Add(step) => added.push(step.clone()),
                StepChange::Set { command_id, status: event_store::sagas::StepStatus::Pending, .. } => {
                    revived.push(*command_id);
                }
                StepChange::Set { .. } | StepChange::Remove(_) => {}
            }
        }
        self.store.sagas.commit(batch, changes).await?;
        self.position = to;
        self.steps.add(added);
        for command_id in revived {
            self.steps.add(self.store.sagas.find(command_id).await?);
        }
        self.steps.start(self.executor);
        Ok(())
    }
}

/// A feed whose next batch survives being waited for in vain.
struct Pump {
    batches: tokio::sync::mpsc::Receiver<Result<Vec<Envelope>, FeedError>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Pump {
    fn open(source: &dyn FeedSource, after_position: u64) -> Self {
        let mut feed: Box<dyn Feed> = source.open(after_position);
        let (sender, batches) = tokio::sync::mpsc::channel(2);
        let task = tokio::spawn(async move {
            loop {
                let batch = feed.next().await;
                let ends = batch.is_err();
                if sender.send(batch).await.is_err() || ends {
                    return;
                }
            }
        });
        Self { batches, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    async fn next(&mut self) -> Result<Vec<Envelope>, FeedError> {
        match self.batches.recv().await {
            Some(batch) => batch,
            None => std::future::pending().await,
        }
    }
}
