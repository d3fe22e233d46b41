//! How the relay is doing, for readiness and metrics: also while it fails.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use event_store::Store;
use event_store::log::lag::seconds_behind;
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
pub struct RelayHealth {
    standing: watch::Receiver<RelayStanding>,
    client: Client,
}

impl RelayHealth {
    /// Where it stands now.
    pub fn standing(&self) -> RelayStanding {
        self.standing.borrow().clone()
    }

    /// Whether the log is being published.
    ///
    /// # Errors
    /// What keeps it from being published.
    pub fn check(&self) -> Result<(), String> {
        // Said at once: the work itself notices only when an answer does not come.
        if !is_connected(&self.client) {
            return Err("NATS is not connected".to_owned());
        }
        let standing = self.standing.borrow();
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
pub struct Record {
    standing: watch::Sender<RelayStanding>,
    client: Client,
}

/// Whether there is a connection now.
pub fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

impl Record {
    pub fn new(client: Client) -> Self {
        let standing = watch::Sender::new(RelayStanding {
            leading: false,
            published: 0,
            head: 0,
            failing_since: None,
            cause: None,
            progress_at: Instant::now(),
            standby_since: None,
        });
        Self { standing, client }
    }

    pub fn health(&self) -> RelayHealth {
        RelayHealth { standing: self.standing.subscribe(), client: self.client.clone() }
    }

    /// The lease is held; whether the work goes well is seen when something was published. Until then `checkpoint` is
    /// what is known to be.
    pub fn leads(&self, checkpoint: u64) {
        self.standing.send_modify(|standing| {
            standing.leading = true;
            standing.published = standing.published.max(checkpoint);
            standing.standby_since = None;
        });
    }

    /// Another holds the lease.
    pub fn stands_by(&self) {
        self.standing.send_modify(|standing| {
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
        self.standing.send_modify(|standing| {
            standing.published(position);
            (standing.failing_since, standing.cause) = (None, None);
        });
    }

    /// The work broke off.
    pub fn fails(&self, error: &dyn std::error::Error) {
        metrics::counter!("anamnesis_relay_failures_total").increment(1);
        self.standing.send_modify(|standing| {
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
                self.standing.send_modify(|standing| standing.head = head);
            }
            if !self.standing.borrow().leading
                && let Ok(published) = store.checkpoints.load(RELAY_CHECKPOINT).await
            {
                self.standing.send_modify(|standing| standing.published(published));
            }
            let (published, head, leading) = {
                let standing = self.standing.borrow();
                (standing.published, standing.head, standing.leading)
            };
            metrics::gauge!("anamnesis_relay_lag_events").set(head.saturating_sub(published) as f64);
            if let Ok(seconds) = seconds_behind(&*store.log, published, head).await {
                metrics::gauge!("anamnesis_relay_lag_seconds").set(seconds);
            }
            metrics::gauge!("anamnesis_relay_leading").set(f64::from(leading));
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
