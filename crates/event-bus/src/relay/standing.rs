//! The stream as the relay finds it.

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind};

use super::RelayError;
use crate::message::position;
use crate::topology::{ALL_SUBJECTS, STREAM, stream};

/// How often the stream's end is read until it keeps still.
const STANDING_TRIES_MAX: usize = 100;

/// Where the stream stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The position of its last message.
    pub position: u64,
    /// Its last sequence.
    pub sequence: u64,
}

/// Reads where the stream stands. One that was emptied keeps its last
/// sequence; then the checkpoint tells how far it was.
///
/// Position and sequence must be of one moment: messages that were sent before
/// the connection broke may still come in, and a pipeline that is numbered one
/// too low would lose its beginning and still get its end accepted. So the last
/// message is read before and after the stream's state.
pub async fn standing(context: &jetstream::Context, checkpoint: u64) -> Result<Standing, RelayError> {
    let stream = context.get_stream(STREAM).await?;
    let mut before = last_message(&stream).await?;
    for _ in 0..STANDING_TRIES_MAX {
        let sequence = stream.get_info().await?.state.last_sequence;
        let after = last_message(&stream).await?;
        if after == before {
            let emptied = if sequence == 0 { 0 } else { checkpoint };
            return Ok(Standing { position: after.map_or(emptied, |(_, position)| position), sequence });
        }
        before = after;
    }
    Err(RelayError::Last("messages of an earlier connection are still coming in".to_owned()))
}

/// Refuses a stream that does not hold the log's events one after the other:
/// somebody else has published into it, or two of us numbered differently.
/// Messages that an operator deleted in between do not count.
pub async fn require_whole(context: &jetstream::Context) -> Result<(), RelayError> {
    let stream = context.get_stream(STREAM).await?;
    let Some((last_sequence, last)) = last_message(&stream).await? else { return Ok(()) };
    let first_sequence = stream.cached_info().state.first_sequence;
    let message = stream.get_raw_message(first_sequence).await;
    let message = message.map_err(|error| RelayError::Last(error.to_string()))?;
    let first = position(&message.headers).ok_or_else(|| RelayError::Last("the first one is not ours".to_owned()))?;
    if last.checked_sub(first) == last_sequence.checked_sub(first_sequence) {
        return Ok(());
    }
    Err(RelayError::Shifted { first, last, sequences: (last_sequence + 1).saturating_sub(first_sequence) })
}

/// Makes the stream, or updates it; how it persists cannot be changed, so that stays as it was made.
pub async fn make(context: &jetstream::Context, replicas: u8) -> Result<(), RelayError> {
    let config = stream(replicas.into());
    match context.get_stream(STREAM).await {
        Ok(made) => {
            let persist_mode = made.cached_info().config.persist_mode;
            if persist_mode != config.persist_mode {
                tracing::info!(?persist_mode, "the stream keeps the mode of persistence that it was made with");
            }
            context.update_stream(Config { persist_mode, ..config }).await?;
        }
        Err(error) if is_missing(&error) => drop(context.create_stream(config).await?),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Sequence and position of the stream's last message; none where it is empty.
async fn last_message(stream: &jetstream::stream::Stream) -> Result<Option<(u64, u64)>, RelayError> {
    match stream.get_last_raw_message_by_subject(ALL_SUBJECTS).await {
        Ok(last) => {
            let position = position(&last.headers).ok_or_else(|| RelayError::Last("it is not ours".to_owned()))?;
            Ok(Some((last.sequence, position)))
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(RelayError::Last(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::Context;
    use async_nats::{HeaderMap, HeaderValue};

    use super::*;

    /// Publishes a message of this position, past the relay.
    async fn publish(context: &Context, position: u64) {
        let mut headers = HeaderMap::new();
        headers.insert("ce-position", HeaderValue::from(position));
        let subject = ALL_SUBJECTS.replace('>', "x");
        let sent = context.publish_with_headers(subject, headers, "{}".into()).await.expect("it is sent");
        sent.await.expect("it is taken");
    }

    #[tokio::test]
    async fn a_stream_that_is_numbered_otherwise_than_the_log_is_refused() {
        let nats = testkit::nats().await;
        let context = jetstream::new(async_nats::connect(nats.url()).await.expect("an address"));
        make(&context, 1).await.expect("the stream");
        require_whole(&context).await.expect("an empty one is whole");
        for position in 5..=9 {
            publish(&context, position).await;
        }
        require_whole(&context).await.expect("it may begin anywhere");
        let made = context.get_stream(STREAM).await.expect("the stream");
        made.delete_message(3).await.expect("a message is removed");
        require_whole(&context).await.expect("what was deleted in between does not count");
        publish(&context, 9).await;
        let shifted = require_whole(&context).await;
        assert!(matches!(shifted, Err(RelayError::Shifted { first: 5, last: 9, sequences: 6 })), "{shifted:?}");
    }
}
