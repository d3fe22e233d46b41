//! Making a view again beside the one that is read, because an operator wants it.

use std::sync::Mutex;

use event_store::Store;
use event_store::checkpoints::Checkpoint;
use event_store::views::ViewError;
use futures::future::BoxFuture;

use crate::batch::Cursor;
use crate::fill::{FillError, Manner, replace, sweep};
use views::DynView;

/// Why a rebuild failed; the view that is read is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no such view.
    #[error("there is no view `{0}`; there are: {1}")]
    Unknown(String, String),
    /// The view cannot be folded or stored.
    #[error("the view `{view}` cannot be brought forward: {fault}")]
    Faulty {
        /// The view.
        view: &'static str,
        /// Why.
        fault: String,
    },
    /// The storage did not answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The log could not be read to its end.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// Somebody else rebuilds the same view.
    #[error("another rebuild of the same view took over")]
    Overtaken,
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
    fill(store, &[*view], progress).await
}

/// Rebuilds every view in one pass over the log.
///
/// # Errors
/// [`RebuildError`]; every view that is read is then as it was, or rebuilt.
pub async fn rebuild_all(store: &Store, progress: &mut (dyn FnMut(u64, u64) + Send)) -> Result<(), RebuildError> {
    fill(store, views::ALL, progress).await
}

/// An operator waits: all views, as fast as it goes.
struct AtOnce<'caller> {
    progress: Mutex<&'caller mut (dyn FnMut(u64, u64) + Send)>,
}

impl Manner for AtOnce<'_> {
    fn wants(&self, _view: &str) -> bool {
        true
    }

    fn gives_way(&self) -> bool {
        false
    }

    fn progress(&self, position: u64, head: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        progress(position, head);
    }
}

/// Fills a new generation of each view, puts it in place, and clears the old one away.
fn fill<'caller>(
    store: &'caller Store,
    views: &'caller [&'static dyn DynView],
    progress: &'caller mut (dyn FnMut(u64, u64) + Send),
) -> BoxFuture<'caller, Result<(), RebuildError>> {
    Box::pin(async move {
        let mut cursors = Vec::with_capacity(views.len());
        for view in views {
            store.views.register(view.schema()).await?;
            let generation = store.views.start_rebuild(view.schema()).await?;
            cursors.push(Cursor { view: *view, generation, checkpoint: Checkpoint::START });
        }
        let (done, left) = replace(store, cursors, &AtOnce { progress: Mutex::new(progress) }).await?;
        for cursor in done {
            sweep(store, cursor.name()).await;
        }
        match left.faulty.into_iter().next() {
            Some((view, fault)) => Err(RebuildError::Faulty { view, fault }),
            None if left.moved.is_empty() => Ok(()),
            None => Err(RebuildError::Overtaken),
        }
    })
}
