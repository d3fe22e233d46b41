//! The lanes of a channel: alerts have one of their own, so that nothing else is ever in their way.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use event_store::Store;
use event_store::clock;
use event_store::views::{LIST_LIMIT_MAX, ViewError};
use events::ids::MessageId;
use events::messaging::notification::Urgency;
use tokio::task::JoinSet;

use crate::queue::{Waiting, due};
use crate::sending::{Ended, Sender};

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a message that is settled, or has to wait, is left alone: by then the view tells what became of it.
const LEFT_FOR: Duration = Duration::from_secs(5);
/// The same of one that waits for its provider: soon after that is tried again it is, too.
const WAITS_FOR: Duration = Duration::from_millis(500);

/// A lane: the queues that it serves, the first of them first.
pub struct Lane {
    /// Where the queues are read.
    pub store: Store,
    /// What sends.
    pub sender: Sender,
    /// Which queues.
    pub urgencies: &'static [Urgency],
    /// How many are on their way at once.
    pub at_once: usize,
}

#[derive(Default)]
struct Hand {
    running: JoinSet<(MessageId, Ended)>,
    // On their way.
    busy: HashSet<MessageId>,
    // Left alone until then, whatever the view says.
    left: HashMap<MessageId, Instant>,
}

impl Lane {
    /// Sends until it is dropped; what is on its way then is dropped with it.
    pub async fn run(self) {
        let mut hand = Hand::default();
        let mut failing = false;
        loop {
            match self.fill(&mut hand).await {
                Ok(()) => failing = false,
                // A projector is about to make it.
                Err(ViewError::Unknown(_)) => {}
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, channel = self.sender.channel.name(), "the queue cannot be read");
                    }
                }
            }
            let full = hand.busy.len() >= self.at_once;
            tokio::select! {
                Some(ended) = hand.running.join_next() => hand.take(ended),
                () = tokio::time::sleep(LOOK_EVERY), if !full => {}
            }
            while let Some(ended) = hand.running.try_join_next() {
                hand.take(ended);
            }
        }
    }

    /// Begins as many as there is room for.
    async fn fill(&self, hand: &mut Hand) -> Result<(), ViewError> {
        let now = Instant::now();
        hand.left.retain(|_, until| *until > now);
        for urgency in self.urgencies {
            let room = self.at_once.saturating_sub(hand.busy.len());
            if room == 0 {
                return Ok(());
            }
            // Those that the view still shows, although they are settled, lie before the others.
            let known = hand.busy.len() + hand.left.len();
            let limit = u32::try_from(known + room).unwrap_or(LIST_LIMIT_MAX).min(LIST_LIMIT_MAX);
            let waiting = due(&*self.store.views, self.sender.channel, *urgency, clock::now(), limit).await?;
            let fresh = waiting.into_iter().filter(|waiting| !hand.knows(waiting.message_id)).take(room);
            let fresh: Vec<Waiting> = fresh.collect();
            for waiting in fresh {
                hand.busy.insert(waiting.message_id);
                hand.running.spawn(self.sender.clone().send(waiting));
            }
        }
        Ok(())
    }
}

impl Hand {
    fn knows(&self, message_id: MessageId) -> bool {
        self.busy.contains(&message_id) || self.left.contains_key(&message_id)
    }

    fn take(&mut self, ended: Result<(MessageId, Ended), tokio::task::JoinError>) {
        match ended {
            Ok((message_id, ended)) => {
                self.busy.remove(&message_id);
                let pause = if ended == Ended::Settled { LEFT_FOR } else { WAITS_FOR };
                self.left.insert(message_id, Instant::now() + pause);
            }
            // A fault of the program: whoever runs this decides what becomes of the process.
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}
