//! A feed that hears of events from JetStream and trusts only the log.

use std::sync::Arc;

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_trait::async_trait;
use event_store::log::{EventLog, LogError};
use events::envelope::Envelope;
use futures::{FutureExt, StreamExt};

use super::log::BATCH_EVENTS_MAX;
use super::{Feed, FeedError, FeedSource};
use crate::message::envelope;
use crate::pace::Pace;
use crate::topology::{FEED_IDLE, STREAM};

/// Feeds from JetStream, their gaps filled from the log.
pub struct JetStreamFeedSource {
    context: jetstream::Context,
    log: Arc<dyn EventLog>,
}

impl JetStreamFeedSource {
    /// Feeds from the stream that the relay fills.
    pub fn new(client: async_nats::Client, log: Arc<dyn EventLog>) -> Self {
        Self { context: jetstream::new(client), log }
    }
}

impl FeedSource for JetStreamFeedSource {
    fn open(&self, after_position: u64) -> Box<dyn Feed> {
        Box::new(JetStreamFeed {
            context: self.context.clone(),
            log: self.log.clone(),
            position: after_position,
            pace: Pace::new(self.log.batches_apart()),
            live: None,
        })
    }
}

struct JetStreamFeed {
    context: jetstream::Context,
    log: Arc<dyn EventLog>,
    position: u64,
    pace: Pace,
    // Messages from now on; absent while catching up or where JetStream is away.
    live: Option<Ordered>,
}

#[async_trait]
impl Feed for JetStreamFeed {
    async fn next(&mut self) -> Result<Vec<Envelope>, FeedError> {
        loop {
            // Whatever was missed, for whatever reason, is in the log.
            if self.live.is_none() {
                self.live = listen(self.context.clone()).await;
                let missed = self.read_log().await?;
                if !missed.is_empty() {
                    return Ok(missed);
                }
            }
            self.pace.rest().await;
            let heard = self.hear().await;
            self.pace.gave(heard.len(), BATCH_EVENTS_MAX);
            if !heard.is_empty() {
                return Ok(heard);
            }
            let missed = self.read_log().await?;
            if !missed.is_empty() {
                return Ok(missed);
            }
        }
    }
}

impl JetStreamFeed {
    async fn read_log(&mut self) -> Result<Vec<Envelope>, LogError> {
        let events = self.log.read_all(self.position, BATCH_EVENTS_MAX).await?;
        if let Some(last) = events.last() {
            self.position = last.position;
        }
        Ok(events)
    }

    /// The next messages that follow without a gap; none where there is a gap,
    /// or where nothing comes for a moment.
    async fn hear(&mut self) -> Vec<Envelope> {
        let Some(live) = &mut self.live else {
            tokio::time::sleep(FEED_IDLE).await;
            return Vec::new();
        };
        let mut events = Vec::new();
        let mut message = match tokio::time::timeout(FEED_IDLE, live.next()).await {
            Ok(message) => message,
            Err(_) => return events,
        };
        loop {
            let event = match message {
                Some(Ok(message)) => {
                    let headers = message.headers.clone().unwrap_or_default();
                    envelope(&headers, message.payload.clone()).ok()
                }
                // The consumer broke off: listen anew.
                Some(Err(_)) | None => {
                    self.live = None;
                    return events;
                }
            };
            match event {
                Some(event) if event.position == self.position + 1 => {
                    self.position = event.position;
                    events.push(event);
                }
                // Heard before.
                Some(event) if event.position <= self.position => {}
                // A gap, or a message that is not ours: the log has what is missing.
                Some(_) | None => return events,
            }
            if events.len() >= BATCH_EVENTS_MAX {
                return events;
            }
            match live.next().now_or_never() {
                Some(next) => message = next,
                None => return events,
            }
        }
    }
}

/// Messages from now on; none where JetStream is away.
async fn listen(context: jetstream::Context) -> Option<Ordered> {
    let listening = async {
        let stream = context.get_stream_no_info(STREAM).await.ok()?;
        let config = OrderedConfig { deliver_policy: DeliverPolicy::New, ..OrderedConfig::default() };
        stream.create_consumer(config).await.ok()?.messages().await.ok()
    };
    tokio::time::timeout(FEED_IDLE * 4, listening).await.ok().flatten()
}
