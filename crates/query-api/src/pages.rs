//! A stream's events, some at a time.

use event_store::log::{EventLog, LogError, is_last};
use events::envelope::Envelope;
use events::ids::StreamId;
use futures::stream::{BoxStream, StreamExt as _, try_unfold};

/// Events that are read at a time.
const READ_EVENTS: usize = 1_000;

/// The events of the stream behind this version, to its end as it is when that is reached; the last page may be empty.
pub fn pages(log: &dyn EventLog, stream: StreamId, after: u64) -> BoxStream<'_, Result<Vec<Envelope>, LogError>> {
    try_unfold(Some(after), move |after| async move {
        let Some(after) = after else { return Ok(None) };
        let events = log.read_stream(stream, after, READ_EVENTS).await?;
        let last = events.last().filter(|_| !is_last(&events, READ_EVENTS));
        let next = last.map(|event| event.version);
        Ok(Some((events, next)))
    })
    .boxed()
}
