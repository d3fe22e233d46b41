//! Keeping all views up to date.

use std::sync::Arc;
use std::time::Duration;

use event_bus::{Feed, FeedError, FeedSource};
use event_store::Store;
use event_store::leases::CoordinationError;
use event_store::log::LogError;
use event_store::views::{CommitError, ViewBatch, ViewError};
use events::envelope::Envelope;
use events::registry::AnyEvent;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use views::DynView;

use crate::batch::{AdvanceError, Cursor, decode, prepare};
use crate::rebuild::{RebuildError, fill};

/// The lease of the one active projector.
const LEASE: &str = "projector";
/// How long the lease holds without being renewed: the time until another takes over.
const LEASE_TIME: Duration = Duration::from_secs(5);
/// How often it is renewed.
const LEASE_RENEWAL: Duration = Duration::from_millis(1500);
/// Pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long a view that cannot be folded stands still before it is tried again.
const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// Why the projector stopped for the moment; it begins again by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The views' storage did not answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The log did not answer, or holds what this program does not know.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The feed broke off.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The lease could not be read.
    #[error(transparent)]
    Lease(#[from] CoordinationError),
    /// A rebuild failed.
    #[error("a view could not be rebuilt")]
    Rebuild(#[from] RebuildError),
}

/// Keeps all views up to date until asked to stop. Of several projectors one works.
pub async fn run(store: Store, feed: Arc<dyn FeedSource>, shutdown: CancellationToken) {
    let holder = Uuid::now_v7();
    let work = async {
        loop {
            if let Err(error) = follow(&store, &*feed, holder).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the projector begins again");
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

/// Follows the log from where the views stand; ends when something has to be looked at anew.
async fn follow(store: &Store, feed: &dyn FeedSource, holder: Uuid) -> Result<(), ProjectorError> {
    if store.leases.acquire(LEASE, holder, LEASE_TIME).await?.is_none() {
        return Ok(());
    }
    let mut cursors = holding(store, holder, begin(store)).await?;
    let mut renewed = Instant::now();
    let mut failed_at = None;
    let Some(slowest) = cursors.iter().map(|cursor| cursor.position).min() else { return Ok(()) };
    let mut feed = feed.open(slowest);
    loop {
        let Some(events) = next_events(store, &mut *feed, holder, &mut renewed).await? else { return Ok(()) };
        let views = cursors.len();
        if !advance(store, &mut cursors, &events).await? {
            return Ok(());
        }
        if cursors.len() < views {
            failed_at.get_or_insert_with(Instant::now);
        }
        // Whatever stands still is tried again by beginning anew.
        if failed_at.is_some_and(|failed_at| failed_at.elapsed() > FAILED_PAUSE) {
            return Ok(());
        }
        let head = *store.log.watch_head().borrow();
        let slowest = cursors.iter().map(|cursor| cursor.position).min().unwrap_or(head);
        metrics::gauge!("anamnesis_projector_lag_events").set(head.saturating_sub(slowest) as f64);
        if renewed.elapsed() > LEASE_RENEWAL && !renew(store, holder, &mut renewed).await? {
            return Ok(());
        }
    }
}

/// Does long work while keeping the lease.
async fn holding<T>(
    store: &Store,
    holder: Uuid,
    work: impl Future<Output = Result<T, ProjectorError>>,
) -> Result<T, ProjectorError> {
    let mut work = std::pin::pin!(work);
    let mut renewed = Instant::now();
    loop {
        match tokio::time::timeout(LEASE_RENEWAL, &mut work).await {
            Ok(done) => return done,
            // Where it was lost, compare-and-set keeps the other's work whole.
            Err(_) => _ = renew(store, holder, &mut renewed).await?,
        }
    }
}

/// Waits for events while keeping the lease; `None` where it was lost.
async fn next_events(
    store: &Store,
    feed: &mut dyn Feed,
    holder: Uuid,
    renewed: &mut Instant,
) -> Result<Option<Vec<(AnyEvent, Envelope)>>, ProjectorError> {
    let mut next = feed.next();
    loop {
        match tokio::time::timeout(LEASE_RENEWAL, &mut next).await {
            Ok(envelopes) => return Ok(Some(decode(envelopes?)?)),
            Err(_) if !renew(store, holder, renewed).await? => return Ok(None),
            Err(_) => {}
        }
    }
}

async fn renew(store: &Store, holder: Uuid, renewed: &mut Instant) -> Result<bool, ProjectorError> {
    *renewed = Instant::now();
    Ok(store.leases.acquire(LEASE, holder, LEASE_TIME).await?.is_some())
}

/// Registers every view; rebuilds those whose schema was raised.
async fn begin(store: &Store) -> Result<Vec<Cursor>, ProjectorError> {
    let mut cursors = Vec::with_capacity(views::ALL.len());
    for view in views::ALL {
        let view: &'static dyn DynView = *view;
        let schema = view.schema();
        let mut state = store.views.register(schema).await?;
        if state.version < schema.version {
            tracing::info!(view = schema.name, from = state.version, to = schema.version, "a view is rebuilt");
            fill(store, &[view], &mut |_, _| {}).await?;
            state = store.views.register(schema).await?;
        }
        cursors.push(Cursor { view, generation: state.generation, position: state.position });
    }
    Ok(cursors)
}

/// Brings every view forward: all in one transaction, or, where one of them
/// fails, each in its own. Tells whether the cursors still hold.
async fn advance(
    store: &Store,
    cursors: &mut Vec<Cursor>,
    events: &[(AnyEvent, Envelope)],
) -> Result<bool, ProjectorError> {
    let mut batches = Vec::with_capacity(cursors.len());
    let mut failed = Vec::new();
    for cursor in cursors.iter() {
        match prepare(&*store.views, *cursor, events).await {
            Ok(batch) => batches.push(batch),
            Err(AdvanceError::Fault(fault)) => failed.push((cursor.view.schema().name.to_owned(), fault.to_string())),
            Err(AdvanceError::Commit(CommitError::View(error))) => return Err(error.into()),
            Err(AdvanceError::Commit(CommitError::Moved { .. })) => return Ok(false),
        }
    }
    batches.retain(|batch| batch.to_position > batch.from_position);
    let moved: Vec<(String, u64)> = batches.iter().map(|batch| (batch.view.clone(), batch.to_position)).collect();
    match commit(store, batches).await {
        Ok(refused) => failed.extend(refused),
        Err(CommitError::Moved { view }) => {
            tracing::info!(view, "a view was moved by another hand; looking again");
            return Ok(false);
        }
        Err(CommitError::View(error)) => return Err(error.into()),
    }
    for (view, fault) in &failed {
        tracing::error!(view, fault, "a view stands still");
        store.views.set_failure(view, Some(fault)).await?;
    }
    // A view that missed a batch must not be given the next one.
    cursors.retain(|cursor| failed.iter().all(|(view, _)| *view != cursor.view.schema().name));
    for cursor in cursors.iter_mut() {
        if let Some((_, position)) = moved.iter().find(|(view, _)| view == cursor.view.schema().name) {
            cursor.position = *position;
        }
    }
    Ok(true)
}

/// Stores all batches in one transaction; where the storage refuses that, each
/// in its own. Gives the views that were refused although others were taken.
async fn commit(store: &Store, batches: Vec<ViewBatch>) -> Result<Vec<(String, String)>, CommitError> {
    let error = match store.views.commit(batches.clone()).await {
        Err(CommitError::View(error)) => error,
        done => return done.map(|()| Vec::new()),
    };
    let (mut refused, count) = (Vec::new(), batches.len());
    for batch in batches {
        let view = batch.view.clone();
        match store.views.commit(vec![batch]).await {
            Ok(()) => {}
            Err(CommitError::View(error)) => refused.push((view, described(&error))),
            Err(moved) => return Err(moved),
        }
    }
    // All of them: it is the storage that is away.
    if refused.len() == count { Err(error.into()) } else { Ok(refused) }
}

/// An error with its causes, for whoever looks at a view that stands still.
fn described(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
