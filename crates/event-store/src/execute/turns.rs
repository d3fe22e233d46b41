//! Whose turn it is on a stream where many want to append.

use std::hash::{BuildHasher as _, RandomState};

use events::ids::StreamId;
use tokio::sync::{Mutex, MutexGuard};

/// Queues; streams, and senders to them, share them by hash.
const QUEUES: usize = 256;

/// The queues of streams. A sender has one place in a stream's: whoever sends much waits for the rest among themselves.
pub struct Turns {
    streams: Vec<Mutex<()>>,
    senders: Vec<Mutex<()>>,
    hasher: RandomState,
}

/// The right to decide on a stream where many want to.
pub struct Turn<'turns> {
    /// The stream.
    pub of: StreamId,
    // In this order: the next sender comes before the sender's next command.
    _stream: MutexGuard<'turns, ()>,
    _sender: MutexGuard<'turns, ()>,
}

impl Turns {
    /// Nobody waits.
    pub fn new() -> Self {
        let queues = || (0..QUEUES).map(|_| Mutex::new(())).collect();
        Self { streams: queues(), senders: queues(), hasher: RandomState::new() }
    }

    /// Waits for the turn of this sender on the stream. Nobody may wait who holds another.
    pub async fn wait(&self, sender: &str, stream: StreamId) -> Turn<'_> {
        let index = |hash: u64| hash as usize % QUEUES;
        let of_sender = self.senders[index(self.hasher.hash_one((sender, stream)))].lock().await;
        let of_stream = self.streams[index(self.hasher.hash_one(stream))].lock().await;
        Turn { of: stream, _stream: of_stream, _sender: of_sender }
    }
}
