//! The event stream (server-sent events) and single events.

mod client;
mod filter;
mod window;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use event_store::log::EventLog;
use events::envelope::Envelope;
use futures::StreamExt;
use service::accounts::Accounts;
use service::auth::Principal;
use service::problem::Problem;
use service::shares::{Limit, Shares};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::client::Client;
use self::filter::Filter;
use self::window::Window;
use crate::QueryApi;
use crate::blinding::{Payload, Shown};
use crate::entry::Entry;
use crate::gaze::{Eyes, Gaze, Seen};
use crate::lists::uuid_in_path;
use crate::parameters::Parameters;
use crate::place::Place;
use crate::render::{beyond_head, from_log, from_the_log};

/// Events that are read at a time.
const PIECE: usize = 256;
/// Seconds after which a stream that found no room is worth another try.
const FULL_SECONDS: u32 = 5;
/// Of one account.
const STREAMS: Limit =
    Limit { setting: "account_event_streams_max", rule: "too-many-streams", of: "event streams open at once" };

/// How many clients may follow at once.
#[derive(Clone, Copy, Debug)]
pub struct StreamsMax {
    /// In all.
    pub in_all: usize,
    /// Of one account.
    pub of_an_account: usize,
}

/// The event streams of one process.
#[derive(Clone)]
pub struct EventStreams {
    window: Arc<Window>,
    accounts: Accounts,
    eyes: Eyes,
    room: Arc<Semaphore>,
    shares: Shares,
    streams_max: usize,
    shutdown: CancellationToken,
}

impl EventStreams {
    /// At most so many at once; all end when `shutdown` is cancelled.
    pub fn new(
        log: Arc<dyn EventLog>,
        accounts: Accounts,
        eyes: Eyes,
        max: StreamsMax,
        shutdown: CancellationToken,
    ) -> Self {
        let room = Arc::new(Semaphore::new(max.in_all));
        let shares = Shares::new(STREAMS, max.of_an_account);
        Self { window: Window::new(log, eyes.clone()), accounts, eyes, room, shares, streams_max: max.in_all, shutdown }
    }

    /// How many clients follow now.
    pub fn open(&self) -> usize {
        self.streams_max - self.room.available_permits()
    }
}

/// `GET /v1/events/<event id>`.
pub async fn one(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let (event, shown) = found(&api, &principal, &id, &uri).await?;
    Ok(from_the_log(&Entry::new(&event, shown)))
}

/// `GET /v1/events/<event id>/payload`: what a message refers to that came without it.
pub async fn payload(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let (event, shown) = found(&api, &principal, &id, &uri).await?;
    Ok(from_the_log(&Payload::of(&event, shown)))
}

/// The event that is asked for, and what of it is shown to whoever asks.
async fn found(api: &QueryApi, principal: &Principal, id: &str, uri: &Uri) -> Result<(Envelope, Shown), Problem> {
    let id = uuid_in_path(id)?;
    Parameters::of(uri)?.finish()?;
    let event = api.store.log.find_event(id).await.map_err(from_log)?;
    let missing = || Problem::not_found("not-found", format!("There is no event with the id {id}."));
    let mut event = event.ok_or_else(missing)?;
    match api.eyes.look_at(&Gaze::of(principal), &event).await.map_err(from_log)? {
        Seen::Shown(shown) => {
            api.eyes.open(std::slice::from_mut(&mut event)).await.map_err(from_log)?;
            Ok((event, shown))
        }
        Seen::Hidden => Err(missing()),
    }
}

/// `GET /v1/events`: from a position on, then live. Each frame's id is the event's own id, so
/// that a client that reconnects with `Last-Event-ID` misses nothing, and is told where the log
/// no longer holds what it has seen.
pub async fn stream(
    State(api): State<QueryApi>,
    principal: Principal,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let filter = Filter::take(&mut parameters)?;
    let after = parameters.place("after")?;
    parameters.finish()?;
    // Before the place is proved: where the log goes back after that, the stream ends.
    let incarnation = api.streams.window.incarnation();
    let start = start(&*api.store.log, headers.get("last-event-id"), after).await?;
    let streams = &api.streams;
    let full = |_| Problem::unavailable("too-many-streams", "This server follows for as many as it can.", FULL_SECONDS);
    let share = streams.shares.take(&principal.username)?;
    let room = (share, streams.room.clone().try_acquire_owned().map_err(full)?);
    let sources = (api.store.log.clone(), streams.accounts.clone(), streams.eyes.clone());
    let client = Client::new(sources, &streams.window, principal, filter, (incarnation, start), room);
    let client = client.await.map_err(from_log)?;
    let live = client.frames().take_until(streams.shutdown.clone().cancelled_owned()).fuse();
    let mut response = Response::new(Body::from_stream(live));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The position behind which the stream begins; a client that says nothing wants what happens from now on.
async fn start(log: &dyn EventLog, resumed: Option<&HeaderValue>, after: Option<Place>) -> Result<u64, Problem> {
    if let Some(value) = resumed {
        let id = value.to_str().ok().and_then(|text| Uuid::try_parse(text).ok());
        let message = "Last-Event-ID must be the id of an event of this stream: a UUID.";
        let id = id.ok_or_else(|| Problem::invalid("Last-Event-ID", "malformed", message))?;
        return Place::Event(id).position(log).await;
    }
    let head = log.head().await.map_err(from_log)?;
    let after = match after {
        Some(place) => Some(place.position(log).await?),
        None => None,
    };
    match after {
        Some(position) if position > head => Err(beyond_head(position, head)),
        Some(position) => Ok(position),
        None => Ok(head),
    }
}
