//! Places in the log as callers name them: by position, or, with proof, by an event.

use std::str::FromStr;

use axum::http::StatusCode;
use event_store::log::EventLog;
use service::problem::Problem;
use uuid::Uuid;

use crate::render::from_log;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind so many events, whichever they are.
    Position(u64),
    /// Behind an event, which the log must still hold.
    Event(Uuid),
}

impl FromStr for Place {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        // The database keeps positions signed.
        match text.parse::<i64>().ok().and_then(|position| u64::try_from(position).ok()) {
            Some(position) => Ok(Place::Position(position)),
            None => text.parse().map(Place::Event),
        }
    }
}

impl Place {
    /// The position.
    ///
    /// # Errors
    /// A 409 problem `log-went-back` where the log does not hold the event (any more).
    pub async fn position(self, log: &dyn EventLog) -> Result<u64, Problem> {
        match self {
            Place::Position(position) => Ok(position),
            Place::Event(event_id) => Ok(log.find_event(event_id).await.map_err(from_log)?.ok_or_else(gone)?.position),
        }
    }
}

fn gone() -> Problem {
    let detail = "The log does not hold the event up to which you have read: it is another log, or one that was \
                  restored or failed over with a loss. Forget what you have and begin anew.";
    Problem::new(StatusCode::CONFLICT, "log-went-back", detail)
}
