//! Filling the stream anew from the log.

use std::time::Duration;

use async_nats::Client;
use event_store::Store;
use tokio::time::Instant;
use uuid::Uuid;

use super::ahead::Ahead;
use super::publish::{Publisher, context};
use super::standing::{Standing, make, require_whole, standing};
use super::{RelayError, RelayOptions, save};
use crate::topology::{LEASE_RENEWAL, LEASE_TIME, RELAY_CHECKPOINT, RELAY_LEASE, REPUBLISH_LEASE, STREAM};

/// How long the active relay may take to stand aside.
const STAND_ASIDE_TIME_MAX: Duration = Duration::from_secs(20);

/// Empties the stream and publishes everything from position `from` on, each
/// event once and in order; the live relay stands aside meanwhile. Consumers
/// keep their place: they go by position. `progress` is told where it stands
/// and where the log ends. Gives how many events were published.
///
/// # Errors
/// [`RelayError`]; running it again is safe.
pub async fn republish(
    store: &Store,
    client: Client,
    options: RelayOptions,
    from: u64,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<u64, RelayError> {
    let holder = Uuid::now_v7();
    let context = context(client);
    take_over(store, holder).await?;
    let published = publish_all(store, &context, options, from, holder, progress).await;
    store.leases.release(RELAY_LEASE, holder).await?;
    store.leases.release(REPUBLISH_LEASE, holder).await?;
    published
}

/// Asks the live relay to stand aside, and takes its lease.
async fn take_over(store: &Store, holder: Uuid) -> Result<(), RelayError> {
    let deadline = Instant::now() + STAND_ASIDE_TIME_MAX;
    loop {
        let asked = store.leases.acquire(REPUBLISH_LEASE, holder, LEASE_TIME).await?.is_some();
        if asked && store.leases.acquire(RELAY_LEASE, holder, LEASE_TIME).await?.is_some() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(RelayError::Busy);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn publish_all(
    store: &Store,
    context: &async_nats::jetstream::Context,
    options: RelayOptions,
    from: u64,
    holder: Uuid,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<u64, RelayError> {
    let head = store.log.head().await?;
    if from > head + 1 {
        return Err(RelayError::Beyond { from, log: head });
    }
    // Made where it is missing; whatever it holds goes.
    make(context, options.replicas).await?;
    context.get_stream(STREAM).await?.purge().await?;
    let Standing { sequence, .. } = standing(context, 0).await?;
    let start = from.saturating_sub(1);
    let mut publisher = Publisher::new(context, Standing { position: start, sequence });
    // The stream remembers ids for a while also of messages that are gone.
    let mut log = Ahead::new(store.log.clone(), Some(&holder.simple().to_string()));
    let mut renew_at = Instant::now() + LEASE_RENEWAL;
    let mut count = 0;
    while publisher.sent() < head {
        let messages = log.after(publisher.sent()).await?;
        if messages.is_empty() {
            break;
        }
        count += messages.len() as u64;
        publisher.publish(messages).await?;
        progress(publisher.sent(), head);
        if Instant::now() >= renew_at {
            for lease in [REPUBLISH_LEASE, RELAY_LEASE] {
                if store.leases.acquire(lease, holder, LEASE_TIME).await?.is_none() {
                    return Err(RelayError::Busy);
                }
            }
            renew_at = Instant::now() + LEASE_RENEWAL;
        }
    }
    publisher.drain().await?;
    // What the relay before had on its way may have come in between.
    require_whole(context).await?;
    let checkpoint = store.checkpoints.load(RELAY_CHECKPOINT).await?;
    save(store, checkpoint, publisher.acknowledged()).await?;
    Ok(count)
}
