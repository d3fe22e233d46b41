//! Folded streams: from the cache, from a snapshot, from the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use events::decider::{Fact, Facts, Folder};
use events::envelope::Envelope;
use events::ids::StreamId;
use moka::sync::Cache;
use tokio::sync::watch;

use super::ExecutorOptions;
use crate::log::{EventLog, LogError, Snapshot, Write};

/// Events that are read at a time.
const READ_EVENTS: usize = 1_000;

/// Folded streams, kept by stream and version.
///
/// An entry may be behind the log, never ahead of it: it is only made from
/// what was read or what was appended, and all are forgotten where the log went back. A decision on an entry that is behind
/// is caught by the append's expected versions.
pub struct Aggregates {
    log: Arc<dyn EventLog>,
    // What is kept of a stream is renewed in its place: the cache itself is only
    // written where a stream comes or goes.
    cache: Cache<StreamId, Arc<Mutex<(Fact, Folder)>>>,
    snapshot_every: u64,
    incarnation: watch::Receiver<u64>,
    // The incarnation of the log of which folds are kept.
    kept_of: AtomicU64,
}

impl Aggregates {
    pub fn new(log: Arc<dyn EventLog>, options: ExecutorOptions) -> Self {
        let cache = Cache::new(options.cached_streams_max);
        let incarnation = log.incarnation();
        let kept_of = AtomicU64::new(*incarnation.borrow());
        Self { log, cache, snapshot_every: options.snapshot_every.max(1), incarnation, kept_of }
    }

    /// Forgets everything where the log went back since; tells the log's incarnation.
    pub fn settle(&self) -> u64 {
        let incarnation = *self.incarnation.borrow();
        if self.kept_of.load(Ordering::Acquire) != incarnation {
            self.cache.invalidate_all();
            self.kept_of.store(incarnation, Ordering::Release);
        }
        incarnation
    }

    /// The folded stream, where it is kept.
    pub fn cached(&self, stream: StreamId) -> Option<Fact> {
        self.kept(stream).map(|(fact, _)| fact)
    }

    /// The folded stream, read from the log.
    pub async fn load(&self, stream: StreamId, folder: &Folder) -> Result<Fact, LogError> {
        // A stream shorter than this has no snapshot yet.
        let short = usize::try_from(self.snapshot_every).unwrap_or(READ_EVENTS).min(READ_EVENTS);
        let events = self.log.read_stream(stream, 0, short).await?;
        let mut fact = Fact { version: 0, state: (folder.initial)() };
        if events.len() < short {
            for envelope in &events {
                fact = apply(fact, envelope, folder)?;
            }
        } else {
            let (start, kept) = self.start(stream, folder).await?;
            fact = self.fold(stream, folder, start).await?;
            if fact.version >= kept + self.snapshot_every {
                self.keep(stream, folder, &fact);
            }
        }
        self.insert(stream, fact.clone(), *folder);
        Ok(fact)
    }

    /// Reads what the log holds beyond a kept fold. Where nothing is kept the next decision reads it.
    pub async fn refresh(&self, stream: StreamId) -> Result<(), LogError> {
        let Some((fact, folder)) = self.kept(stream) else { return Ok(()) };
        let fact = self.fold(stream, &folder, fact).await?;
        self.insert(stream, fact, folder);
        Ok(())
    }

    /// Whether the log holds more of the stream than was seen; what is kept of it is behind no longer.
    pub async fn has_grown(&self, stream: StreamId, seen: u64) -> Result<bool, LogError> {
        let grown = !self.log.read_stream(stream, seen, 1).await?.is_empty();
        if grown {
            self.refresh(stream).await?;
        }
        Ok(grown)
    }

    /// Folds what was just appended onto what the decision saw.
    pub fn remember(&self, writes: &[Write], facts: &Facts, folders: &[(StreamId, Folder)]) {
        for write in writes {
            let Some((_, folder)) = folders.iter().find(|(stream, _)| *stream == write.stream) else { continue };
            let Some(seen) = facts.fact(write.stream) else { continue };
            match fold_written(write, seen.clone(), folder) {
                Some(fact) => {
                    if fact.version / self.snapshot_every > seen.version / self.snapshot_every {
                        self.keep(write.stream, folder, &fact);
                    }
                    self.insert(write.stream, fact, *folder);
                }
                // It was stored all the same: the next decision reads it.
                None => self.cache.invalidate(&write.stream),
            }
        }
    }

    fn kept(&self, stream: StreamId) -> Option<(Fact, Folder)> {
        let kept = self.cache.get(&stream)?;
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        Some(kept.clone())
    }

    /// Keeps the newer of two folds.
    fn insert(&self, stream: StreamId, fact: Fact, folder: Folder) {
        let kept = self.cache.get_with(stream, || Arc::new(Mutex::new((fact.clone(), folder))));
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.version < fact.version {
            *kept = (fact, folder);
        }
    }

    /// Where folding starts: the snapshot, or the stream's beginning; and the version of the snapshot.
    async fn start(&self, stream: StreamId, folder: &Folder) -> Result<(Fact, u64), LogError> {
        let snapshot = self.log.load_snapshot(stream).await?;
        let usable = snapshot.filter(|snapshot| snapshot.state_version == folder.snapshot_version);
        let thawed = usable.and_then(|snapshot| Some((snapshot.version, (folder.thaw)(&snapshot.state)?)));
        Ok(match thawed {
            Some((version, state)) => (Fact { version, state }, version),
            None => (Fact { version: 0, state: (folder.initial)() }, 0),
        })
    }

    async fn fold(&self, stream: StreamId, folder: &Folder, mut fact: Fact) -> Result<Fact, LogError> {
        loop {
            let events = self.log.read_stream(stream, fact.version, READ_EVENTS).await?;
            let last = events.len() < READ_EVENTS;
            for envelope in &events {
                fact = apply(fact, envelope, folder)?;
            }
            if last {
                return Ok(fact);
            }
        }
    }

    /// Keeps a snapshot in the background; without it the stream is read as a whole.
    fn keep(&self, stream: StreamId, folder: &Folder, fact: &Fact) {
        let Some(state) = (folder.freeze)(&fact.state) else { return };
        let snapshot =
            Snapshot { stream, version: fact.version, state_version: folder.snapshot_version, state: state.into() };
        let log = self.log.clone();
        tokio::spawn(async move {
            if let Err(error) = log.save_snapshot(snapshot).await {
                tracing::warn!(error = &error as &dyn std::error::Error, %stream, "a snapshot was not kept");
            }
        });
    }
}

fn apply(fact: Fact, envelope: &Envelope, folder: &Folder) -> Result<Fact, LogError> {
    if envelope.version != fact.version + 1 {
        return Err(LogError::Corrupt {
            what: format!("{} goes from version {} to {}", envelope.stream, fact.version, envelope.version),
        });
    }
    let state = (folder.apply)(fact.state, &envelope.into());
    let state = state.map_err(|source| LogError::Decode { position: envelope.position, source })?;
    Ok(Fact { version: envelope.version, state })
}

fn fold_written(write: &Write, seen: Fact, folder: &Folder) -> Option<Fact> {
    write.events.iter().try_fold(seen, |fact, event| {
        let state = (folder.apply)(fact.state, &event.into()).ok()?;
        Some(Fact { version: fact.version + 1, state })
    })
}
