//! A patient's history: every event about them, in order, as it is or as it was known.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use event_store::clock;
use event_store::log::{LogError, READ_BYTES_MAX, Reference, is_last};
use events::access::disclosure::DisclosureKind;
use events::envelope::Envelope;
use events::ids::PatientId;
use futures::{StreamExt, stream};
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::blinding::Shown;
use crate::csv;
use crate::disclosure::{self, Asked};
use crate::entry::Entry;
use crate::gaze::{Gaze, Seen};
use crate::lists::{Page, uuid_in_path};
use crate::parameters::Parameters;
use crate::place::Place;
use crate::render::{from_log, from_the_log, log, private};

/// Events of a page where the caller does not say.
const LIMIT_DEFAULT: usize = 500;
/// Events of a page at most.
pub const LIMIT_MAX: usize = 1_000;
/// Events that are read at a time where all are wanted: more than most patients have.
pub const PIECE_EVENTS: usize = 4_000;
/// How far ahead a time may be: a day alone means its end, also today.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// What form the history takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Ndjson,
    Csv,
}

/// `GET /v1/patients/<id>/history`.
pub async fn patient(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patient_id = PatientId::from(uuid_in_path(&id)?);
    let mut parameters = Parameters::of(&uri)?;
    let to_position = until(&api, &mut parameters).await?;
    let after = parameters.place("after")?.unwrap_or(Place::Position(0));
    let form = form(&mut parameters, &headers)?;
    let limit = if form == Form::Json { limit(&mut parameters)? } else { no_limit(&mut parameters)? };
    let unmasked = unmasked(&mut parameters)?;
    parameters.finish()?;
    let reference = Reference::Patient(patient_id);
    // CSV and NDJSON are copies, wherever they are asked for.
    let kind = if form == Form::Json { DisclosureKind::History } else { DisclosureKind::Export };
    let gaze = shown_to(&api, &principal, &headers, Asked { patient_id, kind, unmasked }).await?;
    let after = after.position(&*api.store.log).await?;
    answer(api, gaze, reference, (after, to_position), form, limit).await
}

/// Whether personal data are wanted as they are.
fn unmasked(parameters: &mut Parameters) -> Result<bool, Problem> {
    Ok(parameters.parsed("unmasked", "`true` or `false`")?.unwrap_or(false))
}

/// What is seen by who is asking; recorded first where it is a copy, or not masked.
async fn shown_to(api: &QueryApi, principal: &Principal, headers: &HeaderMap, asked: Asked) -> Result<Gaze, Problem> {
    match asked.kind {
        DisclosureKind::History if !asked.unmasked => Ok(Gaze::of(principal)),
        _ => disclosure::record(api, principal, headers, asked).await,
    }
}

/// `GET /v1/patients/<id>/history/export`: the whole at once, as CSV unless `format=ndjson` asks otherwise.
pub async fn export(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patient_id = PatientId::from(uuid_in_path(&id)?);
    let reference = Reference::Patient(patient_id);
    let mut parameters = Parameters::of(&uri)?;
    let to_position = until(&api, &mut parameters).await?;
    let unmasked = unmasked(&mut parameters)?;
    let form = match parameters.text("format")?.as_deref() {
        Some("ndjson") => Form::Ndjson,
        Some("csv") | None => Form::Csv,
        Some(_) => return Err(Problem::invalid("format", "malformed", "`format` must be csv or ndjson.")),
    };
    parameters.finish()?;
    let gaze =
        shown_to(&api, &principal, &headers, Asked { patient_id, kind: DisclosureKind::Export, unmasked }).await?;
    answer(api, gaze, reference, (0, to_position), form, LIMIT_DEFAULT).await
}

async fn answer(
    api: QueryApi,
    gaze: Gaze,
    reference: Reference,
    (after, to_position): (u64, u64),
    form: Form,
    limit: usize,
) -> Result<Response, Problem> {
    match form {
        Form::Json => {
            let found = in_sight(&api, &gaze, reference, Way::On { after, to: to_position }, limit).await?;
            if found.events.is_empty() {
                must_be_known(&api, &gaze, reference, to_position).await?;
            }
            Ok(page(&found, to_position))
        }
        Form::Ndjson | Form::Csv => {
            must_be_known(&api, &gaze, reference, to_position).await?;
            let events = api.store.log.read_reference(reference, after, to_position, PIECE_EVENTS).await;
            Ok(streamed(api, gaze, reference, events.map_err(from_log)?, to_position, form))
        }
    }
}

/// An event that is in sight, and what of it is shown.
pub type InSight = (Envelope, Shown);

/// Which way a reference's events are read.
#[derive(Clone, Copy)]
pub enum Way {
    /// In their order, behind a position and up to another.
    On {
        /// Behind this.
        after: u64,
        /// Up to this.
        to: u64,
    },
    /// The last first, before a position.
    Back {
        /// Before this.
        before: u64,
    },
}

impl Way {
    /// From this position on.
    const fn from(self, position: u64) -> Self {
        match self {
            Way::On { to, .. } => Way::On { after: position, to },
            Way::Back { .. } => Way::Back { before: position },
        }
    }

    async fn read(self, api: &QueryApi, reference: Reference, limit: usize) -> Result<Vec<Envelope>, LogError> {
        match self {
            Way::On { after, to } => api.store.log.read_reference(reference, after, to, limit).await,
            Way::Back { before } => api.store.log.read_reference_back(reference, before, limit).await,
        }
    }
}

/// Events in sight, and whether more follow.
pub struct Found {
    /// The events.
    pub events: Vec<InSight>,
    /// Whether more follow, as far as that was looked for.
    pub more: bool,
}

impl Found {
    /// What to ask for the next ones by.
    pub fn next(&self) -> Option<String> {
        self.events.last().filter(|_| self.more).map(|(event, _)| event.event_id.to_string())
    }
}

/// The first events in sight on the way, at most `limit`, and fewer where they are long.
///
/// # Errors
/// Where the log does not answer.
pub async fn in_sight(
    api: &QueryApi,
    gaze: &Gaze,
    reference: Reference,
    mut way: Way,
    limit: usize,
) -> Result<Found, Problem> {
    // One more tells whether more follow.
    let wanted = limit + 1;
    let (mut found, mut bytes) = (Vec::new(), 0);
    loop {
        let events = way.read(api, reference, wanted).await.map_err(from_log)?;
        let is_last = is_last(&events, wanted);
        if let Some(last) = events.last() {
            way = way.from(last.position);
        }
        let seen = seen(api, gaze, events).await?;
        bytes += seen.iter().map(|(event, _)| event.payload.len()).sum::<usize>();
        found.extend(seen);
        if is_last || found.len() > limit || bytes >= READ_BYTES_MAX {
            let more = !is_last || found.len() > limit;
            found.truncate(limit);
            return Ok(Found { events: found, more });
        }
    }
}

/// Those of the events that are in sight.
///
/// # Errors
/// Where the log does not answer.
pub async fn seen(api: &QueryApi, gaze: &Gaze, events: Vec<Envelope>) -> Result<Vec<InSight>, Problem> {
    shown(api, gaze, events).await.map_err(from_log)
}

async fn shown(api: &QueryApi, gaze: &Gaze, mut events: Vec<Envelope>) -> Result<Vec<InSight>, LogError> {
    let seen = api.eyes.look(gaze, &events).await?;
    api.eyes.open(&mut events).await?;
    let shown = events.into_iter().zip(seen).filter_map(|(event, seen)| match seen {
        Seen::Shown(shown) => Some((event, shown)),
        Seen::Hidden => None,
    });
    Ok(shown.collect())
}

/// Refuses to answer about whom nothing is known, or in sight, up to the position.
///
/// # Errors
/// A 404 problem.
pub async fn must_be_known(api: &QueryApi, gaze: &Gaze, reference: Reference, to_position: u64) -> Result<(), Problem> {
    let first = in_sight(api, gaze, reference, Way::On { after: 0, to: to_position }, 1).await?;
    if first.events.is_empty() { Err(unknown(reference, to_position)) } else { Ok(()) }
}

/// Nothing is known, or in sight, about whoever is asked for.
pub fn unknown(reference: Reference, to_position: u64) -> Problem {
    let (_, id) = reference.column();
    let detail = format!("Nothing is known about a patient {id} up to position {to_position}.");
    Problem::not_found("not-found", detail)
}

/// The position up to which the caller wants to know: now, or as of a time or position.
///
/// # Errors
/// A 400 problem.
pub async fn until(api: &QueryApi, parameters: &mut Parameters) -> Result<u64, Problem> {
    let (at_position, as_of) = (parameters.position("at_position")?, parameters.time_or_day("as_of")?);
    match (at_position, as_of) {
        (Some(_), Some(_)) => Err(Problem::invalid("as_of", "exclusive", "Give either `as_of` or `at_position`.")),
        (Some(position), None) => {
            let head = api.store.log.head().await.map_err(from_log)?;
            if position > head {
                let detail = format!("The log ends at position {head}: what is known at {position} nobody can tell.");
                return Err(Problem::invalid("at_position", "out-of-range", detail));
            }
            Ok(position)
        }
        (None, Some(time)) if time > clock::now() + AHEAD_MAX => {
            let detail = "`as_of` lies in the future: what will be known then nobody can tell.";
            Err(Problem::invalid("as_of", "in-the-future", detail))
        }
        (None, Some(time)) => api.store.log.position_at(time).await.map_err(from_log),
        (None, None) => api.store.log.head().await.map_err(from_log),
    }
}

/// Takes `limit`.
///
/// # Errors
/// A 400 problem.
pub fn limit(parameters: &mut Parameters) -> Result<usize, Problem> {
    let expected = format!("a whole number from 1 to {LIMIT_MAX}");
    let limit = parameters.parsed("limit", &expected)?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Problem::invalid("limit", "out-of-range", format!("`limit` must be {expected}.")));
    }
    Ok(limit)
}

/// What is streamed as a whole has no pages: a part of it would look like all of it.
fn no_limit(parameters: &mut Parameters) -> Result<usize, Problem> {
    match parameters.text("limit")? {
        None => Ok(LIMIT_DEFAULT),
        Some(_) => {
            let detail = "`limit` is of JSON's pages; CSV and NDJSON have everything at once: leave it out.";
            Err(Problem::invalid("limit", "exclusive", detail))
        }
    }
}

fn form(parameters: &mut Parameters, headers: &HeaderMap) -> Result<Form, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let wanted = parameters.text("format")?;
    match wanted.as_deref() {
        Some("json") => Ok(Form::Json),
        Some("ndjson") => Ok(Form::Ndjson),
        Some("csv") => Ok(Form::Csv),
        Some(_) => Err(Problem::invalid("format", "malformed", "`format` must be json, ndjson or csv.")),
        None if accept.contains("application/x-ndjson") => Ok(Form::Ndjson),
        None if accept.contains("text/csv") => Ok(Form::Csv),
        None => Ok(Form::Json),
    }
}

fn page(found: &Found, to_position: u64) -> Response {
    let items: Vec<Entry<'_>> = found.events.iter().map(|(event, shown)| Entry::new(event, *shown)).collect();
    let next = found.next();
    from_the_log(&Page { items, next, position: to_position })
}

/// The whole history piece by piece, `first` the first of them: memory stays
/// the same however long it is.
fn streamed(
    api: QueryApi,
    gaze: Gaze,
    reference: Reference,
    first: Vec<Envelope>,
    to_position: u64,
    form: Form,
) -> Response {
    let pieces = stream::unfold(Some(Ok(first)), move |piece: Option<Result<Vec<Envelope>, LogError>>| {
        let (api, gaze) = (api.clone(), gaze.clone());
        async move {
            let piece = piece?;
            let more = piece.as_ref().is_ok_and(|events| !is_last(events, PIECE_EVENTS));
            let last = piece.as_ref().ok().and_then(|events| Some(events.last()?.position));
            let shown = match piece {
                Ok(events) => shown(&api, &gaze, events).await,
                Err(error) => Err(error),
            };
            match shown {
                Ok(shown) => {
                    let last = last?;
                    let written = Bytes::from(lines(&shown, form));
                    let next = api.store.log.read_reference(reference, last, to_position, PIECE_EVENTS);
                    Some((Ok(written), if more { Some(next.await) } else { None }))
                }
                // The status is sent already: breaking off tells the client that it is not whole.
                Err(error) => {
                    log(&error);
                    Some((Err(error), None))
                }
            }
        }
    });
    let kind = if form == Form::Csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    let header_line = if form == Form::Csv { csv::HEADER } else { "" };
    let begin = stream::iter([Ok(Bytes::from_static(header_line.as_bytes()))]);
    // Whoever packs an answer asks for more after its end.
    let body = Body::from_stream(begin.chain(pieces).fuse());
    private((StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response())
}

fn lines(events: &[InSight], form: Form) -> String {
    let mut text = String::new();
    for (event, shown) in events {
        match form {
            Form::Csv => text.push_str(&csv::rows(event, *shown)),
            Form::Json | Form::Ndjson => text.extend([&*Entry::new(event, *shown).to_string(), "\n"]),
        }
    }
    text
}
