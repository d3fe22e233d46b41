//! Filling the stream anew from the log.

use std::time::Duration;

use async_nats::Client;
use event_store::Store;
use futures::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use super::ahead::Ahead;
use super::placed::Placed;
use super::proof::event_at;
use super::publish::{Form, Place, Publisher, context, say};
use super::stream::Bus;
use super::{RelayError, RelayOptions, bus, save};
use crate::control::{Begun, Why};
use crate::signature::Signer;
use crate::topology::{LEASE_RENEWAL, LEASE_TIME, RELAY_CHECKPOINT, RELAY_LEASE, REPUBLISH_LEASE};

/// How long the active relay may take to stand aside.
const STAND_ASIDE_TIME_MAX: Duration = Duration::from_secs(20);

/// How often the first message is sent, as long as earlier ones still come in.
const BEGIN_TRIES_MAX: usize = 10;

/// Why the stream was not filled anew, and what it holds now.
#[derive(Debug, thiserror::Error)]
pub enum RepublishError {
    /// Nothing was begun.
    #[error("nothing was changed")]
    Before(#[source] RelayError),
    /// It broke off.
    #[error(
        "the new copy ends at position {published} of {head}, behind the copy before, of which nothing is gone: a relay \
         goes on there, and running this again begins another copy"
    )]
    Halfway {
        /// Where the new copy ends.
        published: u64,
        /// Where it should.
        head: u64,
        /// The cause.
        #[source]
        source: RelayError,
    },
    /// The copy before could not be removed.
    #[error("the new copy is whole; the one before it could not be removed")]
    Cleanup(#[source] RelayError),
}

/// Publishes everything from position `from` on behind what the stream holds,
/// each event once and in order, and then removes what it held before: at no
/// time does the stream have less. The live relay stands aside meanwhile.
/// Consumers keep their place: they go by position. `progress` is told where it
/// stands and where the log ends. Gives how many events were published.
///
/// # Errors
/// [`RepublishError`]; running it again is safe.
pub fn republish<'caller>(
    store: &'caller Store,
    client: Client,
    options: RelayOptions,
    from: u64,
    progress: &'caller mut (dyn FnMut(u64, u64) + Send),
) -> BoxFuture<'caller, Result<u64, RepublishError>> {
    Box::pin(async move {
        let holder = Uuid::now_v7();
        let work = async {
            let signer = options.signer.clone();
            let ready = look(store, client, options, from, holder).await.map_err(RepublishError::Before)?;
            fill(store, signer, ready, holder, progress).await
        };
        let published = work.await;
        for lease in [RELAY_LEASE, REPUBLISH_LEASE] {
            if let Err(error) = store.leases.release(lease, holder).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(lease, error, "the lease is not given back; it runs out by itself");
            }
        }
        published
    })
}

/// What is known before anything is changed.
struct Ready {
    bus: Bus,
    message_bytes_max: Option<usize>,
    head: u64,
    begun: Begun,
}

/// Looks whether it can be done at all: log and stream answer, the log has
/// what is to be published, the stream is not of a later epoch, and the relay stands aside.
async fn look(
    store: &Store,
    client: Client,
    options: RelayOptions,
    from: u64,
    holder: Uuid,
) -> Result<Ready, RelayError> {
    let bus = bus(store, &context(client), options.trusted()).await?;
    let head = store.log.head().await?;
    if from > head + 1 {
        return Err(RelayError::Beyond { from, log: head });
    }
    let after_position = from.saturating_sub(1);
    let after_event_id = event_at(&*store.log, after_position).await?;
    for position in [from, head] {
        store.log.read_all(position.saturating_sub(1), 1).await?;
    }
    take_over(store, holder).await?;
    let message_bytes_max = bus.make(options.replicas).await?;
    let epochs = match bus.standing().await {
        Ok(standing) => match standing.epoch() {
            Some(stream) if stream > bus.identity.epoch => {
                return Err(RelayError::Superseded { stream, log: bus.identity.epoch });
            }
            _ => standing.epochs(),
        },
        // That is what this is to set right.
        Err(RelayError::Foreign { .. }) => bus.known_epochs().await?,
        Err(error) => return Err(error),
    };
    let begun = Begun { after_position, after_event_id, epochs };
    Ok(Ready { bus, message_bytes_max, head, begun })
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

async fn fill(
    store: &Store,
    signer: Signer,
    ready: Ready,
    holder: Uuid,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<u64, RepublishError> {
    let Ready { bus, message_bytes_max, head, begun } = ready;
    let (run, sequence) = begin(&bus, &signer, &begun).await.map_err(RepublishError::Before)?;
    let form = Form { bus: bus.clone(), signer, run: Some(run), message_bytes_max };
    // Nobody in this process listens.
    let placed = Placed::default();
    let mut publisher = Publisher::new(&bus.context, &placed, Place { position: begun.after_position, sequence });
    let published = publish(store, form, &mut publisher, head, holder, progress).await;
    let reached = publisher.acknowledged();
    if let Err(source) = published {
        return Err(RepublishError::Halfway { published: reached, head, source });
    }
    finish(store, &bus, sequence, reached).await.map_err(RepublishError::Cleanup)?;
    Ok(reached - begun.after_position)
}

/// Says where the new copy begins. What the relay before had on its way may still come in before it.
async fn begin(bus: &Bus, signer: &Signer, begun: &Begun) -> Result<(Uuid, u64), RelayError> {
    let mut tries = 0;
    loop {
        let last = bus.stream().await?.cached_info().state.last_sequence;
        match say(bus, signer, Why::Republished, begun, last).await {
            Err(RelayError::Publish { .. }) if tries < BEGIN_TRIES_MAX => tries += 1,
            said => return said,
        }
    }
}

async fn publish(
    store: &Store,
    form: Form,
    publisher: &mut Publisher<'_>,
    head: u64,
    holder: Uuid,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), RelayError> {
    let mut log = Ahead::new(store.log.clone(), form);
    let mut renew_at = Instant::now() + LEASE_RENEWAL;
    while publisher.sent() < head {
        let messages = log.after(publisher.sent()).await?;
        if messages.is_empty() {
            break;
        }
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
    publisher.drain().await
}

/// The new copy is whole: what was there before goes.
async fn finish(store: &Store, bus: &Bus, begins_at: u64, reached: u64) -> Result<(), RelayError> {
    let standing = bus.standing().await?;
    bus.require_whole(&standing).await?;
    bus.stream().await?.purge().sequence(begins_at).await?;
    let checkpoint = store.checkpoints.load(RELAY_CHECKPOINT).await?;
    save(store, checkpoint, reached).await?;
    Ok(())
}
