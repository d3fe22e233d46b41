//! The runner: one task for each process manager.

use std::sync::Arc;
use std::time::Duration;

use event_bus::{FeedError, FeedSource};
use event_store::Store;
use event_store::checkpoints::WentBack;
use event_store::execute::Executor;
use event_store::leases::CoordinationError;
use event_store::log::LogError;
use event_store::views::{CommitError, ViewError};
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::follow::follow;
use crate::process::{DynProcess, PROCESSES};
use crate::standing::Standing;

/// First pause after a failure; doubles up to the longest.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Figures that only the runner tells that has the lease.
const OF_THE_ONE_THAT_WORKS: [&str; 4] = [
    "anamnesis_process_manager_dead_letters",
    "anamnesis_process_manager_steps_pending",
    "anamnesis_process_manager_stuck_instances",
    "anamnesis_process_manager_timer_overdue_seconds",
];

/// How the runner works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often timers are looked for.
    pub look_every: Duration,
    /// How long the lease of an active process manager holds without being renewed: the time until another runner
    /// takes over.
    pub lease_time: Duration,
}

impl Options {
    /// How often the lease is renewed: often enough to miss two renewals.
    pub(crate) fn lease_renewal(&self) -> Duration {
        self.lease_time.mul_f32(0.3)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { look_every: Duration::from_secs(1), lease_time: Duration::from_secs(5) }
    }
}

/// Why a process manager stopped for the moment; it begins again by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The storage did not answer.
    #[error("the instances' storage did not answer")]
    View(#[from] ViewError),
    /// The storage did not take a batch.
    #[error("the instances' storage did not take a batch")]
    Commit(#[from] CommitError),
    /// The log did not answer, or holds what this program does not know.
    #[error("the log cannot be followed")]
    Log(#[from] LogError),
    /// The log lost what the process manager has folded.
    #[error(transparent)]
    WentBack(WentBack),
    /// A step took longer than any that goes well.
    #[error("a step did not end within {0:?}; a connection may be silently dead")]
    Silent(Duration),
    /// The feed broke off.
    #[error("the feed broke off")]
    Feed(#[from] FeedError),
    /// The lease could not be read.
    #[error("the lease cannot be read")]
    Lease(#[from] CoordinationError),
    /// An instance cannot be written.
    #[error("an instance cannot be written")]
    Document(#[source] serde_json::Error),
}

/// Runs process managers. Of several runners one works for each of them.
#[derive(Clone)]
pub struct Runner {
    /// Where instances and steps are kept, and the log.
    pub store: Store,
    /// What carries steps out.
    pub executor: Executor,
    /// Where events come from.
    pub feed: Arc<dyn FeedSource>,
    /// Which process managers.
    pub processes: &'static [&'static dyn DynProcess],
    /// How.
    pub options: Options,
    /// How they stand, for whoever asks.
    pub standing: Standing,
}

impl Runner {
    /// Of all process managers.
    pub fn new(store: Store, executor: Executor, feed: Arc<dyn FeedSource>) -> Self {
        let (options, standing) = (Options::default(), Standing::default());
        Self { store, executor, feed, processes: PROCESSES, options, standing }
    }

    /// Runs until asked to stop.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let among: Arc<[String]> = self.processes.iter().map(|process| process.name().to_owned()).collect();
            let mut tasks = JoinSet::new();
            for process in self.processes {
                tasks.spawn(supervise(self.clone(), *process, among.clone(), shutdown.clone()));
            }
            while let Some(ended) = tasks.join_next().await {
                // A fault of the program, not of an instance: whoever runs this decides what becomes of the process.
                if let Err(error) = ended
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
        })
    }
}

/// Has one process manager follow the log, again and again, until asked to stop.
async fn supervise(
    runner: Runner,
    process: &'static dyn DynProcess,
    among: Arc<[String]>,
    shutdown: CancellationToken,
) {
    let (name, lease, holder) = (process.name(), format!("saga-{}", process.name()), Uuid::now_v7());
    let work = async {
        let mut pause = RETRY_PAUSE;
        loop {
            let began = Instant::now();
            let worked = turn(&runner, process, &among, &lease, holder).await;
            if began.elapsed() > RETRY_PAUSE_MAX {
                pause = RETRY_PAUSE;
            }
            match worked {
                Ok(()) => {
                    runner.standing.set(name, None);
                    // Whoever works tells them; what this process told when it did is not true any more.
                    for figure in OF_THE_ONE_THAT_WORKS {
                        metrics::gauge!(figure, "process_manager" => name).set(0.0);
                    }
                    pause = RETRY_PAUSE;
                    tokio::time::sleep(runner.options.lease_renewal().min(Duration::from_millis(500))).await;
                }
                Err(error) => {
                    let text = described(&error);
                    if runner.standing.set(name, Some(text.clone())) {
                        tracing::warn!(saga = name, error = text, "a process manager begins again");
                    }
                    // Another may be able to, such as one of a newer version.
                    drop(runner.store.leases.release(&lease, holder).await);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
    // Another need not wait for the lease to run out; if this fails it does.
    drop(runner.store.leases.release(&lease, holder).await);
}

/// Works for as long as the lease is held. Ends well where another works, or has to.
async fn turn(
    runner: &Runner,
    process: &'static dyn DynProcess,
    among: &[String],
    lease: &str,
    holder: Uuid,
) -> Result<(), RunError> {
    let kept = runner.store.sagas.cursor(process.name()).await?;
    if kept.is_some_and(|cursor| cursor.state_version > process.state_version()) {
        // What a newer program keeps is its own: this one would spoil it, so it does not stand in its way.
        tracing::debug!(saga = process.name(), "a newer version of the process manager is at work");
        return Ok(());
    }
    if runner.store.leases.acquire(lease, holder, runner.options.lease_time).await?.is_none() {
        return Ok(());
    }
    follow(runner, process, among, lease, holder).await
}

/// An error with its causes.
fn described(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
