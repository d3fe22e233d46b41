//! Following the log for what becomes of readings that are stored apart.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use event_store::Store;
use event_store::log::{EventLog, LogError};
use event_store::readings::{ReadingStore, ReadingsError, Verdicts};
use events::AnyEvent;
use events::ids::StreamType;
use events::readings::device::DeviceEvent;
use tokio_util::sync::CancellationToken;

/// Events that are read together.
const PAGE: usize = 1_000;
/// How often it is noted how far it has come where nothing happens: what is read again does nothing again.
const NOTE_EVERY: u64 = 10_000;
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    #[error("the readings cannot be kept")]
    Readings(#[from] ReadingsError),
}

/// Applies what the log says of readings that are stored apart, until asked to stop.
pub async fn run(store: Store, shutdown: CancellationToken) {
    let following = async {
        loop {
            if let Err(error) = follow(&store.log, &*store.readings).await {
                tracing::warn!(error = &error as &dyn Error, "readings wait for the log");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = following => {}
        () = shutdown.cancelled() => {}
    }
}

async fn follow(log: &Arc<dyn EventLog>, readings: &dyn ReadingStore) -> Result<(), FollowError> {
    let mut head = log.watch_head();
    // A log that lost its end goes on from there.
    let mut noted = readings.followed().await?.min(log.head().await?);
    let mut position = noted;
    loop {
        head.mark_unchanged();
        let events = log.follow(position, PAGE).await?;
        let Some(last) = events.last() else {
            // Who watches the head is told of the last event at the latest by the next look.
            drop(tokio::time::timeout(PAUSE, head.changed()).await);
            continue;
        };
        position = last.position;
        let mut verdicts = Verdicts::default();
        for envelope in events.iter().filter(|event| event.stream.kind == StreamType::Device) {
            match AnyEvent::from_envelope(envelope) {
                Ok(AnyEvent::Device(DeviceEvent::ReadingsReleased(released))) => {
                    verdicts.released.extend(released.chunk_ids);
                }
                Ok(AnyEvent::Device(DeviceEvent::ReadingsDiscarded(discarded))) => {
                    verdicts.discarded.extend(discarded.chunk_ids);
                }
                Ok(_) => {}
                Err(source) => return Err(LogError::Decode { position: envelope.position, source }.into()),
            }
        }
        let has_some = !verdicts.released.is_empty() || !verdicts.discarded.is_empty();
        if has_some || position >= noted + NOTE_EVERY {
            readings.apply(&verdicts, position).await?;
            noted = position;
        }
    }
}
