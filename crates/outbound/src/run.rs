//! Running it: a lease for each channel, and one for addressing.

use std::sync::Arc;
use std::time::Duration;

use event_store::Store;
use event_store::execute::Executor;
use events::messaging::contact::Channel;
use events::messaging::notification::Urgency;
use futures::future::{BoxFuture, FutureExt as _, join_all};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::addressing::Addressing;
use crate::backlog::tell_waiting;
use crate::lane::Lane;
use crate::provider::Providers;
use crate::sending::Sender;

/// How it works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Messages of a channel that are on their way at once.
    pub at_once: usize,
    /// How many more of them may be alerts.
    pub alerts_at_once: usize,
    /// How long a lease holds without being renewed: the time until another process takes over.
    pub lease_time: Duration,
    /// How long what is on its way may take to end when the process is asked to stop.
    pub end_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { at_once: 16, alerts_at_once: 8, lease_time: Duration::from_secs(5), end_within: Duration::from_secs(5) }
    }
}

/// Sends messages. Of several processes one works for each channel.
#[derive(Clone)]
pub struct Outbound {
    /// Where the queues are read, and the leases are.
    pub store: Store,
    /// What answers for messages.
    pub executor: Executor,
    /// Who takes them.
    pub providers: Providers,
    /// How.
    pub options: Options,
}

impl Outbound {
    /// Runs until asked to stop.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let mut work = vec![self.clone().addressing(shutdown.clone()).boxed()];
        for channel in Channel::ALL {
            work.push(self.clone().channel(channel, shutdown.clone()).boxed());
        }
        join_all(work).map(drop).boxed()
    }

    async fn addressing(self, shutdown: CancellationToken) {
        let work = || Addressing::new(self.store.clone(), self.executor.clone()).run().boxed();
        self.while_leased("outbound-addressing".to_owned(), work, shutdown).await;
    }

    async fn channel(self, channel: Channel, shutdown: CancellationToken) {
        let work = || {
            let provider = self.providers.of(channel);
            let sender = Sender { executor: self.executor.clone(), channel, provider };
            let lane = |urgencies, at_once| {
                Lane { store: self.store.clone(), sender: sender.clone(), urgencies, at_once }.run()
            };
            let alerts = lane(&[Urgency::Alert], self.options.alerts_at_once);
            let others = lane(&[Urgency::Usual, Urgency::Bulk], self.options.at_once);
            let told = tell_waiting(self.store.views.clone(), channel);
            async move {
                tokio::join!(alerts, others, told);
            }
            .boxed()
        };
        self.while_leased(format!("outbound-{channel}"), work, shutdown).await;
    }

    /// Does the work whenever the lease is held, and for as long as it is.
    async fn while_leased<'work>(
        &'work self,
        lease: String,
        work: impl Fn() -> BoxFuture<'work, ()> + Send + Sync,
        shutdown: CancellationToken,
    ) {
        let (leases, holder) = (Arc::clone(&self.store.leases), Uuid::now_v7());
        let (time, renewal) = (self.options.lease_time, self.options.lease_time.mul_f32(0.3));
        let held = || async { leases.acquire(&lease, holder, time).await.is_ok_and(|lease| lease.is_some()) };
        let turns = async {
            loop {
                if held().await {
                    let lost = async {
                        loop {
                            tokio::time::sleep(renewal).await;
                            if !held().await {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        () = work() => {}
                        () = lost => tracing::info!(lease, "another process takes over"),
                    }
                }
                tokio::time::sleep(renewal.min(Duration::from_millis(500))).await;
            }
        };
        tokio::select! {
            () = turns => {}
            () = shutdown.cancelled() => {}
        }
        // Another need not wait for the lease to run out; if this fails it does.
        drop(leases.release(&lease, holder).await);
    }
}
