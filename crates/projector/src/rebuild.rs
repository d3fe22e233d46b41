//! Making a view again beside the one that is read.

use event_store::Store;
use event_store::log::LogError;
use event_store::views::{CommitError, ViewError};
use events::envelope::Envelope;
use events::registry::AnyEvent;
use tokio_util::task::AbortOnDropHandle;
use views::DynView;

use crate::batch::{AdvanceError, Cursor, decode, prepare};

/// Events that are read at a time.
const BATCH_EVENTS: usize = 2_000;
/// Views whose indexes the engine makes at the same time.
const SWAPS_AT_ONCE: usize = 2;
/// How often a rebuild that cannot catch up looks again before it gives up.
const CATCH_UP_TRIES_MAX: u32 = 10_000;

/// Why a rebuild failed; the view that is read is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no such view.
    #[error("there is no view `{0}`; there are: {1}")]
    Unknown(String, String),
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The view could not be folded or stored.
    #[error("the view could not be brought forward")]
    Advance(#[from] AdvanceError),
    /// The storage did not answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Somebody else rebuilds the same view.
    #[error("another rebuild of the same view took over")]
    Overtaken,
    /// Events come faster than they are folded.
    #[error("the rebuild does not catch up with the log")]
    NeverCaughtUp,
}

/// Rebuilds the view of this name from position 1 and puts it in place once it
/// has caught up. `progress` is told where it stands and where the log ends.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(
    store: &Store,
    view: &str,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), RebuildError> {
    let names = || views::ALL.iter().map(|view| view.schema().name).collect::<Vec<_>>().join(", ");
    let found = views::ALL.iter().find(|candidate| candidate.schema().name == view);
    let view = found.ok_or_else(|| RebuildError::Unknown(view.to_owned(), names()))?;
    store.views.register(view.schema()).await?;
    fill(store, &[*view], progress).await
}

/// Rebuilds every view in one pass over the log.
///
/// # Errors
/// [`RebuildError`]; every view that is read is then as it was, or rebuilt.
pub async fn rebuild_all(store: &Store, progress: &mut (dyn FnMut(u64, u64) + Send)) -> Result<(), RebuildError> {
    for view in views::ALL {
        store.views.register(view.schema()).await?;
    }
    fill(store, views::ALL, progress).await
}

/// Fills a new generation of each view, puts it in place, and clears the old one away.
pub async fn fill(
    store: &Store,
    views: &[&'static dyn DynView],
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), RebuildError> {
    let mut cursors = Vec::with_capacity(views.len());
    for view in views {
        let generation = store.views.start_rebuild(view.schema()).await?;
        cursors.push(Cursor { view: *view, generation, position: 0 });
    }
    for _ in 0..CATCH_UP_TRIES_MAX {
        catch_up(store, &mut cursors, progress).await?;
        let mut behind = Vec::new();
        let mut swaps = Vec::with_capacity(cursors.len());
        for some in cursors.chunks(SWAPS_AT_ONCE) {
            let swap = some.iter().map(|cursor| store.views.swap(cursor.view.schema().name, cursor.generation));
            swaps.extend(futures::future::join_all(swap).await);
        }
        for (cursor, swapped) in cursors.into_iter().zip(swaps) {
            let (name, generation) = (cursor.view.schema().name, cursor.generation);
            if swapped? {
                sweep(store, name).await;
            } else if is_mine(store, name, generation).await? {
                behind.push(cursor);
            } else {
                return Err(RebuildError::Overtaken);
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        cursors = behind;
    }
    Err(RebuildError::NeverCaughtUp)
}

/// Clears away what nobody reads. The view is in place either way.
async fn sweep(store: &Store, view: &str) {
    if let Err(error) = store.views.sweep(view).await {
        tracing::warn!(error = &error as &dyn std::error::Error, view, "old rows stay until the next rebuild");
    }
}

/// Folds everything that the log holds beyond the cursors, which all stand at
/// one place. The next events are read while the ones before are stored.
async fn catch_up(
    store: &Store,
    cursors: &mut [Cursor],
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), RebuildError> {
    let Some(mut position) = cursors.first().map(|cursor| cursor.position) else { return Ok(()) };
    let read = |after: u64| {
        let log = store.log.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { decode(log.read_all(after, BATCH_EVENTS).await?) }))
    };
    let mut next = read(position);
    loop {
        let events = next.await.map_err(|_| LogError::Stopped)??;
        let Some((_, last)) = events.last() else { return Ok(()) };
        position = last.position;
        next = read(position);
        // Each view on its own: nobody reads them yet, so they need not move together.
        let advanced = cursors.iter().map(|cursor| advance(store, *cursor, &events));
        for result in futures::future::join_all(advanced).await {
            result?;
        }
        cursors.iter_mut().for_each(|cursor| cursor.position = position);
        progress(position, store.log.head().await?);
    }
}

async fn advance(store: &Store, cursor: Cursor, events: &[(AnyEvent, Envelope)]) -> Result<(), RebuildError> {
    let batch = prepare(&*store.views, cursor, events).await?;
    match store.views.commit(vec![batch]).await {
        Ok(()) => Ok(()),
        Err(CommitError::Moved { .. }) => Err(RebuildError::Overtaken),
        Err(CommitError::View(error)) => Err(error.into()),
    }
}

async fn is_mine(store: &Store, view: &str, generation: i64) -> Result<bool, RebuildError> {
    let states = store.views.states().await?;
    let state = states.iter().find(|state| state.name == view);
    Ok(state.and_then(|state| state.rebuild.as_ref()).is_some_and(|rebuild| rebuild.generation == generation))
}
