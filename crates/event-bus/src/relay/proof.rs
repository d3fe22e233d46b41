//! Whether the stream is a copy of the log: by the ids of events, not by numbers alone.

use async_nats::jetstream::message::StreamMessage;
use event_store::log::{EventLog, LogError};
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::RelayError;
use super::publish::say;
use super::stream::{Bus, Standing};
use crate::control::{Begun, EpochStart, Why};
use crate::message::Mark;
use crate::signature::Signer;

/// Messages that are removed at once.
const REMOVED_AT_ONCE: usize = 64;

/// The last place at which stream and log have the same event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Common {
    /// The event's sequence; of the message before, where there is none.
    pub sequence: u64,
    /// The position; 0 where there is none.
    pub position: u64,
    /// The event.
    pub event_id: Option<Uuid>,
}

/// Proves that the log has the event that the stream has last.
///
/// # Errors
/// [`RelayError::Diverged`] with the last position that both have.
pub async fn prove(bus: &Bus, log: &dyn EventLog, standing: &Standing) -> Result<(), RelayError> {
    match standing.last() {
        None | Some((0, _)) => Ok(()),
        Some((position, event_id)) if event_at(log, position).await? == event_id => Ok(()),
        Some((position, _)) => {
            let common = common(bus, log, standing).await?;
            Err(RelayError::Diverged { stream: position, log: log.head().await?, common: common.position })
        }
    }
}

/// The log's event at a position.
pub async fn event_at(log: &dyn EventLog, position: u64) -> Result<Option<Uuid>, LogError> {
    let Some(before) = position.checked_sub(1) else { return Ok(None) };
    Ok(log.read_all(before, 1).await?.first().filter(|event| event.position == position).map(|event| event.event_id))
}

async fn is_in(log: &dyn EventLog, mark: Mark) -> Result<bool, LogError> {
    Ok(event_at(log, mark.position).await? == Some(mark.event_id))
}

/// Finds the last event of the stream that the log has, too. A log loses
/// events only at its end, so halving finds the place.
pub async fn common(bus: &Bus, log: &dyn EventLog, standing: &Standing) -> Result<Common, RelayError> {
    let stream = bus.stream().await?;
    let first = stream.cached_info().state.first_sequence;
    let before = first.saturating_sub(1);
    let mut common = Common { sequence: before, position: 0, event_id: None };
    let (mut known, mut unknown) = (before, standing.sequence + 1);
    while unknown - known > 1 {
        let middle = known + (unknown - known) / 2;
        let message = bus.event_from(&stream, middle).await?.filter(|message| message.sequence < unknown);
        match message {
            Some(message) if has(bus, log, &message).await? => {
                let mark = bus.mark(&message)?;
                known = message.sequence;
                common = Common { sequence: known, position: mark.position, event_id: Some(mark.event_id) };
            }
            _ => unknown = middle,
        }
    }
    Ok(common)
}

async fn has(bus: &Bus, log: &dyn EventLog, message: &StreamMessage) -> Result<bool, RelayError> {
    match bus.mark(message) {
        Ok(mark) => Ok(is_in(log, mark).await?),
        Err(_) => Ok(false),
    }
}

/// Takes the stream over into the log's new epoch: what the log lost goes, and
/// a message says so. Broken off halfway, it is simply done again.
pub async fn begin_epoch(
    bus: &Bus,
    signer: &Signer,
    log: &dyn EventLog,
    standing: &Standing,
) -> Result<(), RelayError> {
    let common = common(bus, log, standing).await?;
    tracing::warn!(
        epoch = bus.identity.epoch,
        after_position = common.position,
        removed = standing.sequence.saturating_sub(common.sequence),
        "the log began a new epoch; the stream loses what the log lost"
    );
    if common.event_id.is_none() {
        bus.stream().await?.purge().await?;
    } else {
        remove(bus, common.sequence + 1, standing.sequence).await?;
    }
    let mut epochs = standing.epochs();
    epochs.push(EpochStart { epoch: bus.identity.epoch, after_position: common.position });
    let begun = Begun { after_position: common.position, after_event_id: common.event_id, epochs };
    say(bus, signer, Why::EpochBegan, &begun, standing.sequence).await?;
    Ok(())
}

/// Says in a stream without messages that the log is in a later epoch than its
/// first; where that began the stream does not know, so nothing that was heard before is sure.
pub async fn tell_epoch(
    bus: &Bus,
    signer: &Signer,
    log: &dyn EventLog,
    standing: &Standing,
    position: u64,
) -> Result<(), RelayError> {
    let epochs = vec![EpochStart { epoch: bus.identity.epoch, after_position: 0 }];
    let begun = Begun { after_position: position, after_event_id: event_at(log, position).await?, epochs };
    say(bus, signer, Why::EpochBegan, &begun, standing.sequence).await?;
    Ok(())
}

async fn remove(bus: &Bus, from: u64, to: u64) -> Result<(), RelayError> {
    let made = &bus.stream().await?;
    let removing = stream::iter(from..=to).map(|sequence| async move {
        match made.delete_message(sequence).await {
            Ok(_) => Ok(()),
            // It may be gone from an attempt before.
            Err(_) if made.get_raw_message(sequence).await.is_err_and(|error| is_gone(&error)) => Ok(()),
            Err(source) => Err(RelayError::Delete { sequence, source }),
        }
    });
    removing.buffer_unordered(REMOVED_AT_ONCE).try_collect().await
}

fn is_gone(error: &async_nats::jetstream::stream::RawMessageError) -> bool {
    error.kind() == async_nats::jetstream::stream::RawMessageErrorKind::NoMessageFound
}
