//! From the log to JetStream: in order, each event once, by one relay at a time.
//!
//! Where to go on is read from the stream itself: the position in its last
//! message. Every message says which sequence must be the last before it, so a
//! message that is sent again cannot overtake, and of two relays that both
//! believe to be the one each message gets in once. Before it begins it looks
//! whether the stream is still numbered like the log.

mod ahead;
mod error;
mod publish;
mod republish;
mod standing;

use std::time::Duration;

use async_nats::jetstream;
use event_store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::topology::{
    LEASE_RENEWAL, LEASE_TIME, RELAY_CHECKPOINT, RELAY_LEASE, REPUBLISH_LEASE, RETRY_PAUSE, RETRY_PAUSE_MAX,
};
use ahead::Ahead;
pub use error::RelayError;
use publish::Publisher;
pub use republish::republish;
use standing::{Standing, make, require_whole, standing};

/// How the relay works.
#[derive(Clone, Copy, Debug)]
pub struct RelayOptions {
    /// Replicas of the stream: 3 where there is a cluster.
    pub replicas: u8,
}

/// Publishes the log until asked to stop. Of several relays one works; it
/// survives that JetStream goes away.
pub async fn run(store: Store, client: async_nats::Client, options: RelayOptions, shutdown: CancellationToken) {
    let holder = Uuid::now_v7();
    let context = publish::context(client);
    let work = async {
        let mut pause = RETRY_PAUSE;
        loop {
            match follow(&store, &context, options, holder).await {
                Ok(()) => pause = RETRY_PAUSE,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the relay begins again");
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
    // Another need not wait for the lease to run out; if this fails it does.
    drop(store.leases.release(RELAY_LEASE, holder).await);
}

/// Publishes from where the stream stands; ends when the lease is lost or somebody asks to republish.
async fn follow(
    store: &Store,
    context: &jetstream::Context,
    options: RelayOptions,
    holder: Uuid,
) -> Result<(), RelayError> {
    if store.leases.acquire(RELAY_LEASE, holder, LEASE_TIME).await?.is_none() {
        return Ok(());
    }
    let checkpoint = store.checkpoints.load(RELAY_CHECKPOINT).await?;
    make(context, options.replicas).await?;
    let standing = standing(context, checkpoint).await?;
    let head = store.log.head().await?;
    if standing.position > head {
        return Err(RelayError::Ahead { stream: standing.position, log: head });
    }
    if standing.position < checkpoint {
        tracing::warn!(standing.position, checkpoint, "the stream lost messages; they are published again");
    }
    require_whole(context).await?;
    relay(store, context, standing, holder).await
}

async fn relay(
    store: &Store,
    context: &jetstream::Context,
    standing: Standing,
    holder: Uuid,
) -> Result<(), RelayError> {
    let mut publisher = Publisher::new(context, standing);
    let mut log = Ahead::new(store.log.clone(), None);
    let mut watch = store.log.watch_head();
    let mut renew_at = Instant::now() + LEASE_RENEWAL;
    let mut checkpoint = store.checkpoints.load(RELAY_CHECKPOINT).await?;
    loop {
        watch.borrow_and_update();
        let messages = log.after(publisher.sent()).await?;
        let idle = messages.is_empty();
        publisher.publish(messages).await?;
        if idle {
            publisher.drain().await?;
        }
        let acknowledged = publisher.acknowledged();
        let head = *watch.borrow();
        metrics::gauge!("anamnesis_relay_lag_events").set(head.saturating_sub(acknowledged) as f64);
        if Instant::now() >= renew_at {
            checkpoint = save(store, checkpoint, acknowledged).await?;
            if store.leases.acquire(RELAY_LEASE, holder, LEASE_TIME).await?.is_none() {
                return Ok(());
            }
            if somebody_republishes(store, holder).await? {
                publisher.drain().await?;
                save(store, checkpoint, publisher.acknowledged()).await?;
                store.leases.release(RELAY_LEASE, holder).await?;
                return Ok(());
            }
            if idle && !publisher.is_last().await? {
                return Ok(());
            }
            renew_at = Instant::now() + LEASE_RENEWAL;
        }
        if idle {
            let until_renewal = renew_at.saturating_duration_since(Instant::now());
            // Woken or not, the log is looked at.
            drop(tokio::time::timeout(until_renewal, watch.changed()).await);
        }
    }
}

/// Moves the checkpoint; back, too, where the stream was lost, so that it says what is true. Gives where it stands.
async fn save(store: &Store, checkpoint: u64, acknowledged: u64) -> Result<u64, RelayError> {
    if acknowledged == checkpoint {
        return Ok(checkpoint);
    }
    store.checkpoints.advance(RELAY_CHECKPOINT, checkpoint, acknowledged).await?;
    Ok(store.checkpoints.load(RELAY_CHECKPOINT).await?)
}

/// Whether somebody holds the lease of republishing: it is taken for a moment to see.
async fn somebody_republishes(store: &Store, holder: Uuid) -> Result<bool, RelayError> {
    let free = store.leases.acquire(REPUBLISH_LEASE, holder, Duration::from_millis(1)).await?.is_some();
    if free {
        store.leases.release(REPUBLISH_LEASE, holder).await?;
    }
    Ok(!free)
}
