//! How the relay is doing, for readiness and metrics: also while it fails.

use std::time::Duration;

use event_store::Store;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::topology::{LEASE_TIME, RELAY_CHECKPOINT};

/// How often the log's head is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long the relay may fail before it counts.
const FAILING_TIME_MAX: Duration = Duration::from_secs(3);
/// How long nothing may be published while there is something to publish.
const STALLED_TIME_MAX: Duration = Duration::from_secs(30);
/// After this time as another's standby it is that one's failures that count.
const STANDBY_TIME: Duration = LEASE_TIME.saturating_mul(2);

/// Where the relay stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStanding {
    /// Whether it is the one that publishes.
    pub leading: bool,
    /// The last position that JetStream is known to have.
    pub published: u64,
    /// Where the log ends.
    pub head: u64,
    /// Since when it has failed; none while it works.
    pub failing_since: Option<Instant>,
    /// Why it fails.
    pub cause: Option<String>,
    /// When `published` moved, or had nothing before it to move to.
    pub progress_at: Instant,
    // Since when another is the one that publishes.
    standby_since: Option<Instant>,
}

/// Tells where a relay stands; readiness asks [`RelayHealth::check`].
#[derive(Clone, Debug)]
pub struct RelayHealth(watch::Receiver<RelayStanding>);

impl RelayHealth {
    /// Where it stands now.
    pub fn standing(&self) -> RelayStanding {
        self.0.borrow().clone()
    }

    /// Whether the log is being published.
    ///
    /// # Errors
    /// What keeps it from being published.
    pub fn check(&self) -> Result<(), String> {
        let standing = self.0.borrow();
        if let (Some(since), Some(cause)) = (standing.failing_since, &standing.cause)
            && since.elapsed() >= FAILING_TIME_MAX
        {
            return Err(format!("the relay has failed for {} s: {cause}", since.elapsed().as_secs()));
        }
        let (published, head) = (standing.published, standing.head);
        if published < head && standing.progress_at.elapsed() >= STALLED_TIME_MAX {
            let seconds = standing.progress_at.elapsed().as_secs();
            return Err(format!("nothing was published for {seconds} s: {published} of {head} events"));
        }
        Ok(())
    }
}

/// What the relay writes [`RelayHealth`] with.
pub struct Record(watch::Sender<RelayStanding>);

impl Record {
    pub fn new() -> Self {
        Self(watch::Sender::new(RelayStanding {
            leading: false,
            published: 0,
            head: 0,
            failing_since: None,
            cause: None,
            progress_at: Instant::now(),
            standby_since: None,
        }))
    }

    pub fn health(&self) -> RelayHealth {
        RelayHealth(self.0.subscribe())
    }

    /// The lease is held; whether the work goes well is seen when something was published.
    pub fn leads(&self) {
        self.0.send_modify(|standing| {
            standing.leading = true;
            standing.standby_since = None;
        });
    }

    /// Another holds the lease.
    pub fn stands_by(&self) {
        self.0.send_modify(|standing| {
            standing.leading = false;
            let since = *standing.standby_since.get_or_insert_with(Instant::now);
            // One that fails gives the lease back; so the other does not.
            if since.elapsed() >= STANDBY_TIME {
                (standing.failing_since, standing.cause) = (None, None);
            }
        });
    }

    /// Everything up to `position` is published, and nothing is in the way.
    pub fn works(&self, position: u64) {
        self.0.send_modify(|standing| {
            standing.published(position);
            (standing.failing_since, standing.cause) = (None, None);
        });
    }

    /// The work broke off.
    pub fn fails(&self, error: &dyn std::error::Error) {
        metrics::counter!("anamnesis_relay_errors").increment(1);
        self.0.send_modify(|standing| {
            standing.leading = false;
            standing.failing_since.get_or_insert_with(Instant::now);
            standing.cause = Some(chain(error));
        });
    }

    /// Looks where the log ends, and how far another has published, without end:
    /// the lag grows while the work itself stands still.
    pub async fn look(&self, store: &Store) {
        loop {
            if let Ok(head) = store.log.head().await {
                self.0.send_modify(|standing| standing.head = head);
            }
            if !self.0.borrow().leading
                && let Ok(published) = store.checkpoints.load(RELAY_CHECKPOINT).await
            {
                self.0.send_modify(|standing| standing.published(published));
            }
            let lag = {
                let standing = self.0.borrow();
                standing.head.saturating_sub(standing.published)
            };
            metrics::gauge!("anamnesis_relay_lag_events").set(lag as f64);
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl RelayStanding {
    fn published(&mut self, position: u64) {
        if position != self.published || position >= self.head {
            self.progress_at = Instant::now();
        }
        self.published = position;
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
