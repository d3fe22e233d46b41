//! The live lane: views near the head, brought forward together.

use event_bus::{Feed, FeedError};
use event_store::log::LogError;
use events::envelope::Envelope;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::batch::{Cursor, Events, decode};

/// A feed that is read: it comes back with what it gave.
type Reading = BoxFuture<'static, (Box<dyn Feed>, Result<Vec<Envelope>, FeedError>)>;

/// Views that share one feed. None stands behind it.
#[derive(Default)]
pub struct Lane {
    /// The views.
    pub cursors: Vec<Cursor>,
    /// What the feed has given.
    pub position: u64,
    reading: Option<Reading>,
}

impl Lane {
    /// Whether there is no view in it.
    pub fn is_empty(&self) -> bool {
        self.cursors.is_empty()
    }

    /// Begins with a view from where it stands, with a feed from there.
    pub fn begin(&mut self, cursor: Cursor, feed: Box<dyn Feed>) {
        self.position = cursor.checkpoint.position;
        self.cursors = vec![cursor];
        self.reading = Some(read(feed));
    }

    /// Goes on without a view.
    pub fn remove(&mut self, view: &str) {
        self.cursors.retain(|cursor| cursor.name() != view);
        if self.cursors.is_empty() {
            self.reading = None;
        }
    }

    /// The next events, up to one that this program cannot read. Waits for
    /// them; may be dropped and called again without losing any.
    ///
    /// # Errors
    /// Where the feed broke off; the lane must be begun anew.
    pub async fn next(&mut self) -> Result<(Events, Option<LogError>), FeedError> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let (feed, envelopes) = reading.await;
        self.reading = Some(read(feed));
        Ok(decode(envelopes?))
    }
}

fn read(mut feed: Box<dyn Feed>) -> Reading {
    async move {
        let envelopes = feed.next().await;
        (feed, envelopes)
    }
    .boxed()
}
