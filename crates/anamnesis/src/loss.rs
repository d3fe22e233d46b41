//! What the log lost, as those who read it know, and taking it up again in a new epoch.

use async_nats::Client;
use event_bus::RelayError;
use event_bus::relay::{Difference, compare};
use event_store::Store;
use event_store::checkpoints::WentBack;
use event_store::log::{LogError, LogIdentity};
use event_store::views::ViewError;

/// Lost events that are named one by one.
pub const NAMED_MAX: usize = 1_000;

/// Epochs that a stream can be ahead of a copy of its log: each is begun by somebody.
const EPOCHS_MAX: u64 = 1_000;

/// Why a log could not be looked at or taken up.
#[derive(Debug, thiserror::Error)]
pub enum LossError {
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// The storage of what is derived did not answer.
    #[error("the storage of views and process managers did not answer")]
    Derived(#[from] ViewError),
    /// No log can have come so far.
    #[error(
        "the stream tells of epoch {stream} of this log, which is at epoch {log}: a message there is not the relay's, and \
         `anamnesis republish` sets that right"
    )]
    NoEpoch {
        /// What the stream says.
        stream: u64,
        /// What the log says.
        log: u64,
    },
    /// The stream cannot be compared with the log.
    #[error("the stream cannot be compared with the log")]
    Compare(#[from] RelayError),
}

/// What others knew of the log and the log no longer has.
pub struct Loss {
    /// The log as it is.
    pub identity: LogIdentity,
    /// Where it ends.
    pub head: u64,
    /// Views and process managers that had read what is gone.
    pub readers: Vec<(String, WentBack)>,
    /// How the stream differs, where there is one with something in it.
    pub stream: Option<Difference>,
}

impl Loss {
    /// Compares the log with whoever reads it. Nothing is changed.
    ///
    /// # Errors
    /// [`LossError`].
    pub async fn look(store: &Store, nats: Option<Client>) -> Result<Self, LossError> {
        let (identity, head) = (store.log.identity().await?, store.log.head().await?);
        let mut readers = Vec::new();
        for view in store.views.states().await? {
            if let Err(lost) = store.log.prove(view.checkpoint).await? {
                readers.push((format!("view {}", view.name), lost));
            }
        }
        for process in saga::PROCESSES {
            if let Some(cursor) = store.sagas.cursor(process.name()).await?
                && let Err(lost) = store.log.prove(cursor.checkpoint).await?
            {
                readers.push((format!("process manager {}", process.name()), lost));
            }
        }
        let stream = match nats {
            Some(client) => compare(store, client, NAMED_MAX).await?,
            None => None,
        };
        if let Some(Difference { stream_epoch, .. }) = stream
            && stream_epoch.saturating_sub(identity.epoch) > EPOCHS_MAX
        {
            return Err(LossError::NoEpoch { stream: stream_epoch, log: identity.epoch });
        }
        Ok(Self { identity, head, readers, stream })
    }

    /// Whether anything that others know is lost.
    pub fn is_some(&self) -> bool {
        let stream = self.stream.as_ref();
        let stream_differs = stream.is_some_and(|stream| stream.common_position < stream.stream_position);
        !self.readers.is_empty() || stream_differs
    }

    /// Whether the log is yet to be taken up: a stream of an earlier epoch the relay takes over by itself.
    pub fn is_open(&self) -> bool {
        let is_current = |stream: &Difference| stream.stream_epoch >= self.identity.epoch;
        !self.readers.is_empty() || (self.is_some() && self.stream.as_ref().is_some_and(is_current))
    }

    /// The epoch that begins when the log is taken up again: later than what log and stream know.
    pub fn next_epoch(&self) -> u64 {
        self.identity.epoch.max(self.stream.as_ref().map_or(0, |stream| stream.stream_epoch)) + 1
    }

    /// Begins the next epoch and forgets what is derived: it comes back from the log. The relay takes the lost
    /// events out of the stream and tells subscribers.
    ///
    /// # Errors
    /// [`LossError`]; where the epoch has begun, doing it again is safe.
    pub async fn take_up(&self, store: &Store) -> Result<LogIdentity, LossError> {
        let mut now = self.identity;
        while now.epoch < self.next_epoch() {
            now = store.log.begin_epoch(now.epoch).await?;
        }
        store.forget_derived().await?;
        Ok(now)
    }
}
