//! The newest events that this process appended, for those who follow the log.
//!
//! Views, process managers and the relay read every event as soon as it is
//! stored. While one process writes it has just had them in its hands.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use events::envelope::Envelope;

/// Events that are kept.
const EVENTS_MAX: usize = 4_096;
/// Payload bytes that are kept.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The newest events, without a gap.
#[derive(Default)]
pub struct Tail {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Envelope>,
    bytes: usize,
    incarnation: u64,
}

impl Tail {
    /// Adds events that were stored. Where others were stored before them, by
    /// another process, or the log went back meanwhile, the tail begins anew.
    pub fn extend(&self, incarnation: u64, events: Vec<Envelope>) {
        let Some(first) = events.first() else { return };
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let continued = kept.events.back().is_none_or(|last| last.position + 1 == first.position);
        if !continued || kept.incarnation != incarnation {
            *kept = Kept { incarnation, ..Kept::default() };
        }
        kept.bytes += events.iter().map(|event| event.payload.len()).sum::<usize>();
        kept.events.extend(events);
        while kept.events.len() > EVENTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes -= oldest.payload.len();
        }
    }

    /// Events after `after_position`, at most `limit`; `None` where the first
    /// of them is not kept, or is of another incarnation of the log.
    pub fn read(&self, incarnation: u64, after_position: u64, limit: usize) -> Option<Vec<Envelope>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if kept.incarnation != incarnation {
            return None;
        }
        let skipped = usize::try_from((after_position + 1).checked_sub(kept.events.front()?.position)?).ok()?;
        let found: Vec<Envelope> = kept.events.iter().skip(skipped).take(limit).cloned().collect();
        // Perhaps another process has appended more.
        (!found.is_empty()).then_some(found)
    }
}
