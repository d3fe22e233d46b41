//! Keeping this process's share of the views up to date.

use std::sync::Arc;
use std::time::Duration;

use event_bus::{FeedError, FeedSource};
use event_store::Store;
use event_store::leases::CoordinationError;
use event_store::log::LogError;
use event_store::views::ViewError;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::batch::described;
use crate::session::Session;
use crate::share::Share;
use crate::standing::{Standing, report};
use views::DynView;

/// Pause after a first failure; it doubles with every further one.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long it must go well for a failure to count as a first one.
const RECOVERED_AFTER: Duration = Duration::from_secs(10);

/// Why the projector stopped; unless it cannot read the log, it begins again by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The views' storage did not answer.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The feed broke off.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The leases could not be read.
    #[error(transparent)]
    Lease(#[from] CoordinationError),
    /// A step took longer than any that goes well: a connection that is silently dead, which nobody else would tell.
    #[error("a step did not end within {0:?}; a connection may be silently dead")]
    Silent(Duration),
    /// The log lost events under the projector.
    #[error("the log went back; every view is looked at anew")]
    WentBack,
    /// The log holds an event that this program does not know.
    #[error("the log holds what this program cannot read; a newer one is needed")]
    Unreadable(#[source] LogError),
}

/// Keeps the views up to date until asked to stop, and tells `standing` how that goes.
///
/// Several projectors share the views; those of one that is gone are taken over
/// within seconds. At an event that this program cannot read it stops for good
/// and leaves the views to a newer one.
pub fn run(
    store: Store,
    feed: Arc<dyn FeedSource>,
    views: &'static [&'static dyn DynView],
    standing: Standing,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let names: Vec<&'static str> = views.iter().map(|view| view.schema().name).collect();
        for name in &names {
            standing.set_view(name, None);
        }
        let mut share = Share::new(store.leases.clone(), names);
        {
            let work = async {
                let mut pause = RETRY_PAUSE;
                loop {
                    let begun = tokio::time::Instant::now();
                    let error = Session::new(&store, &*feed, views, &mut share, &standing).run().await;
                    standing.set_projector(Some(described(&error)));
                    share.give_back().await;
                    if matches!(error, ProjectorError::Unreadable(_)) {
                        tracing::error!(error = &error as &dyn std::error::Error, "the projector stops");
                        return std::future::pending::<()>().await;
                    }
                    tracing::warn!(error = &error as &dyn std::error::Error, "the projector begins again");
                    if begun.elapsed() > RECOVERED_AFTER {
                        pause = RETRY_PAUSE;
                    }
                    tokio::time::sleep(pause).await;
                    pause = RETRY_PAUSE_MAX.min(pause * 2);
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = work => {}
                () = report(store.clone(), views) => {}
            }
        }
        share.give_back().await;
    })
}
