//! Folded streams: from the cache, from a snapshot, from the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use decider::{Fact, Facts, Need, StreamFold};
use events::envelope::Envelope;
use events::ids::StreamId;
use moka::sync::Cache;
use tokio::sync::watch;

use super::ExecutorOptions;
use crate::log::{Comparison, EventLog, LogError, Snapshot, Write, is_last};
use crate::sealer::Sealer;

/// Events that are read at a time.
const READ_EVENTS: usize = 1_000;

/// Folded streams, kept by stream and version.
///
/// An entry may be behind the log, never ahead of it: it is only made from
/// what was read or what was appended, and all are forgotten where the log went back. A decision on an entry that is behind
/// is caught by the append's expected versions.
pub struct Aggregates {
    log: Arc<dyn EventLog>,
    sealer: Sealer,
    // What is kept of a stream is renewed in its place: the cache itself is only
    // written where a stream comes or goes.
    cache: Cache<StreamId, Arc<Mutex<(Fact, StreamFold)>>>,
    snapshot_every: u64,
    incarnation: watch::Receiver<u64>,
    // The incarnation of the log of which folds are kept.
    kept_of: AtomicU64,
}

impl Aggregates {
    pub fn new(log: Arc<dyn EventLog>, sealer: Sealer, options: ExecutorOptions) -> Self {
        let cache = Cache::new(options.cached_streams_max);
        let incarnation = log.incarnation();
        let kept_of = AtomicU64::new(*incarnation.borrow());
        Self { log, sealer, cache, snapshot_every: options.snapshot_every.max(1), incarnation, kept_of }
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

    /// The folded streams, read from the log: short ones all at once.
    pub async fn load(&self, needs: Vec<Need>) -> Result<Vec<(Need, Fact)>, LogError> {
        if needs.is_empty() {
            return Ok(Vec::new());
        }
        // A stream shorter than this has no snapshot yet.
        let short = usize::try_from(self.snapshot_every).unwrap_or(READ_EVENTS).min(READ_EVENTS);
        let streams: Vec<StreamId> = needs.iter().map(|need| need.stream).collect();
        let mut read = self.log.read_streams(&streams, short).await?;
        let mut loaded = Vec::with_capacity(needs.len());
        for need in needs {
            let mut events = read.remove(&need.stream).unwrap_or_default();
            let mut fact = Fact::absent(&need.fold);
            if is_last(&events, short) {
                self.sealer.open(&mut events).await?;
                for envelope in &events {
                    fact = apply(fact, envelope, &need.fold)?;
                }
            } else {
                fact = self.load_long(&need).await?;
            }
            self.insert(need.stream, fact.clone(), need.fold);
            loaded.push((need, fact));
        }
        Ok(loaded)
    }

    /// A stream that may have a snapshot.
    async fn load_long(&self, need: &Need) -> Result<Fact, LogError> {
        let (start, kept) = self.start(need.stream, &need.fold).await?;
        let fact = fold_opened(&*self.log, Some(&self.sealer), need.stream, &need.fold, start).await?;
        if fact.version >= kept + self.snapshot_every {
            self.keep(need.stream, &need.fold, &fact);
        }
        Ok(fact)
    }

    /// Reads what the log holds beyond a kept fold. Where nothing is kept the next decision reads it.
    pub async fn refresh(&self, stream: StreamId) -> Result<(), LogError> {
        let Some((fact, fold)) = self.kept(stream) else { return Ok(()) };
        let fact = fold_opened(&*self.log, Some(&self.sealer), stream, &fold, fact).await?;
        self.insert(stream, fact, fold);
        Ok(())
    }

    /// Whether the log holds no more of the streams than was seen, and where it stands then; what is kept of those of which it
    /// does is behind no longer.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn proved(&self, seen: &[(StreamId, u64)]) -> Result<Option<u64>, LogError> {
        let Comparison { head, grown } = self.log.compare(seen).await?;
        for stream in &grown {
            self.refresh(*stream).await?;
        }
        Ok(grown.is_empty().then_some(head))
    }

    /// Folds what was just appended onto what the decision saw, in place where nobody else holds it.
    pub fn remember(&self, writes: &[Write], facts: &mut Facts, folds: &[(StreamId, StreamFold)]) {
        for write in writes {
            let Some((_, fold)) = folds.iter().find(|(stream, _)| *stream == write.stream) else { continue };
            let Some(seen) = facts.remove(write.stream) else { continue };
            let before = seen.version;
            match fold_written(write, self.sole(write.stream, seen), fold) {
                Some(fact) => {
                    if fact.version / self.snapshot_every > before / self.snapshot_every {
                        self.keep(write.stream, fold, &fact);
                    }
                    self.insert(write.stream, fact, *fold);
                }
                // It was stored all the same: the next decision reads it.
                None => self.cache.invalidate(&write.stream),
            }
        }
    }

    /// The fact, no longer shared with what is kept of the stream: a large state is then
    /// folded on without a copy. What is kept meanwhile is the stream's beginning, which is
    /// only older.
    fn sole(&self, stream: StreamId, seen: Fact) -> Fact {
        if let Some(kept) = self.cache.get(&stream) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.0.version == seen.version {
                kept.0 = Fact::absent(&kept.1);
            }
        }
        seen
    }

    fn kept(&self, stream: StreamId) -> Option<(Fact, StreamFold)> {
        let kept = self.cache.get(&stream)?;
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        Some(kept.clone())
    }

    /// Keeps the newer of two folds.
    fn insert(&self, stream: StreamId, fact: Fact, fold: StreamFold) {
        let kept = self.cache.get_with(stream, || Arc::new(Mutex::new((fact.clone(), fold))));
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.version < fact.version {
            *kept = (fact, fold);
        }
    }

    /// Where folding starts: the snapshot, or the stream's beginning; and the version of the snapshot.
    async fn start(&self, stream: StreamId, fold: &StreamFold) -> Result<(Fact, u64), LogError> {
        let snapshot = self.log.load_snapshot(stream).await?;
        let usable = snapshot.filter(|snapshot| snapshot.state_version == fold.snapshot_version);
        let usable = usable.and_then(|snapshot| self.sealer.open_snapshot(snapshot));
        let thawed = usable.and_then(|snapshot| Some((snapshot.version, (fold.thaw)(&snapshot.state)?)));
        Ok(match thawed {
            Some((version, state)) => (Fact { version, state }, version),
            None => (Fact::absent(fold), 0),
        })
    }

    /// Keeps a snapshot in the background; without it the stream is read as a whole.
    fn keep(&self, stream: StreamId, fold: &StreamFold, fact: &Fact) {
        let Some(state) = (fold.freeze)(&fact.state) else { return };
        let snapshot =
            Snapshot { stream, version: fact.version, state_version: fold.snapshot_version, state: state.into() };
        let snapshot = match self.sealer.seal_snapshot(snapshot) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, %stream, "a snapshot was not sealed");
                return;
            }
        };
        let log = self.log.clone();
        tokio::spawn(async move {
            if let Err(error) = log.save_snapshot(snapshot).await {
                tracing::warn!(error = &error as &dyn std::error::Error, %stream, "a snapshot was not kept");
            }
        });
    }
}

/// The stream as it stands: what is known of it, and what the log holds beyond. Personal data stay sealed.
///
/// # Errors
/// Where the log does not answer, or holds what cannot be folded.
pub async fn fold_on(log: &dyn EventLog, stream: StreamId, fold: &StreamFold, fact: Fact) -> Result<Fact, LogError> {
    fold_opened(log, None, stream, fold, fact).await
}

async fn fold_opened(
    log: &dyn EventLog,
    sealer: Option<&Sealer>,
    stream: StreamId,
    fold: &StreamFold,
    mut fact: Fact,
) -> Result<Fact, LogError> {
    loop {
        let mut events = log.read_stream(stream, fact.version, READ_EVENTS).await?;
        let is_last = is_last(&events, READ_EVENTS);
        if let Some(sealer) = sealer {
            sealer.open(&mut events).await?;
        }
        for envelope in &events {
            fact = apply(fact, envelope, fold)?;
        }
        if is_last {
            return Ok(fact);
        }
    }
}

fn apply(fact: Fact, envelope: &Envelope, fold: &StreamFold) -> Result<Fact, LogError> {
    if envelope.version != fact.version + 1 {
        return Err(LogError::Corrupt {
            what: format!("{} goes from version {} to {}", envelope.stream, fact.version, envelope.version),
        });
    }
    let state = (fold.apply)(fact.state, &envelope.into());
    let state = state.map_err(|source| LogError::Decode { position: envelope.position, source })?;
    Ok(Fact { version: envelope.version, state })
}

fn fold_written(write: &Write, seen: Fact, fold: &StreamFold) -> Option<Fact> {
    write.events.iter().try_fold(seen, |fact, event| {
        let state = match &event.typed {
            Some(typed) => (fold.apply_typed)(fact.state, typed, event.occurred_at)?,
            None => (fold.apply)(fact.state, &event.into()).ok()?,
        };
        Some(Fact { version: fact.version + 1, state })
    })
}
