//! One client that follows: what it has seen, what passes its filter, when its token runs out.

use std::sync::Arc;

use axum::body::Bytes;
use event_store::clock;
use event_store::log::{EventLog, LogError, is_last};
use events::envelope::Envelope;
use events::ids::StreamKey as _;
use futures::{Stream, stream};
use service::accounts::Accounts;
use service::auth::Principal;
use service::shares::Share;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::window::{Read, Rendered, Window};
use super::{Filter, PIECE};
use crate::gaze::{Eyes, Gaze, Seen};
use crate::render::log as log_error;
use crate::sse::{HEARTBEAT, RETRY};

/// Events that did not pass after which the client is told how far it has come all the same.
const SKIPPED_MAX: usize = 1_000;

/// A client of the event stream.
pub struct Client {
    log: Arc<dyn EventLog>,
    accounts: Accounts,
    eyes: Eyes,
    window: Arc<Window>,
    end: watch::Receiver<u64>,
    // The log's when the client came: it ends where the log goes back, and whoever comes again is told.
    incarnation: u64,
    principal: Principal,
    gaze: Gaze,
    filter: Filter,
    position: u64,
    // The last event that was looked at, and how many since the last frame.
    last: Option<Uuid>,
    skipped: usize,
    has_changed: bool,
    said: Instant,
    greeted: bool,
    // Held for as long as the stream lasts: of the account's and of everybody's.
    _room: (Share, OwnedSemaphorePermit),
}

impl Client {
    /// Follows from behind a position of an incarnation of the log.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn new(
        (log, accounts, eyes): (Arc<dyn EventLog>, Accounts, Eyes),
        window: &Arc<Window>,
        principal: Principal,
        filter: Filter,
        (incarnation, position): (u64, u64),
        room: (Share, OwnedSemaphorePermit),
    ) -> Result<Self, LogError> {
        let end = window.follow().await?;
        let (window, said) = (window.clone(), Instant::now());
        let (last, skipped, greeted) = (None, 0, false);
        Ok(Self {
            log,
            accounts,
            eyes,
            window,
            end,
            incarnation,
            gaze: Gaze::of(&principal),
            principal,
            filter,
            position,
            last,
            skipped,
            has_changed: false,
            said,
            greeted,
            _room: room,
        })
    }

    /// Piece after piece; a slow client reads slower, nothing piles up. Ends with the token, with a change of what the
    /// account may do, and where the log does not answer: the client comes again where it stopped.
    pub fn frames(self) -> impl Stream<Item = Result<Bytes, LogError>> + Send {
        stream::unfold(self, |mut client| async move {
            let frame = client.next().await?;
            client.said = Instant::now();
            Some((Ok(frame), client))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(format!("retry: {}\n\n", RETRY.as_millis()).into());
        }
        loop {
            let is_over = self.has_changed || self.principal.expires_at <= clock::now();
            if is_over || self.window.incarnation() != self.incarnation {
                return None;
            }
            self.end.borrow_and_update();
            let events = match self.window.read(self.position) {
                Read::Events(events) => events,
                Read::Gone => match self.read_log().await {
                    // What the account may do may have changed in what was passed over.
                    Ok(_) if !self.may_go_on().await => return None,
                    Ok(events) if events.is_empty() => match self.wait().await {
                        Some(frame) => return Some(frame),
                        None => continue,
                    },
                    Ok(events) => events,
                    Err(error) => {
                        log_error(&error);
                        return None;
                    }
                },
                Read::UpToDate => match self.wait().await {
                    Some(frame) => return Some(frame),
                    None => continue,
                },
            };
            if self.window.incarnation() != self.incarnation {
                // It went back while they were read.
                return None;
            }
            match self.take(&events).await {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    log_error(&error);
                    return None;
                }
            }
        }
    }

    /// Waits for more, until the token runs out or it is time to show a sign of life.
    async fn wait(&mut self) -> Option<Bytes> {
        let left = (self.principal.expires_at - clock::now()).to_std().unwrap_or_default();
        let quiet = HEARTBEAT.saturating_sub(self.said.elapsed());
        if tokio::time::timeout(quiet.min(left), self.end.changed()).await.is_ok() || left < quiet {
            return None;
        }
        Some(self.sign_of_life())
    }

    /// The frames of those that pass; how far the client has come where none did for long.
    async fn take(&mut self, events: &[Arc<Rendered>]) -> Result<Option<Bytes>, LogError> {
        let mut passing = Vec::new();
        for rendered in events {
            self.position = rendered.event.position;
            self.last = Some(rendered.event.event_id);
            if self.is_of_the_account(&rendered.event) && !self.may_go_on().await {
                // What came before is still told; whoever comes again is looked at anew.
                self.has_changed = true;
                break;
            }
            let seen = match self.filter.passes(&rendered.event) {
                true => self.eyes.look_at(&self.gaze, &rendered.event).await?,
                false => Seen::Hidden,
            };
            match seen {
                Seen::Shown(shown) => {
                    passing.push(rendered.frame(shown.allocation));
                    self.skipped = 0;
                }
                Seen::Hidden => self.skipped += 1,
            }
        }
        Ok(match passing.len() {
            0 if self.skipped >= SKIPPED_MAX => Some(self.sign_of_life()),
            0 => None,
            1 => passing.pop(),
            _ => Some(passing.concat().into()),
        })
    }

    /// Whether the event may change what the account may do.
    fn is_of_the_account(&self, event: &Envelope) -> bool {
        event.stream == self.principal.account_id.stream() || event.stream == self.principal.identity_id.stream()
    }

    /// Whether the account may do what it might when the client came.
    async fn may_go_on(&self) -> bool {
        match self.accounts.of(self.principal.identity_id).await {
            Ok(known) => known.account_id == self.principal.account_id && known.sight == self.principal.sight,
            Err(_) => false,
        }
    }

    /// A comment, and an id without an event: whoever reconnects need not read again what did not pass.
    fn sign_of_life(&mut self) -> Bytes {
        self.skipped = 0;
        match self.last {
            Some(last) => format!(":\nid: {last}\n\n").into(),
            None => Bytes::from_static(b":\n\n"),
        }
    }

    /// What follows in the log, for a client that is further behind than the window.
    async fn read_log(&self) -> Result<Vec<Arc<Rendered>>, LogError> {
        let reference = self.filter.reference();
        let mut events = match reference {
            None => self.log.read_all(self.position, PIECE).await?,
            Some(reference) => {
                // The window's end is visible already: nothing at or below it can follow later.
                let end = *self.end.borrow();
                let mut events = self.log.read_reference(reference, self.position, end, PIECE).await?;
                if is_last(&events, PIECE) && events.last().is_none_or(|event| event.position < end) {
                    // So far everything was looked through, whatever the last event there is about.
                    events.extend(self.log.read_all(end.saturating_sub(1), 1).await?);
                }
                events
            }
        };
        self.eyes.open(&mut events).await?;
        Ok(Rendered::all(events))
    }
}
