//! The newest events as every client of the event stream gets them: read and rendered once for
//! all who follow, however many they are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use event_store::log::{EventLog, LogError};
use events::envelope::Envelope;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PIECE;
use crate::blinding::Shown;
use crate::entry::Entry;
use crate::gaze::Eyes;
use crate::render::log as log_error;

/// Events that are kept for those who follow; who is further behind reads the log.
const EVENTS_MAX: usize = 4_096;
/// Payload bytes that are kept.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long to wait for the head to move before looking all the same: another process may have appended.
const IDLE_LOOK: Duration = Duration::from_secs(2);
/// Pause after the log did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// An event, and what is sent of it: one form for those who see treatment allocation and one for
/// those who must not, each made when the first of them asks.
pub struct Rendered {
    /// The event.
    pub event: Envelope,
    open: OnceLock<Bytes>,
    blinded: OnceLock<Bytes>,
}

impl Rendered {
    /// Renders nothing yet.
    pub fn all(events: Vec<Envelope>) -> Vec<Arc<Self>> {
        let rendered = |event| Arc::new(Self { event, open: OnceLock::new(), blinded: OnceLock::new() });
        events.into_iter().map(rendered).collect()
    }

    /// The event as a frame of the stream, with treatment allocation or without.
    pub fn frame(&self, allocation_is_shown: bool) -> Bytes {
        let form = if allocation_is_shown { &self.open } else { &self.blinded };
        form.get_or_init(|| {
            // JSON holds no line break, so one `data` line is enough.
            let (id, data) = (
                self.event.event_id,
                Entry::new(&self.event, Shown { allocation: allocation_is_shown, personal: false }),
            );
            format!("id: {id}\nevent: {}\ndata: {data}\n\n", self.event.event_type).into()
        })
        .clone()
    }
}

/// What the window can say about the events behind a position.
pub enum Read {
    /// These follow.
    Events(Vec<Arc<Rendered>>),
    /// None yet.
    UpToDate,
    /// They are not kept, or no longer: the log has them.
    Gone,
}

/// The newest events of the log, without a gap.
pub struct Window {
    log: Arc<dyn EventLog>,
    eyes: Eyes,
    kept: RwLock<Kept>,
    end: watch::Sender<u64>,
    incarnation: watch::Receiver<u64>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Kept {
    /// The incarnation of the log that the events were read in; of a log that went back none is passed on.
    incarnation: u64,
    events: VecDeque<Arc<Rendered>>,
    bytes: usize,
}

impl Window {
    /// A window over `log`; it is read from the first time that somebody follows.
    pub fn new(log: Arc<dyn EventLog>, eyes: Eyes) -> Arc<Self> {
        let (end, incarnation) = (watch::Sender::new(0), log.incarnation());
        Arc::new(Self { log, eyes, kept: RwLock::default(), end, incarnation, reader: Mutex::default() })
    }

    /// Tells where the window ends, as it moves. Begins to read where nobody has followed before.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn follow(self: &Arc<Self>) -> Result<watch::Receiver<u64>, LogError> {
        let head = self.log.head().await?;
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.as_ref().is_none_or(JoinHandle::is_finished) {
            self.begin_at(head, self.incarnation());
            *reader = Some(tokio::spawn(read_on(Arc::downgrade(self))));
        }
        Ok(self.end.subscribe())
    }

    /// How often the log went back by now.
    pub fn incarnation(&self) -> u64 {
        *self.incarnation.borrow()
    }

    /// What follows `position`, at most [`PIECE`] events.
    pub fn read(&self, position: u64) -> Read {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if kept.incarnation != self.incarnation() {
            return Read::Gone;
        }
        if position >= *self.end.borrow() {
            return Read::UpToDate;
        }
        let first = kept.events.front().map(|rendered| rendered.event.position);
        match first.and_then(|first| usize::try_from((position + 1).checked_sub(first)?).ok()) {
            Some(skipped) => Read::Events(kept.events.iter().skip(skipped).take(PIECE).cloned().collect()),
            None => Read::Gone,
        }
    }

    fn begin_at(&self, position: u64, incarnation: u64) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Kept { incarnation, ..Kept::default() };
        self.end.send_replace(position);
    }

    /// Keeps events that were read in this incarnation.
    fn add(&self, events: Vec<Arc<Rendered>>, incarnation: u64) {
        let Some(end) = events.last().map(|rendered| rendered.event.position) else { return };
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.incarnation != incarnation || self.incarnation() != incarnation {
            return;
        }
        kept.bytes += events.iter().map(|rendered| rendered.event.payload.len()).sum::<usize>();
        kept.events.extend(events);
        while kept.events.len() > EVENTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes -= oldest.event.payload.len();
        }
        drop(kept);
        self.end.send_replace(end);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            reader.abort();
        }
    }
}

/// Keeps the window at the head of the log for as long as somebody holds it.
async fn read_on(window: std::sync::Weak<Window>) {
    let Some(window_now) = window.upgrade() else { return };
    let (mut head, mut incarnation) = (window_now.log.watch_head(), window_now.incarnation.clone());
    drop(window_now);
    loop {
        let Some(window) = window.upgrade() else { return };
        head.borrow_and_update();
        let now = *incarnation.borrow_and_update();
        match window.read_on(now).await {
            Ok(true) => {}
            Ok(false) => {
                drop(window);
                // Elapsed or moved: either way it is time to look.
                tokio::select! {
                    () = tokio::time::sleep(IDLE_LOOK) => {}
                    Ok(()) = head.changed() => {}
                    Ok(()) = incarnation.changed() => {}
                }
            }
            Err(error) => {
                log_error(&error);
                drop(window);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

impl Window {
    /// Takes in what the log has beyond the window; tells whether there was any. Begins anew where the log went back.
    async fn read_on(&self, incarnation: u64) -> Result<bool, LogError> {
        let is_of_before = self.kept.read().unwrap_or_else(PoisonError::into_inner).incarnation != incarnation;
        if is_of_before {
            self.begin_at(self.log.head().await?, incarnation);
        }
        let position = *self.end.borrow();
        let mut events = self.log.follow(position, PIECE).await?;
        self.eyes.open(&mut events).await?;
        let are_some = !events.is_empty();
        self.add(Rendered::all(events), incarnation);
        Ok(are_some)
    }
}
