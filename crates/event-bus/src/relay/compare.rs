//! What the stream has that the log has not: for `recover`, before it begins a new epoch.

use async_nats::Client;
use event_store::Store;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{RelayError, bus, proof, publish};
use crate::message::event_type;
use crate::signature::PublicKeys;

/// How the stream differs from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where the stream stands.
    pub stream_position: u64,
    /// The latest epoch that the stream knows; a new one must be greater.
    pub stream_epoch: u64,
    /// The last position at which both have the same event; 0 where there is none.
    pub common_position: u64,
    /// The events that only the stream has, oldest first, at most as many as asked for.
    pub lost: Vec<LostEvent>,
}

/// An event that the stream has and the log has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvent {
    /// Where it was in the log.
    pub position: u64,
    /// Its id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// Its subject, which names trial, stream and type.
    pub subject: String,
}

/// Compares the stream with the log, and changes neither; none where there is nothing in the stream.
///
/// # Errors
/// [`RelayError`].
pub fn compare(
    store: &Store,
    client: Client,
    lost_max: usize,
) -> BoxFuture<'_, Result<Option<Difference>, RelayError>> {
    Box::pin(async move {
        // Whoever recovers need not have the relay's key.
        let bus = bus(store, &publish::context(client), PublicKeys::default()).await?;
        let standing = bus.standing().await?;
        let (Some((stream_position, _)), Some(stream_epoch)) = (standing.last(), standing.epoch()) else {
            return Ok(None);
        };
        let common = proof::common(&bus, &*store.log, &standing).await?;
        let stream = bus.stream().await?;
        let (mut lost, mut sequence) = (Vec::new(), common.sequence + 1);
        while lost.len() < lost_max {
            let Some(message) = bus.event_from(&stream, sequence).await? else { break };
            sequence = message.sequence + 1;
            let Ok(mark) = bus.mark(&message) else { continue };
            lost.push(LostEvent {
                position: mark.position,
                event_id: mark.event_id,
                event_type: event_type(&message.headers).unwrap_or_default().into_owned(),
                subject: message.subject.to_string(),
            });
        }
        Ok(Some(Difference { stream_position, stream_epoch, common_position: common.position, lost }))
    })
}
