//! Readings of wearables: by their times, or summed up for plots.

use ::views::Table as _;
use ::views::enrolment::subjects::Subjects;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use event_store::readings::{After, Bucket, Read, ReadingQuery, ReadingsError};
use events::ids::{DeviceId, PatientId, SubjectId, TrialId};
use events::readings::kind::ReadingKind;
use schemars::JsonSchema;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::listing::Listing;
use crate::lists::{found, uuid_in_path};
use crate::parameters::Parameters;
use crate::render::private;

/// Readings of a page, by default and at most.
const LIMIT: (u32, u32) = (1_000, 10_000);
/// Spans that readings are summed up in, at most.
const BUCKETS_MAX: i64 = 10_000;
/// The longest of them: a year.
const BUCKET_SECONDS_MAX: u32 = 366 * 86_400;
/// Seconds after which a database that is away is worth another try.
const UNAVAILABLE_SECONDS: u32 = 2;

/// A page of readings.
#[derive(Serialize, JsonSchema)]
pub struct ReadingsPage {
    /// What was measured.
    kind: ReadingKind,
    /// The UCUM unit of the values.
    unit: String,
    /// The readings, in the order of their times.
    items: Vec<ReadingItem>,
    /// Pass it as `after` to get the next page; null on the last.
    next: Option<String>,
}

/// A reading.
#[derive(Serialize, JsonSchema)]
pub struct ReadingItem {
    /// When, or from when on.
    at: DateTime<Utc>,
    /// Until when, where it is of a span of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    /// The value.
    value: f64,
    /// The device.
    device_id: DeviceId,
}

/// Readings summed up.
#[derive(Serialize, JsonSchema)]
pub struct ReadingBuckets {
    /// What was measured.
    kind: ReadingKind,
    /// The UCUM unit of the values.
    unit: String,
    /// Seconds of each span.
    seconds: u32,
    /// The spans in which there are readings, in order.
    buckets: Vec<ReadingBucket>,
}

/// What the readings of a span of time come to.
#[derive(Serialize, JsonSchema)]
pub struct ReadingBucket {
    /// When it begins.
    from: DateTime<Utc>,
    /// How many readings.
    count: u64,
    /// The smallest value.
    min: f64,
    /// Their arithmetic mean.
    mean: f64,
    /// The greatest value.
    max: f64,
}

/// What is asked for.
struct Asked {
    kind: ReadingKind,
    query: ReadingQuery,
}

/// Reads what is asked for; all parameters must have been taken but those that both addresses have.
async fn asked(api: &QueryApi, principal: &Principal, id: &str, mut parameters: Parameters) -> Result<Asked, Problem> {
    let patient_id = PatientId::from(uuid_in_path(id)?);
    let trial_id: Option<uuid::Uuid> = parameters.parsed("trial_id", "the id of a trial")?;
    let trial_id = TrialId::from(trial_id.ok_or_else(|| missing("trial_id", "says for which trial; give its id"))?);
    let kind = kind(&mut parameters)?;
    let device_id: Option<uuid::Uuid> = parameters.parsed("device_id", "the id of a device")?;
    let from = bounded("from", parameters.time("from")?.unwrap_or(DateTime::UNIX_EPOCH))?;
    let until = bounded("until", parameters.time("until")?.unwrap_or_else(event_store::clock::now))?;
    let at_least = parameters.at_least(api.at_least_patience)?;
    parameters.finish()?;
    // Whoever sees the subject sees what the subject wore.
    let listing = Listing::named(Subjects::NAME).ok_or_else(Problem::internal)?;
    let subject_id = SubjectId::of(patient_id, trial_id);
    let subject = found(api, listing, subject_id.uuid(), at_least, principal).await;
    subject.map_err(|problem| match problem.rule() {
        "not-found" => Problem::not_found("not-found", format!("The patient {id} is no subject of this trial.")),
        _ => problem,
    })?;
    let device_id = device_id.map(DeviceId::from);
    let query = ReadingQuery { patient_id, trial_id, kind: kind.name(), device_id, from, until };
    Ok(Asked { kind, query })
}

/// `GET /v1/patients/<id>/readings`: in pages.
pub async fn page(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let (usual, max) = LIMIT;
    let limit: u32 = parameters.parsed("limit", "a number of readings")?.unwrap_or(usual);
    if !(1..=max).contains(&limit) {
        return Err(Problem::invalid("limit", "out-of-range", format!("`limit` must be from 1 to {max}.")));
    }
    let after = parameters.text("after")?.as_deref().map(place).transpose()?;
    let Asked { kind, query } = asked(&api, &principal, &id, parameters).await?;
    let read = api.store.readings.read(&query, after, limit + 1).await.map_err(unavailable)?;
    let is_last = read.len() <= limit as usize;
    let shown = &read[..read.len().min(limit as usize)];
    let next = shown.last().filter(|_| !is_last).map(|last| token(last.place));
    let items = shown.iter().map(item).collect();
    Ok(private(Json(ReadingsPage { kind, unit: kind.unit().to_owned(), items, next }).into_response()))
}

/// `GET /v1/patients/<id>/readings/buckets`: summed up.
pub async fn buckets(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let seconds: Option<u32> = parameters.parsed("seconds", "a number of seconds")?;
    let seconds = seconds.ok_or_else(|| missing("seconds", "says how long each span is"))?;
    if !(1..=BUCKET_SECONDS_MAX).contains(&seconds) {
        let message = format!("`seconds` must be from 1 to {BUCKET_SECONDS_MAX}.");
        return Err(Problem::invalid("seconds", "out-of-range", message));
    }
    let Asked { kind, query } = asked(&api, &principal, &id, parameters).await?;
    if (query.until - query.from).num_seconds() / i64::from(seconds) > BUCKETS_MAX {
        let message = format!("From `from` to `until` there are more than {BUCKETS_MAX} of these spans.");
        return Err(Problem::invalid("seconds", "out-of-range", message));
    }
    let found = api.store.readings.buckets(&query, seconds).await.map_err(unavailable)?;
    let bucket = |Bucket { from, count, min, max, mean }: Bucket| ReadingBucket { from, count, min, mean, max };
    let (unit, buckets) = (kind.unit().to_owned(), found.into_iter().map(bucket).collect());
    Ok(private(Json(ReadingBuckets { kind, unit, seconds, buckets }).into_response()))
}

/// A time of which something may have been measured.
fn bounded(name: &str, time: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    if (1..=9_999).contains(&time.year()) {
        return Ok(time);
    }
    Err(Problem::invalid(name, "out-of-range", format!("`{name}` must be of the years 1 to 9999.")))
}

fn missing(name: &str, what: &str) -> Problem {
    Problem::invalid(name, "missing", format!("`{name}` {what}."))
}

fn kind(parameters: &mut Parameters) -> Result<ReadingKind, Problem> {
    let known = ReadingKind::ALL.map(ReadingKind::name);
    let name = parameters.text("kind")?.ok_or_else(|| missing("kind", "says what was measured"))?;
    ReadingKind::named(&name).ok_or_else(|| {
        Problem::invalid("kind", "unknown-value", format!("`kind` must be one of {}.", known.join(", ")))
    })
}

fn item(read: &Read) -> ReadingItem {
    let Read { device_id, at, lasts, value, .. } = *read;
    ReadingItem { at, until: (lasts > 0).then(|| at + TimeDelta::milliseconds(lasts)), value, device_id }
}

/// A place as it is told: microseconds since 1970, number of the series, milliseconds.
fn token((at, series, lasts): After) -> String {
    format!("{}.{series}.{lasts}", at.timestamp_micros())
}

fn place(text: &str) -> Result<After, Problem> {
    let read = || {
        let mut parts = text.split('.').map(str::parse::<i64>);
        let (at, series, lasts) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        let at = DateTime::from_timestamp_micros(at).filter(|at| (1..=9_999).contains(&at.year()))?;
        parts.next().is_none().then_some((at, series, lasts))
    };
    read().ok_or_else(|| Problem::invalid("after", "malformed", "`after` must be `next` of an earlier page."))
}

fn unavailable(error: ReadingsError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "the readings cannot be read");
    let detail = "The database cannot be used; the server's log says why.";
    Problem::unavailable("database-unavailable", detail, UNAVAILABLE_SECONDS)
}
