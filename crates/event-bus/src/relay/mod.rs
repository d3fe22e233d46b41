//! From the log to JetStream: in order, each event once, by one relay at a time.
//!
//! Where to go on is read from the stream itself: the position in its last
//! message. Every message says which sequence must be the last before it, so a
//! message that is sent again cannot overtake, and of two relays that both
//! believe to be the one each message gets in once. Before it begins, and with
//! every renewal of its lease, it proves that the log has the event which the
//! stream has last: a log that lost events, or a copy of it that goes its own
//! way, stops the relay (docs/adr/0024-the-bus-knows-its-log.md).

mod ahead;
mod compare;
mod error;
pub(crate) mod health;
mod placed;
mod proof;
mod publish;
mod republish;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use event_store::Store;
use event_store::log::LogIdentity;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::signature::{PublicKeys, Signer};
use crate::topology::{
    LEASE_RENEWAL, LEASE_TIME, RELAY_CHECKPOINT, RELAY_LEASE, REPUBLISH_LEASE, RETRY_PAUSE, RETRY_PAUSE_MAX,
    STANDBY_PAUSE, Topology,
};
use ahead::Ahead;
pub use compare::{Difference, LostEvent, compare};
pub use error::RelayError;
use health::Record;
pub use health::{RelayHealth, RelayStanding};
pub use placed::Placed;
use publish::{Form, Place, Publisher};
pub use republish::{RepublishError, republish};
use stream::{Bus, Standing};

/// How the relay works.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// Who signs what is published.
    pub signer: Signer,
    /// Keys by which what is in the stream was signed before, beside that one.
    pub keys: PublicKeys,
    /// Replicas of the stream: 3 where there is a cluster.
    pub replicas: u8,
}

impl RelayOptions {
    /// Signs by this key, and knows no other; one replica.
    pub fn new(signer: Signer) -> Self {
        Self { signer, keys: PublicKeys::default(), replicas: 1 }
    }

    /// By which keys what is in the stream counts as the relay's.
    fn trusted(&self) -> PublicKeys {
        self.signer.public().and(self.keys.clone())
    }
}

/// Publishes the log.
pub struct Relay {
    store: Store,
    context: jetstream::Context,
    options: RelayOptions,
    holder: Uuid,
    placed: Placed,
    record: Record,
    // Whether the operator's limits of the stream were told.
    told: AtomicBool,
}

/// Why a relay that did not fail has stopped for the moment.
enum Ended {
    /// Another has the lease, or was given it.
    StandsBy,
    /// The stream or the log is not what it was; it is looked at anew.
    BeginsAnew,
}

impl Relay {
    /// A relay from `store` to the NATS of `client`; [`Relay::run`] does the work.
    pub fn new(store: Store, client: async_nats::Client, options: RelayOptions) -> Self {
        let (holder, record) = (Uuid::now_v7(), Record::new(client.clone()));
        let (context, placed) = (publish::context(client), Placed::default());
        Self { store, context, options, holder, placed, record, told: AtomicBool::new(false) }
    }

    /// Has it keep there which messages are its own.
    #[must_use]
    pub fn keeping(self, placed: Placed) -> Self {
        Self { placed, ..self }
    }

    /// Tells how it is doing, as long as somebody wants to know.
    pub fn health(&self) -> RelayHealth {
        self.record.health()
    }

    /// Publishes the log until asked to stop. Of several relays one works; it
    /// survives that JetStream goes away.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.work() => {}
                () = self.record.look(&self.store) => {}
            }
            // Another need not wait for the lease to run out; if this fails it does.
            drop(self.store.leases.release(RELAY_LEASE, self.holder).await);
        })
    }

    async fn work(&self) {
        let mut pause = RETRY_PAUSE;
        loop {
            match self.turn().await {
                Ok(Ended::StandsBy) => {
                    self.record.stands_by();
                    pause = STANDBY_PAUSE;
                }
                Ok(Ended::BeginsAnew) => pause = RETRY_PAUSE,
                Err(error) => {
                    // What an unanswered request says is not what is the matter.
                    let error = match health::is_connected(&self.context.client()) {
                        true => error,
                        false => RelayError::Away(Box::new(error)),
                    };
                    self.record.fails(&error);
                    tracing::warn!(error = &error as &dyn std::error::Error, "the relay begins again");
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Publishes as long as the lease is held and nothing fails; gives it back
    /// where something does, so that another relay, or `republish`, can go on.
    async fn turn(&self) -> Result<Ended, RelayError> {
        if self.store.leases.acquire(RELAY_LEASE, self.holder, LEASE_TIME).await?.is_none() {
            return Ok(Ended::StandsBy);
        }
        let ended = match somebody_republishes(&self.store, self.holder).await {
            Ok(false) => match self.store.checkpoints.load(RELAY_CHECKPOINT).await {
                Ok(checkpoint) => {
                    self.record.leads(checkpoint);
                    self.lead().await
                }
                Err(error) => Err(error.into()),
            },
            Ok(true) => Ok(Ended::StandsBy),
            Err(error) => Err(error),
        };
        let released = self.store.leases.release(RELAY_LEASE, self.holder).await;
        ended.and_then(|ended| released.map(|()| ended).map_err(Into::into))
    }

    async fn lead(&self) -> Result<Ended, RelayError> {
        let bus = self.bus().await?;
        let checkpoint = self.store.checkpoints.load(RELAY_CHECKPOINT).await?;
        let message_bytes_max = bus.make(self.options.replicas).await?;
        // Before it is looked where it stands: of another that is made meanwhile nothing is taken for our own.
        let stream = bus.stream().await?;
        let created = stream.cached_info().created.unix_timestamp_nanos();
        if !self.told.swap(true, Ordering::Relaxed) {
            stream::tell_limits(&stream.cached_info().config);
        }
        let standing = self.take_up(&bus, checkpoint).await?;
        let position = self.position(&standing, checkpoint).await?;
        if position < checkpoint {
            tracing::warn!(position, checkpoint, "the stream lost messages; they are published again");
        }
        let form = Form { bus, signer: self.options.signer.clone(), run: standing.run(), message_bytes_max };
        let _ends = self.placed.begin(created, standing.sequence, position);
        self.relay(form, Place { position, sequence: standing.sequence }).await
    }

    /// Reads where the stream stands, takes it over into a new epoch of the log,
    /// and proves that it is the log's.
    async fn take_up(&self, bus: &Bus, checkpoint: u64) -> Result<Standing, RelayError> {
        let mut standing = bus.standing().await?;
        let epoch = bus.identity.epoch;
        match standing.epoch() {
            Some(stream) if stream > epoch => return Err(RelayError::Superseded { stream, log: epoch }),
            Some(stream) if stream < epoch => {
                proof::begin_epoch(bus, &self.options.signer, &*self.store.log, &standing).await?;
                standing = bus.standing().await?;
            }
            // Subscribers of earlier epochs could not know.
            None if epoch > 1 => {
                let position = self.position(&standing, checkpoint).await?;
                proof::tell_epoch(bus, &self.options.signer, &*self.store.log, &standing, position).await?;
                standing = bus.standing().await?;
            }
            _ => {}
        }
        proof::prove(bus, &*self.store.log, &standing).await?;
        bus.require_whole(&standing).await?;
        Ok(standing)
    }

    /// The position that the stream is known to have.
    async fn position(&self, standing: &Standing, checkpoint: u64) -> Result<u64, RelayError> {
        Ok(match standing.last() {
            Some((position, _)) => position,
            // One that was emptied keeps its last sequence; the checkpoint tells how far it was.
            None if standing.sequence > 0 => checkpoint.min(self.store.log.head().await?),
            None => 0,
        })
    }

    async fn relay(&self, form: Form, place: Place) -> Result<Ended, RelayError> {
        let (store, bus) = (&self.store, form.bus.clone());
        let mut publisher = Publisher::new(&bus.context, &self.placed, place);
        let mut log = Ahead::new(store.log.clone(), form);
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
            self.record.works(publisher.acknowledged());
            if Instant::now() >= renew_at {
                checkpoint = save(store, checkpoint, publisher.acknowledged()).await?;
                if store.leases.acquire(RELAY_LEASE, self.holder, LEASE_TIME).await?.is_none() {
                    return Ok(Ended::StandsBy);
                }
                if somebody_republishes(store, self.holder).await? {
                    publisher.drain().await?;
                    save(store, checkpoint, publisher.acknowledged()).await?;
                    return Ok(Ended::StandsBy);
                }
                let left_at = idle.then(|| publisher.sent_sequence());
                if !self.still_true(&bus, left_at).await? {
                    return Ok(Ended::BeginsAnew);
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

    /// Whether log and stream are still what they were: the same log in the same
    /// epoch, the stream's last event one of the log's, and its end where we
    /// left it, if nothing is on its way.
    async fn still_true(&self, bus: &Bus, left_at: Option<u64>) -> Result<bool, RelayError> {
        if identity(&self.store).await? != bus.identity {
            return Ok(false);
        }
        let stream = bus.stream().await?;
        // Whoever may change the stream may have messages come in otherwise than as they were sent.
        if !bus.is_set(&stream.cached_info().config, self.options.replicas) {
            return Ok(false);
        }
        if left_at.is_some_and(|sequence| sequence != stream.cached_info().state.last_sequence) {
            return Ok(false);
        }
        let Some((_, last)) = bus.last_event(&stream).await? else { return Ok(true) };
        Ok(proof::event_at(&*self.store.log, last.position).await? == Some(last.event_id))
    }

    async fn bus(&self) -> Result<Bus, RelayError> {
        bus(&self.store, &self.context, self.options.trusted()).await
    }
}

/// The stream of the store's log.
async fn bus(store: &Store, context: &jetstream::Context, keys: PublicKeys) -> Result<Bus, RelayError> {
    let identity = identity(store).await?;
    Ok(Bus { context: context.clone(), identity, topology: Topology::of(identity.log_id), keys: Arc::new(keys) })
}

async fn identity(store: &Store) -> Result<LogIdentity, RelayError> {
    Ok(store.log.identity().await?)
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
