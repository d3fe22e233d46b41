//! The event stream (server-sent events) and single events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use event_store::log::Reference;
use events::envelope::Envelope;
use events::ids::{PatientId, TrialId};
use futures::{Stream, StreamExt, stream};
use service::auth::Principal;
use service::problem::Problem;
use tokio::sync::watch;
use uuid::Uuid;

use crate::QueryApi;
use crate::entry::Entry;
use crate::lists::uuid_in_path;
use crate::parameters::Parameters;
use crate::render::{from_log, from_the_log, log};

/// Events that are read at a time.
const PIECE: usize = 256;
/// How often a quiet stream shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait for the head to move before looking all the same.
const IDLE_LOOK: Duration = Duration::from_secs(2);

/// What a stream lets through.
struct Filter {
    trial: Option<Uuid>,
    patient: Option<Uuid>,
    stream: Option<Uuid>,
    event_type: Option<String>,
}

/// `GET /v1/events/<event id>`.
pub async fn one(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let id = uuid_in_path(&id)?;
    Parameters::of(&uri)?.finish()?;
    let event = api.store.log.find_event(id).await.map_err(from_log)?;
    let event = event.ok_or_else(|| Problem::not_found("not-found", format!("There is no event with the id {id}.")))?;
    Ok(from_the_log(&Entry::new(&event, &principal)))
}

/// `GET /v1/events`: from a position on, then live. Each event's id is its
/// position; a client that reconnects with `Last-Event-ID` misses nothing.
pub async fn stream(
    State(api): State<QueryApi>,
    principal: Principal,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let filter = Filter {
        trial: parameters.uuid("trial")?,
        patient: parameters.uuid("patient")?,
        stream: parameters.uuid("stream")?,
        event_type: parameters.text("type"),
    };
    let after = parameters.position("after")?;
    parameters.finish()?;
    let resumed = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let position: Option<i64> = value.to_str().ok().and_then(|text| text.parse().ok());
            let position = position.and_then(|position| u64::try_from(position).ok());
            let message = "Last-Event-ID must be the id of an event of this stream: a position.";
            Some(position.ok_or_else(|| Problem::invalid("Last-Event-ID", "malformed", message))?)
        }
    };
    // A client that says nothing wants what happens from now on.
    let start = match resumed.or(after) {
        Some(position) => position,
        None => api.store.log.head().await.map_err(from_log)?,
    };
    let stopping = api.shutdown.clone();
    let live = follow(api, principal, filter, start).take_until(stopping.cancelled_owned());
    Ok(Sse::new(live).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

struct Follow {
    api: QueryApi,
    principal: Principal,
    filter: Filter,
    head: watch::Receiver<u64>,
    position: u64,
}

/// Reads piece after piece; a slow client reads slower, nothing piles up.
fn follow(
    api: QueryApi,
    principal: Principal,
    filter: Filter,
    position: u64,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let head = api.store.log.watch_head();
    let follow = Follow { api, principal, filter, head, position };
    stream::unfold(follow, |mut follow| async move {
        let events = follow.next_piece().await?;
        Some((stream::iter(events), follow))
    })
    .flatten()
}

impl Follow {
    async fn next_piece(&mut self) -> Option<Vec<Result<Event, Infallible>>> {
        loop {
            self.head.borrow_and_update();
            let (events, end) = match self.read().await {
                Ok(read) => read,
                Err(error) => {
                    // Ending the stream makes the client come again where it stopped.
                    log(&error);
                    return None;
                }
            };
            self.position = end.max(self.position);
            let passing = events.iter().filter(|event| self.filter.passes(event));
            let piece: Vec<_> = passing.map(|event| Ok(self.render(event))).collect();
            if !piece.is_empty() {
                return Some(piece);
            }
            if events.is_empty()
                && !matches!(tokio::time::timeout(IDLE_LOOK, self.head.changed()).await, Ok(Ok(())) | Err(_))
            {
                return None;
            }
        }
    }

    /// The next events, and the position up to which nothing else can follow.
    async fn read(&self) -> Result<(Vec<Envelope>, u64), event_store::log::LogError> {
        let log = &self.api.store.log;
        let reference = match (self.filter.patient, self.filter.trial) {
            (Some(patient), _) => Some(Reference::Patient(PatientId::from(patient))),
            (None, Some(trial)) => Some(Reference::Trial(TrialId::from(trial))),
            (None, None) => None,
        };
        let Some(reference) = reference else {
            let events = log.follow(self.position, PIECE).await?;
            let end = events.last().map_or(self.position, |event| event.position);
            return Ok((events, end));
        };
        // The head is read first: whatever is at or below it is visible to the read that follows.
        let head = log.head().await?;
        let events = log.read_reference(reference, self.position, head, PIECE).await?;
        let end = if events.len() < PIECE { head } else { events.last().map_or(head, |event| event.position) };
        Ok((events, end))
    }

    fn render(&self, event: &Envelope) -> Event {
        let data = Entry::new(event, &self.principal).to_string();
        Event::default().id(event.position.to_string()).event(&event.event_type).data(data)
    }
}

impl Filter {
    fn passes(&self, event: &Envelope) -> bool {
        let references = &event.references;
        self.trial.is_none_or(|trial| references.trial_id == Some(TrialId::from(trial)))
            && self.patient.is_none_or(|patient| references.patient_id == Some(PatientId::from(patient)))
            && self.stream.is_none_or(|stream| event.stream.id == stream)
            && self.event_type.as_ref().is_none_or(|event_type| event.event_type == *event_type)
    }
}
