//! One process manager at work: it folds events, sends steps, and keeps time.

use std::collections::VecDeque;
use std::time::Duration;

use domain::process::Route;
use event_bus::{Feed, FeedError, FeedSource};
use event_store::clock;
use event_store::execute::Executor;
use event_store::log::LogError;
use event_store::views::CommitError;
use events::envelope::Envelope;
use events::registry::AnyEvent;
use tokio::time::Instant;
use uuid::Uuid;

use crate::fold::Incoming;
use crate::instance::SCHEMA;
use crate::lane::Lane;
use crate::process::DynProcess;
use crate::run::{RunError, Runner};
use crate::steps::{Outcome, Steps};

/// Events that are folded at a time.
const BATCH_EVENTS_MAX: usize = 1_000;
/// How long what need not be stored at once waits for something that must be: the end of a step is stored together
/// with the event that followed from it.
const STORE_WITHIN: Duration = Duration::from_millis(50);
/// The longest time that a step of the loop may take: with it its connections go, which may be silently dead.
const STEP_MAX: Duration = Duration::from_secs(30);
/// How often stuck instances and dead letters are counted.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// One process manager at work.
struct Follower<'run> {
    lane: Lane<'run>,
    steps: Steps,
    executor: &'run Executor,
    // Read, and not folded yet.
    backlog: VecDeque<Incoming>,
    // What comes after them cannot be read.
    blocked: Option<RunError>,
    unstored_since: Option<Instant>,
}

/// Works from where the process manager stands; ends when the lease is lost.
pub async fn follow(
    runner: &Runner,
    process: &'static dyn DynProcess,
    among: &[String],
    lease: &str,
    holder: Uuid,
) -> Result<(), RunError> {
    let (store, options) = (&runner.store, runner.options);
    let mut incarnation = store.log.incarnation();
    let mut follower = begin(runner, process, among).await?;
    let mut feed = Pump::open(&*runner.feed, follower.lane.cursor.checkpoint.position);
    let mut renew_at = Instant::now() + options.lease_renewal();
    let (mut look_at, mut count_at) = (Instant::now(), Instant::now());
    loop {
        let step = async {
            follower.send().await?;
            let mut wake_at = renew_at.min(look_at);
            wake_at = wake_at.min(follower.steps.next_retry().unwrap_or(wake_at));
            wake_at = wake_at.min(follower.unstored_since.map_or(wake_at, |since| since + STORE_WITHIN));
            let has_work = !follower.backlog.is_empty() || follower.blocked.is_some();
            tokio::select! {
                events = feed.next(), if !has_work => follower.take(events?),
                outcomes = follower.steps.ended() => follower.settle(outcomes).await?,
                () = std::future::ready(()), if has_work => follower.fold().await?,
                () = tokio::time::sleep_until(wake_at) => {}
                // What was read of the log is to be proved anew; what is not stored yet is of no worth.
                Ok(()) = incarnation.changed() => return Ok(false),
            }
            let now = Instant::now();
            if follower.unstored_since.is_some_and(|since| since + STORE_WITHIN <= now) {
                follower.store().await?;
            }
            if now >= renew_at {
                if store.leases.acquire(lease, holder, options.lease_time).await?.is_none() {
                    return Ok(false);
                }
                renew_at = Instant::now() + options.lease_renewal();
                // It works again.
                runner.standing.set(process.name(), None);
            }
            if now >= look_at {
                follower.require_kept().await?;
                follower.look().await?;
                store.sagas.announce(among).await?;
                look_at = Instant::now() + options.look_every;
            }
            if now >= count_at {
                follower.lane.count_troubles().await?;
                count_at = Instant::now() + COUNT_EVERY;
            }
            Ok::<bool, RunError>(true)
        };
        match tokio::time::timeout(STEP_MAX, step).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(RunError::Silent(STEP_MAX)),
        }
    }
}

/// Takes up where the process manager stands, or lets it begin anew where its states are of another version.
async fn begin<'run>(
    runner: &'run Runner,
    process: &'static dyn DynProcess,
    among: &'run [String],
) -> Result<Follower<'run>, RunError> {
    let (store, name, version) = (&runner.store, process.name(), process.state_version());
    let generation = store.views.register(&SCHEMA).await?.generation;
    let cursor = match store.sagas.cursor(name).await? {
        Some(cursor) if cursor.state_version == version => {
            store.log.prove(cursor.checkpoint).await?.map_err(RunError::WentBack)?;
            cursor
        }
        other => {
            let from = other.as_ref().map_or(0, |cursor| cursor.state_version);
            tracing::info!(saga = name, from, to = version, "a process manager is folded from the log");
            store.sagas.restart(name, generation, version, other).await?
        }
    };
    let head = store.log.head().await?;
    let lane = Lane::new(process, store, generation, among, cursor, head);
    let (steps, backlog, blocked) = (Steps::of(process.commands()), VecDeque::new(), None);
    Ok(Follower { lane, steps, executor: &runner.executor, backlog, blocked, unstored_since: None })
}

impl Follower<'_> {
    /// Sends what may be sent. Until everything from before is folded nothing is: the log may tell what became of it.
    async fn send(&mut self) -> Result<(), RunError> {
        if self.lane.has_caught_up() {
            let name = self.lane.process.name();
            self.steps.read_on(&*self.lane.store.sagas, name).await?;
            self.steps.start(self.executor);
            metrics::gauge!("anamnesis_process_manager_steps_pending", "process_manager" => name)
                .set(self.steps.len() as f64);
        }
        Ok(())
    }

    /// Takes events in. An event that this program does not know stops the process manager behind those before it.
    fn take(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            // Delivered again: folded before.
            if envelope.position <= self.lane.cursor.checkpoint.position {
                continue;
            }
            match AnyEvent::from_envelope(&envelope) {
                Ok(event) => {
                    let route = self.lane.process.route(&event, &envelope);
                    self.backlog.push_back(Incoming { event, envelope, route });
                }
                Err(source) => {
                    self.blocked = Some(LogError::Decode { position: envelope.position, source }.into());
                    return;
                }
            }
        }
    }

    /// Folds the next events: a batch of them, or one of many pages of an event that concerns a whole trial.
    async fn fold(&mut self) -> Result<(), RunError> {
        if self.backlog.is_empty() {
            self.store().await?;
            return self.blocked.take().map_or(Ok(()), Err);
        }
        let is_single = |incoming: &&Incoming| !matches!(incoming.route, Route::Trial(_));
        let count = self.backlog.iter().take(BATCH_EVENTS_MAX).take_while(is_single).count();
        if count > 0 {
            let events: Vec<Incoming> = self.backlog.drain(..count).collect();
            self.lane.fold(&events).await?;
            return self.store_in_time().await;
        }
        self.store().await?;
        let Some(incoming) = self.backlog.front() else { return Ok(()) };
        let Route::Trial(trial_id) = incoming.route else { return Ok(()) };
        self.unstored_since = Some(Instant::now());
        let was_last = self.lane.fan_out(incoming, trial_id.uuid()).await?;
        self.store().await?;
        if was_last {
            self.backlog.pop_front();
        }
        Ok(())
    }

    async fn settle(&mut self, outcomes: Vec<Outcome>) -> Result<(), RunError> {
        self.lane.settle(&mut self.steps, outcomes).await?;
        self.store_in_time().await
    }

    /// Finds out whether all that is derived was forgotten, or another runner has moved on, while no event came.
    async fn require_kept(&self) -> Result<(), RunError> {
        let kept = self.lane.store.sagas.cursor(self.lane.process.name()).await?;
        match kept.is_some_and(|kept| kept.revision == self.lane.cursor.revision) {
            true => Ok(()),
            false => Err(CommitError::Moved { view: SCHEMA.name.to_owned() }.into()),
        }
    }

    /// Wakes whose time has come.
    async fn look(&mut self) -> Result<(), RunError> {
        if !self.lane.has_caught_up() {
            return Ok(());
        }
        // What is due is asked of the storage.
        self.store().await?;
        loop {
            let more = self.lane.wake(clock::now()).await?;
            if self.lane.is_dirty() {
                self.unstored_since = Some(Instant::now());
                self.store().await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Stores at once what steps follow from; the rest waits a moment for more.
    async fn store_in_time(&mut self) -> Result<(), RunError> {
        self.unstored_since.get_or_insert_with(Instant::now);
        if self.lane.has_planned() { self.store().await } else { Ok(()) }
    }

    /// Stores what is not stored yet.
    async fn store(&mut self) -> Result<(), RunError> {
        if self.unstored_since.take().is_some() {
            let planned = self.lane.commit().await?;
            self.steps.add(planned);
        }
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
            // It broke down.
            None => Err(LogError::Stopped.into()),
        }
    }
}
