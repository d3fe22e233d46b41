//! A feed that is told by JetStream that there is something new, and reads it in the log.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_trait::async_trait;
use event_store::log::{EventLog, LogIdentity};
use events::envelope::Envelope;
use futures::{FutureExt, StreamExt};

use super::log::BATCH_EVENTS_MAX;
use super::{Feed, FeedError, FeedSource};
use crate::message::{Mark, mark};
use crate::pace::Pace;
use crate::topology::{FEED_IDLE, Topology};

/// Feeds whose events come from the log alone. A message is a hint that there
/// are some: whoever may publish on NATS can make one that looks like ours, so
/// what a message says is never taken over, only compared
/// (docs/adr/0024-the-bus-knows-its-log.md).
pub struct JetStreamFeedSource {
    context: jetstream::Context,
    log: Arc<dyn EventLog>,
}

impl JetStreamFeedSource {
    /// Feeds from `log`, woken by the stream that the relay fills.
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
            heard: Vec::new(),
        })
    }
}

struct JetStreamFeed {
    context: jetstream::Context,
    log: Arc<dyn EventLog>,
    position: u64,
    pace: Pace,
    // Messages from now on, and whose they should be; absent where JetStream is away.
    live: Option<(Ordered, LogIdentity)>,
    // Of events that were not read yet.
    heard: Vec<Mark>,
}

#[async_trait]
impl Feed for JetStreamFeed {
    async fn next(&mut self) -> Result<Vec<Envelope>, FeedError> {
        self.pace.rest().await;
        loop {
            // Before reading, so that nothing comes unheard in between.
            if self.live.is_none() {
                self.live = listen(&self.context, &*self.log).await;
            }
            let events = self.log.follow(self.position, BATCH_EVENTS_MAX).await?;
            if let Some(last) = events.last() {
                self.position = last.position;
                self.pace.gave(events.len(), BATCH_EVENTS_MAX);
                self.compare(&events);
                return Ok(events);
            }
            self.hear().await;
        }
    }
}

impl JetStreamFeed {
    /// Waits for a message of an event that was not read yet; no longer than a
    /// moment, for the stream may be behind, or not there.
    async fn hear(&mut self) {
        let quiet = tokio::time::sleep(FEED_IDLE);
        tokio::pin!(quiet);
        while let Some((live, identity)) = &mut self.live {
            let message = tokio::select! {
                message = live.next() => message,
                () = &mut quiet => return,
            };
            let mut next = Some(message);
            while let Some(message) = next {
                let Some(Ok(message)) = message else {
                    // The consumer broke off: listen anew.
                    self.live = None;
                    return;
                };
                let new = judge(message.headers.as_ref(), *identity).filter(|mark| mark.position > self.position);
                self.heard.extend(new);
                if self.heard.len() >= BATCH_EVENTS_MAX {
                    return;
                }
                next = live.next().now_or_never();
            }
            if !self.heard.is_empty() {
                return;
            }
        }
        quiet.await;
    }

    /// Whether what was heard is what the log has.
    fn compare(&mut self, events: &[Envelope]) {
        let Some(first) = events.first() else { return };
        for mark in self.heard.drain(..) {
            let index = mark.position.checked_sub(first.position).and_then(|index| usize::try_from(index).ok());
            let event = index.and_then(|index| events.get(index));
            if event.is_some_and(|event| event.event_id != mark.event_id) {
                foreign(&mark, "the log has another event at this position");
            }
        }
    }
}

/// The mark of a message of our log, of its epoch or one that began meanwhile; of any other it is said that it was there.
fn judge(headers: Option<&HeaderMap>, identity: LogIdentity) -> Option<Mark> {
    let mark = headers.and_then(mark);
    match mark {
        Some(mark) if mark.log_id == identity.log_id && mark.epoch >= identity.epoch => return Some(mark),
        Some(mark) if mark.log_id == identity.log_id => foreign(&mark, "it is of an epoch of the log that has ended"),
        Some(mark) => foreign(&mark, "it is of another log"),
        None => {
            metrics::counter!("anamnesis_feed_foreign_messages_total").increment(1);
            tracing::warn!("a message in the stream is not one of ours; it is ignored");
        }
    }
    None
}

fn foreign(mark: &Mark, why: &'static str) {
    metrics::counter!("anamnesis_feed_foreign_messages_total").increment(1);
    tracing::warn!(mark.position, mark.epoch, %mark.log_id, why, "a message in the stream is ignored");
}

/// Messages from now on, without their payloads; none where JetStream is away.
async fn listen(context: &jetstream::Context, log: &dyn EventLog) -> Option<(Ordered, LogIdentity)> {
    let listening = async {
        let identity = log.identity().await.ok()?;
        let topology = Topology::of(identity.log_id);
        let stream = context.get_stream_no_info(topology.stream_name()).await.ok()?;
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::New,
            filter_subject: topology.all_events(),
            headers_only: true,
            ..OrderedConfig::default()
        };
        let messages = stream.create_consumer(config).await.ok()?.messages().await.ok()?;
        Some((messages, identity))
    };
    tokio::time::timeout(FEED_IDLE * 4, listening).await.ok().flatten()
}
