//! Waiting for a view to have seen a position.
//!
//! However many wait, one task looks where the views stand: as soon as this
//! process commits, and now and then for what others commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{ViewError, ViewStore};

/// How often the catalogue is looked at for what other processes commit.
const POLL: Duration = Duration::from_millis(20);
/// How soon it is looked at again at the earliest, however fast this process commits.
const REST: Duration = Duration::from_millis(3);

/// Who waits for views. Clones share one look-out.
#[derive(Clone)]
pub struct ViewWaits {
    shared: Arc<Shared>,
}

struct Shared {
    views: Arc<dyn ViewStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    positions: HashMap<String, watch::Sender<u64>>,
    waiting: usize,
    is_watched: bool,
}

/// One who waits, counted until it goes.
struct Waiter<'waits> {
    shared: &'waits Shared,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.shared.state().waiting -= 1;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewWaits {
    /// Waits for what `views` commits.
    pub fn new(views: Arc<dyn ViewStore>) -> Self {
        Self { shared: Arc::new(Shared { views, state: Mutex::default() }) }
    }

    /// Waits until `view` stands at `position` or later; tells whether it came to that within `patience`.
    ///
    /// # Errors
    /// Where the storage does not answer, or does not know the view, at the beginning.
    pub async fn until(&self, view: &str, position: u64, patience: Duration) -> Result<bool, ViewError> {
        let deadline = Instant::now() + patience;
        // Heard before looking, so that a commit in between is not missed.
        let (mut stands, _waiter) = self.enter(view);
        if self.shared.views.position(view).await? >= position {
            return Ok(true);
        }
        match tokio::time::timeout_at(deadline, stands.wait_for(|stands| *stands >= position)).await {
            Ok(reached) => Ok(reached.is_ok()),
            Err(_) => Ok(false),
        }
    }

    fn enter(&self, view: &str) -> (watch::Receiver<u64>, Waiter<'_>) {
        let mut state = self.shared.state();
        state.waiting += 1;
        // What was seen before is no promise: the view may have been rebuilt since.
        let sender = state.positions.entry(view.to_owned()).or_insert_with(|| watch::Sender::new(0));
        let stands = sender.subscribe();
        if !std::mem::replace(&mut state.is_watched, true) {
            tokio::spawn(look_out(self.shared.clone()));
        }
        (stands, Waiter { shared: &self.shared })
    }
}

/// Tells those who wait where the views stand, until nobody waits.
async fn look_out(shared: Arc<Shared>) {
    let mut commits = shared.views.watch();
    loop {
        commits.borrow_and_update();
        match shared.views.states().await {
            Ok(states) => {
                let state = shared.state();
                for view in states {
                    if let Some(sender) = state.positions.get(&view.name) {
                        let position = view.checkpoint.position;
                        sender.send_if_modified(|stands| std::mem::replace(stands, position) != position);
                    }
                }
            }
            // Whoever waits is told by its patience; the next look may succeed.
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the views' catalogue is not read"),
        }
        tokio::time::sleep(REST).await;
        // A failed wait means that the views are closed: then only time passes.
        if let Ok(Err(_)) = tokio::time::timeout(POLL, commits.changed()).await {
            tokio::time::sleep(POLL).await;
        }
        let mut state = shared.state();
        if state.waiting == 0 {
            state.is_watched = false;
            return;
        }
    }
}
