//! How much waits.

use std::sync::Arc;
use std::time::Duration;

use event_store::views::{ColumnValue, ViewStore};
use events::messaging::contact::Channel;
use events::messaging::notification::Urgency;
use service::backlog::Backlog;
use tokio_util::sync::CancellationToken;
use views::Table;
use views::messaging::messages::{Messages, queue};

use crate::queue::equals;

/// How often it is counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often the queues are counted each by itself.
const COUNT_QUEUES_EVERY: Duration = Duration::from_secs(5);
/// Beyond that it is told as so many.
const COUNTED_MAX: u32 = 1_000_000;

/// Keeps `backlog` told how many messages wait, until asked to stop.
pub async fn watch_backlog(views: Arc<dyn ViewStore>, backlog: Backlog, shutdown: CancellationToken) {
    let count = async {
        let waits = [equals("status", ColumnValue::Text("waiting".to_owned()))];
        // One more tells that it is full.
        let max = u32::try_from(backlog.max()).unwrap_or(COUNTED_MAX).saturating_add(1);
        loop {
            // Where the views do not answer the last count stands.
            if let Ok(count) = views.count(Messages::NAME, &waits, max).await {
                backlog.is_at(count);
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    };
    tokio::select! {
        () = count => {}
        () = shutdown.cancelled() => {}
    }
}

/// Tells how many messages of a channel wait, by urgency, until it is dropped.
pub async fn tell_waiting(views: Arc<dyn ViewStore>, channel: Channel) {
    loop {
        for urgency in Urgency::ALL {
            let of_queue = [equals("queue", ColumnValue::Text(queue(channel, urgency)))];
            if let Ok(count) = views.count(Messages::NAME, &of_queue, COUNTED_MAX).await {
                let labels = [("channel", channel.name()), ("urgency", urgency.name())];
                metrics::gauge!("anamnesis_messages_waiting", &labels).set(count as f64);
            }
        }
        tokio::time::sleep(COUNT_QUEUES_EVERY).await;
    }
}
