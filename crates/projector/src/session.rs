//! What goes on between two failures of the projector: the live lane, and beside it whatever has to catch up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_bus::FeedSource;
use event_store::Store;
use event_store::log::LogError;
use event_store::log::lag::seconds_since;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::batch::{Cursor, Events, Left, advance, decode, described};
use crate::fill::{FillError, Manner, catch_up, replace, sweep};
use crate::lane::Lane;
use crate::open::{NEAR_EVENTS, Opened, open};
use crate::run::ProjectorError;
use crate::share::{Holdings, Share};
use crate::standing::Standing;
use views::DynView;

/// How often the leases are looked at.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked which views are to be tried again.
const RETRY_LOOK: Duration = Duration::from_millis(200);
/// Pause after a view's first failure; it doubles with every further one.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether a log that went back was taken up again.
const LOST_PAUSE: Duration = Duration::from_secs(2);
/// The longest time that a step may take: a batch is stored, leases are looked at. With the session its connections
/// go, those of fills, too.
const STEP_MAX: Duration = Duration::from_secs(15);
/// Fills that go on at the same time.
const FILLS_MAX: usize = 3;

/// What a task beside the live lane came to.
enum Outcome {
    Opened(Opened),
    Filled { caught: Vec<Cursor>, left: Left },
}

type Done = (Vec<&'static str>, Result<Outcome, FillError>);

/// A view that is tried again.
struct Failing {
    tries: u32,
    again_at: Option<Instant>,
}

/// The projector between two failures.
pub struct Session<'run> {
    store: &'run Store,
    feed: &'run dyn FeedSource,
    views: &'static [&'static dyn DynView],
    share: &'run mut Share,
    standing: &'run Standing,
    lane: Lane,
    manner: Arc<Beside>,
    fills: Arc<Semaphore>,
    // Ends with the session.
    tasks: JoinSet<Done>,
    failing: HashMap<&'static str, Failing>,
    // Views of whose failure the catalogue tells.
    noted: BTreeSet<&'static str>,
}

/// Fills give way to the live lane, and end where the view's lease is lost.
struct Beside {
    holdings: Holdings,
    is_live: AtomicBool,
}

impl Manner for Beside {
    fn wants(&self, view: &str) -> bool {
        self.holdings.holds(view)
    }

    fn gives_way(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }

    fn progress(&self, _position: u64, _head: u64) {}
}

/// A step of the session, within the longest time that one may take.
async fn within(step: impl Future<Output = Result<(), ProjectorError>>) -> Result<(), ProjectorError> {
    tokio::time::timeout(STEP_MAX, step).await.unwrap_or(Err(ProjectorError::Silent(STEP_MAX)))
}

impl<'run> Session<'run> {
    /// A session that has not begun.
    pub fn new(
        store: &'run Store,
        feed: &'run dyn FeedSource,
        views: &'static [&'static dyn DynView],
        share: &'run mut Share,
        standing: &'run Standing,
    ) -> Self {
        let manner = Arc::new(Beside { holdings: share.holdings(), is_live: AtomicBool::new(false) });
        Self {
            store,
            feed,
            views,
            share,
            standing,
            lane: Lane::default(),
            manner,
            fills: Arc::new(Semaphore::new(FILLS_MAX)),
            tasks: JoinSet::new(),
            failing: HashMap::new(),
            noted: BTreeSet::new(),
        }
    }

    /// Works until it cannot go on.
    pub async fn run(mut self) -> ProjectorError {
        match self.work().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, ProjectorError> {
        let mut tending = interval(TEND_EVERY);
        let mut retrying = interval(RETRY_LOOK);
        let mut incarnation = self.store.log.incarnation();
        tending.set_missed_tick_behavior(MissedTickBehavior::Delay);
        retrying.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tending.tick() => within(self.tend()).await?,
                _ = retrying.tick() => self.retry(),
                Some(done) = self.tasks.join_next() => match done {
                    Ok((views, outcome)) => within(self.settle(views, outcome)).await?,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                batch = self.lane.next() => within(self.follow(batch?)).await?,
                // What each view has read of the log is to be proved anew.
                Ok(()) = incarnation.changed() => return Err(ProjectorError::WentBack),
            }
            self.manner.is_live.store(!self.lane.is_empty(), Ordering::Relaxed);
        }
    }

    async fn tend(&mut self) -> Result<(), ProjectorError> {
        let change = self.share.tend().await?;
        for view in change.lost {
            tracing::info!(view, "another projector keeps the view up to date");
            self.lane.remove(view);
            self.failing.remove(view);
            self.standing.set_view(view, None);
        }
        self.open(change.taken);
        self.look_after_lane().await?;
        self.standing.set_projector(None);
        Ok(())
    }

    /// Finds out what became of live views while no event came: all that is derived may have been forgotten, or a
    /// rebuilt generation put in place.
    async fn look_after_lane(&mut self) -> Result<(), ProjectorError> {
        let states = self.store.views.states().await?;
        let is_read = |cursor: &Cursor| {
            states.iter().any(|state| state.name == cursor.name() && state.generation == cursor.generation)
        };
        let gone = self.lane.cursors.iter().filter(|cursor| !is_read(cursor)).map(Cursor::name);
        let moved: Vec<&'static str> = gone.collect();
        self.leave(Left { moved, ..Left::default() }).await
    }

    /// Looks anew at views, beside the live lane.
    fn open(&mut self, names: Vec<&'static str>) {
        if names.is_empty() {
            return;
        }
        let views: Vec<_> = self.views.iter().copied().filter(|view| names.contains(&view.schema().name)).collect();
        let store = self.store.clone();
        self.tasks.spawn(async move { (names, open(&store, &views).await.map(Outcome::Opened)) });
    }

    /// Fills views that stand at one place, beside the live lane.
    fn fill(&mut self, mut cursors: Vec<Cursor>, is_raised: bool) {
        let names = cursors.iter().map(Cursor::name).collect();
        let (store, manner, fills) = (self.store.clone(), self.manner.clone(), self.fills.clone());
        self.tasks.spawn(async move {
            // Never closed; without a permit it goes on all the same.
            let _permit = fills.acquire_owned().await;
            if !is_raised {
                let left = catch_up(&store, &mut cursors, &*manner).await;
                return (names, left.map(|left| Outcome::Filled { caught: cursors, left }));
            }
            let replaced = replace(&store, cursors, &*manner).await;
            let filled = replaced.map(|(caught, left)| {
                for view in caught.iter().map(Cursor::name) {
                    let store = store.clone();
                    // The view is in place: that old rows go is nothing to wait for.
                    tokio::spawn(async move { sweep(&store, view).await });
                }
                Outcome::Filled { caught, left }
            });
            (names, filled)
        });
    }

    async fn settle(
        &mut self,
        views: Vec<&'static str>,
        outcome: Result<Outcome, FillError>,
    ) -> Result<(), ProjectorError> {
        match outcome {
            Ok(Outcome::Opened(opened)) => self.opened(opened).await,
            Ok(Outcome::Filled { caught, left }) => {
                self.leave(left).await?;
                self.join(caught).await
            }
            // An old event that this program cannot read: those that are beyond it go on.
            Err(FillError::Log(error @ LogError::Decode { .. })) => {
                let error = described(&error);
                for view in views {
                    self.refuse(view, &error).await?;
                }
                Ok(())
            }
            Err(error) => {
                let error = described(&error);
                tracing::warn!(error, ?views, "views that catch up are tried again");
                for view in views {
                    self.standing.set_view(view, Some(&error));
                    self.try_again(view);
                }
                Ok(())
            }
        }
    }

    async fn opened(&mut self, opened: Opened) -> Result<(), ProjectorError> {
        for (view, why) in opened.refused {
            self.refuse(view, &why).await?;
        }
        for (view, lost) in opened.lost {
            if self.standing.set_view(view, Some(&lost)) {
                tracing::error!(view, lost, "a view stands still");
            }
            self.noted.insert(view);
            self.failing.insert(view, Failing { tries: 0, again_at: Some(Instant::now() + LOST_PAUSE) });
        }
        self.noted.extend(opened.faulty.iter().map(Cursor::name));
        for cursor in opened.faulty {
            self.fill(vec![cursor], false);
        }
        for (cursors, is_raised) in [(opened.behind, false), (opened.raised, true)] {
            // Those that stand at one place read the log together.
            let mut places: BTreeMap<u64, Vec<Cursor>> = BTreeMap::new();
            for cursor in cursors {
                places.entry(cursor.checkpoint.position).or_default().push(cursor);
            }
            for cursors in places.into_values() {
                self.fill(cursors, is_raised);
            }
        }
        self.join(opened.near).await
    }

    /// Lets views that have caught up join the live lane.
    async fn join(&mut self, mut cursors: Vec<Cursor>) -> Result<(), ProjectorError> {
        cursors.retain(|cursor| self.manner.holdings.holds(cursor.name()));
        cursors.sort_by_key(|cursor| cursor.checkpoint.position);
        for cursor in cursors {
            let view = cursor.name();
            // Never twice, whatever was asked for meanwhile.
            self.lane.remove(view);
            if self.lane.is_empty() {
                self.lane.begin(cursor, self.feed.open(cursor.checkpoint.position));
            } else if cursor.checkpoint.position >= self.lane.position {
                self.lane.cursors.push(cursor);
            } else if self.lane.position - cursor.checkpoint.position > NEAR_EVENTS {
                self.fill(vec![cursor], false);
                continue;
            } else if !self.close_gap(cursor).await? {
                continue;
            }
            self.failing.remove(view);
            if self.noted.remove(view) {
                self.store.views.set_failure(view, None).await?;
            }
            if self.standing.set_view(view, None) {
                tracing::info!(view, "a view goes on");
            }
        }
        Ok(())
    }

    /// Brings a view to where the lane is; tells whether it is in the lane now.
    async fn close_gap(&mut self, cursor: Cursor) -> Result<bool, ProjectorError> {
        let mut one = vec![cursor];
        // Long events come in several pieces.
        while let Some(gap) = one.first().map(|cursor| self.lane.position - cursor.checkpoint.position)
            && gap > 0
        {
            let envelopes = self.store.log.read_all(self.lane.position - gap, gap as usize).await?;
            let (events, unreadable) = decode(envelopes);
            if let Some(error) = unreadable {
                return Err(ProjectorError::Unreadable(error));
            }
            if events.is_empty() {
                return Ok(false);
            }
            let left = advance(self.store, &mut one, &events).await?;
            self.leave(left).await?;
        }
        let has_joined = !one.is_empty();
        self.lane.cursors.append(&mut one);
        Ok(has_joined)
    }

    async fn follow(&mut self, (events, unreadable): (Events, Option<LogError>)) -> Result<(), ProjectorError> {
        let left = advance(self.store, &mut self.lane.cursors, &events).await?;
        if let Some((_, last)) = events.last() {
            self.lane.position = last.position;
            let delay = seconds_since(last.recorded_at);
            for cursor in &self.lane.cursors {
                metrics::histogram!("anamnesis_view_delay_seconds", "view" => cursor.name()).record(delay);
            }
        }
        self.leave(left).await?;
        unreadable.map_or(Ok(()), |error| Err(ProjectorError::Unreadable(error)))
    }

    /// Sees to views that could not be brought forward.
    async fn leave(&mut self, left: Left) -> Result<(), ProjectorError> {
        for view in &left.moved {
            tracing::info!(view, "a view was moved by another hand; looking again");
            self.lane.remove(view);
        }
        self.open(left.moved);
        for (view, fault) in left.faulty {
            self.lane.remove(view);
            if self.standing.set_view(view, Some(&fault)) {
                tracing::error!(view, fault, "a view stands still");
            }
            self.store.views.set_failure(view, Some(&fault)).await?;
            self.noted.insert(view);
            self.try_again(view);
        }
        Ok(())
    }

    /// Leaves a view to other programs.
    async fn refuse(&mut self, view: &'static str, why: &str) -> Result<(), ProjectorError> {
        if self.standing.set_view(view, Some(why)) {
            tracing::error!(view, why, "this program leaves a view alone");
        }
        self.failing.remove(view);
        Ok(self.share.refuse(view).await?)
    }

    fn try_again(&mut self, view: &'static str) {
        let failing = self.failing.entry(view).or_insert(Failing { tries: 0, again_at: None });
        let pause = FAILED_PAUSE * 2_u32.saturating_pow(failing.tries.min(16));
        failing.tries += 1;
        failing.again_at = Some(Instant::now() + pause.min(FAILED_PAUSE_MAX));
    }

    fn retry(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (view, failing) in &mut self.failing {
            if failing.again_at.take_if(|again_at| *again_at <= now).is_some() {
                due.push(*view);
            }
        }
        self.open(due);
    }
}
