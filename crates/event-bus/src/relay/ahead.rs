//! The log as messages, read ahead of what is published.

use std::sync::Arc;

use event_store::log::{EventLog, LogError};
use events::envelope::Envelope;
use tokio_util::task::AbortOnDropHandle;

use super::publish::{Form, Outgoing};
use crate::topology::RELAY_READ_EVENTS;

type Piece = Result<Vec<Outgoing>, LogError>;

/// Events that are made into messages together.
const MADE_TOGETHER: usize = RELAY_READ_EVENTS / 4;

/// Reads the log piece by piece. While there is more than one piece to read,
/// the next is read, and made into messages, while the last is published.
pub struct Ahead {
    reader: Reader,
    next: Option<AbortOnDropHandle<Piece>>,
}

#[derive(Clone)]
struct Reader {
    log: Arc<dyn EventLog>,
    form: Arc<Form>,
}

impl Ahead {
    /// Reads `log` as messages of this form.
    pub fn new(log: Arc<dyn EventLog>, form: Form) -> Self {
        Self { reader: Reader { log, form: Arc::new(form) }, next: None }
    }

    /// What follows `position`, where the piece before ended; empty at the log's end.
    pub async fn after(&mut self, position: u64) -> Piece {
        let mut piece = match self.next.take() {
            Some(next) => next.await.map_err(|_| LogError::Stopped)??,
            None => Vec::new(),
        };
        // What was read ahead may have been the end of then.
        if piece.is_empty() {
            piece = self.reader.read(position).await?;
        }
        if piece.len() == RELAY_READ_EVENTS
            && let Some(last) = piece.last()
        {
            let (reader, last) = (self.reader.clone(), last.position());
            self.next = Some(AbortOnDropHandle::new(tokio::spawn(async move { reader.read(last).await })));
        }
        Ok(piece)
    }
}

impl Reader {
    async fn read(&self, after_position: u64) -> Piece {
        let mut events = self.log.follow(after_position, RELAY_READ_EVENTS).await?;
        if events.len() <= MADE_TOGETHER {
            return Ok(made(events, &self.form));
        }
        // Signing is what a message costs most: where there are many, all cores do it.
        let mut parts = Vec::new();
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(MADE_TOGETHER));
            let (part, form) = (std::mem::replace(&mut events, rest), self.form.clone());
            parts.push(tokio::task::spawn_blocking(move || made(part, &form)));
        }
        let mut messages = Vec::with_capacity(RELAY_READ_EVENTS);
        for part in parts {
            messages.extend(part.await.map_err(|_| LogError::Stopped)?);
        }
        Ok(messages)
    }
}

fn made(events: Vec<Envelope>, form: &Form) -> Vec<Outgoing> {
    events.into_iter().map(|event| Outgoing::new(event, form)).collect()
}
