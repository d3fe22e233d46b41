//! How the projector does, for readiness and for the operator's gauges.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_store::Store;
use event_store::log::lag::seconds_behind;

use views::DynView;

/// How often the gauges are set.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How the projector of this process does. Clones tell the same.
#[derive(Clone, Default)]
pub struct Standing(Arc<Mutex<Troubles>>);

#[derive(Default)]
struct Troubles {
    projector: Option<String>,
    views: BTreeMap<&'static str, Option<String>>,
}

impl Standing {
    /// Whether the projector does its work at all; otherwise what keeps it from it. One view that stands still does
    /// not: see [`Standing::views`].
    ///
    /// # Errors
    /// What keeps it from its work.
    pub fn projector(&self) -> Result<(), String> {
        self.troubles().projector.clone().map_or(Ok(()), Err)
    }

    /// Every view by name, with what keeps this process from bringing it forward.
    pub fn views(&self) -> Vec<(&'static str, Result<(), String>)> {
        let troubles = self.troubles();
        let projector = &troubles.projector;
        let trouble = |view: &Option<String>| view.clone().or_else(|| projector.clone()).map_or(Ok(()), Err);
        troubles.views.iter().map(|(view, own)| (*view, trouble(own))).collect()
    }

    pub(crate) fn set_projector(&self, trouble: Option<String>) {
        self.troubles().projector = trouble;
    }

    /// Notes a view's trouble; tells whether it is news.
    pub(crate) fn set_view(&self, view: &'static str, trouble: Option<&str>) -> bool {
        let trouble = trouble.map(str::to_owned);
        let before = self.troubles().views.insert(view, trouble.clone());
        before.flatten() != trouble
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets the gauges of every view's lag, whoever keeps it up to date, and
/// whatever else is away: what cannot be read is taken from the last look.
pub(crate) async fn report(store: Store, views: &'static [&'static dyn DynView]) {
    let (mut positions, mut head) = (HashMap::new(), 0);
    loop {
        if let Ok(states) = store.views.states().await {
            for state in states {
                if let Some(view) = views.iter().find(|view| view.schema().name == state.name) {
                    let stopped = if state.failure.is_some() { 1.0 } else { 0.0 };
                    metrics::gauge!("anamnesis_view_stopped", "view" => view.schema().name).set(stopped);
                }
                positions.insert(state.name, state.checkpoint.position);
            }
        }
        // A head of which only this process has heard counts as well.
        head = store.log.head().await.unwrap_or(head).max(*store.log.watch_head().borrow());
        // Most views stand at the same place.
        let mut ages: HashMap<u64, f64> = HashMap::new();
        for view in views {
            let name = view.schema().name;
            let position = positions.get(name).copied().unwrap_or(0);
            metrics::gauge!("anamnesis_view_lag_events", "view" => name).set(head.saturating_sub(position) as f64);
            let age = match ages.get(&position) {
                Some(age) => Ok(*age),
                None => seconds_behind(&*store.log, position, head).await,
            };
            // Where the log does not answer the last figure stands.
            if let Ok(age) = age {
                ages.insert(position, age);
                metrics::gauge!("anamnesis_view_lag_seconds", "view" => name).set(age);
            }
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
}
