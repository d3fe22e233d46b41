//! Filling views that are far behind, from the log, beside those that are live.

use std::time::Duration;

use event_store::Store;
use event_store::log::LogError;
use event_store::views::ViewError;
use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::batch::{Cursor, Left, advance, decode};

/// Events that are read at a time.
const BATCH_EVENTS: usize = 2_000;
/// The longest rest between two batches.
const REST_MAX: Duration = Duration::from_millis(500);
/// Views whose indexes the engine makes at the same time.
const SWAPS_AT_ONCE: usize = 2;
/// How often a rebuild that cannot catch up looks again before it gives up.
const CATCH_UP_TRIES_MAX: u32 = 10_000;

/// Why filling came to an end too early; the cursors say how far it came.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The log did not answer, or holds what this program cannot read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The storage did not answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Events come faster than they are folded.
    #[error("the rebuild does not catch up with the log")]
    NeverCaughtUp,
}

/// How a fill treats those around it.
pub trait Manner: Send + Sync {
    /// Whether the view is still to be filled.
    fn wants(&self, view: &str) -> bool;

    /// Whether half of the time is left to others.
    fn gives_way(&self) -> bool;

    /// Told where the fill stands and where the log ends.
    fn progress(&self, position: u64, head: u64);
}

/// Folds everything that the log holds beyond the cursors, which all stand at
/// one place. The next events are read while the ones before are stored.
pub async fn catch_up(store: &Store, cursors: &mut Vec<Cursor>, manner: &dyn Manner) -> Result<Left, FillError> {
    let mut left = Left::default();
    let Some(mut position) = cursors.first().map(|cursor| cursor.checkpoint.position) else { return Ok(left) };
    let read = |after: u64| {
        let log = store.log.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            Ok::<_, LogError>(decode(log.read_all(after, BATCH_EVENTS).await?))
        }))
    };
    let mut next = read(position);
    loop {
        let (events, unreadable) = next.await.map_err(|_| LogError::Stopped)??;
        cursors.retain(|cursor| manner.wants(cursor.name()));
        let Some((_, last)) = events.last().filter(|_| !cursors.is_empty()) else {
            return unreadable.map_or(Ok(left), |error| Err(error.into()));
        };
        let begun = Instant::now();
        position = last.position;
        next = read(position);
        // Each view on its own: nobody reads them together.
        let advanced = cursors.iter().map(async |cursor| {
            let mut one = vec![*cursor];
            advance(store, &mut one, &events).await.map(|left| (one, left))
        });
        let advanced = join_all(advanced).await;
        cursors.clear();
        for one in advanced {
            let (one, left_here) = one?;
            cursors.extend(one);
            left.extend(left_here);
        }
        if let Some(error) = unreadable {
            return Err(error.into());
        }
        manner.progress(position, store.log.head().await?);
        if manner.gives_way() {
            tokio::time::sleep(begun.elapsed().min(REST_MAX)).await;
        }
    }
}

/// Fills new generations, which all stand at one place, and puts each in place
/// once it has caught up with what is read. Gives those that are in place.
pub async fn replace(
    store: &Store,
    mut cursors: Vec<Cursor>,
    manner: &dyn Manner,
) -> Result<(Vec<Cursor>, Left), FillError> {
    let (mut done, mut left) = (Vec::with_capacity(cursors.len()), Left::default());
    for _ in 0..CATCH_UP_TRIES_MAX {
        left.extend(catch_up(store, &mut cursors, manner).await?);
        let mut behind = Vec::new();
        let mut swaps = Vec::with_capacity(cursors.len());
        for some in cursors.chunks(SWAPS_AT_ONCE) {
            let swap = some.iter().map(|cursor| store.views.swap(cursor.name(), cursor.generation));
            swaps.extend(join_all(swap).await);
        }
        for (cursor, swapped) in cursors.into_iter().zip(swaps) {
            if swapped? {
                done.push(cursor);
            } else if is_mine(store, &cursor).await? {
                behind.push(cursor);
            } else {
                left.moved.push(cursor.name());
            }
        }
        if behind.is_empty() {
            return Ok((done, left));
        }
        cursors = behind;
    }
    Err(FillError::NeverCaughtUp)
}

/// Clears away what nobody reads. The view is in place either way.
pub async fn sweep(store: &Store, view: &str) {
    if let Err(error) = store.views.sweep(view).await {
        tracing::warn!(error = &error as &dyn std::error::Error, view, "old rows stay until the next rebuild");
    }
}

async fn is_mine(store: &Store, cursor: &Cursor) -> Result<bool, ViewError> {
    let states = store.views.states().await?;
    let state = states.iter().find(|state| state.name == cursor.name());
    let filled = state.and_then(|state| state.rebuild.as_ref());
    Ok(filled.is_some_and(|rebuild| rebuild.generation == cursor.generation))
}
