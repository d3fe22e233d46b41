//! Lists and documents of every collection.

use authority::Sight;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use event_store::checkpoints::Checkpoint;
use event_store::views::{
    ColumnKind, ColumnValue, Cursor, Direction, Filter, FilterOp, LIST_LIMIT_MAX, ListQuery, STRETCHES_MAX,
};
use events::envelope::{References, Role};
use events::identifier;
use events::ids::PatientId;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;
use views::{Collection, Comparison, Standing};

use crate::QueryApi;
use crate::blinding::shows;
use crate::entity_tag::EntityTag;
use crate::gaze::Gaze;
use crate::listing::{Listing, Parameter};
use crate::parameters::Parameters;
use crate::place::Place;
use crate::render::{Written, as_of, from_log, from_view, log, wait};

/// Rows of a page where the caller does not say.
const LIMIT_DEFAULT: u32 = 50;

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Pass it as `after` to get the next page; null on the last.
    pub next: Option<String>,
    /// How far the log had come where the page was read.
    pub position: u64,
}

/// `GET /v1/<collection>`.
pub async fn list(
    listing: &'static Listing,
    State(api): State<QueryApi>,
    principal: Principal,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let at_least = parameters.at_least(api.at_least_patience)?;
    let mut query = list_query(listing, &mut parameters)?;
    parameters.finish()?;
    let gaze = Gaze::of(&principal);
    let sight = gaze.on(listing.area);
    query.within = api.eyes.within(sight, listing.area, listing.scope).await.map_err(from_log)?;
    if let Some(seen) = query.after.as_ref().and_then(Cursor::seen) {
        // Of a log that went back, a page is not gone on from.
        Place::Event(seen).position(&*api.store.log).await?;
    }
    wait(&api, listing.name, at_least).await?;
    let mut page = api.store.views.list(listing.name, &query).await.map_err(from_view)?;
    api.eyes.open_documents(listing, &mut page.rows).await.map_err(from_log)?;
    let mut items = Vec::with_capacity(page.rows.len());
    for (key, document) in page.rows {
        // What is written is what decides; the statement only leaves out what cannot be in sight.
        if let Some((document, _)) = shown(&api, listing, sight, &key, document).await? {
            items.push(document);
        }
    }
    let next = page.next.map(|cursor| cursor.encode());
    let tag = EntityTag::of_page(items.iter().map(|item| item.get()).chain(next.as_deref()));
    let answer = Page { items, next, position: page.checkpoint.position };
    Ok(as_of(page.checkpoint, &tag, &headers, Json(answer)))
}

/// `GET /v1/<collection>/<id>`.
pub async fn one(
    listing: &'static Listing,
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = uuid_in_path(&id)?;
    let mut parameters = Parameters::of(&uri)?;
    let at_least = parameters.at_least(api.at_least_patience)?;
    parameters.finish()?;
    document(&api, listing, id, at_least, &principal, &headers).await
}

/// A document of any view.
pub async fn document(
    api: &QueryApi,
    listing: &Listing,
    id: Uuid,
    at_least: Option<(Place, std::time::Duration)>,
    principal: &Principal,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (checkpoint, document, is_whole) = found(api, listing, id, at_least, principal).await?;
    let tag = match serde_json::from_str::<Standing>(document.get()) {
        Ok(standing) => EntityTag::of_document(id, standing, !is_whole),
        Err(_) => EntityTag::of_content(document.get()),
    };
    Ok(as_of(checkpoint, &tag, headers, Written(Box::<str>::from(document).into_string())))
}

/// The document as the caller may see it, whether it is the whole, and where the view stands.
///
/// # Errors
/// A 404 problem where there is none or it lies outside the caller's sight, and those of [`wait`].
pub async fn found(
    api: &QueryApi,
    listing: &Listing,
    id: Uuid,
    at_least: Option<(Place, std::time::Duration)>,
    principal: &Principal,
) -> Result<(Checkpoint, Box<RawValue>, bool), Problem> {
    wait(api, listing.name, at_least).await?;
    let found = api.store.views.get(listing.name, &id.to_string()).await.map_err(from_view)?;
    let what = listing.collection.summary;
    let missing = || Problem::not_found("not-found", format!("There is no {what} with the id {id}."));
    let mut documents = [(id.to_string(), found.document.ok_or_else(missing)?)];
    api.eyes.open_documents(listing, &mut documents).await.map_err(from_log)?;
    let [(key, document)] = documents;
    let gaze = Gaze::of(principal);
    let seen = shown(api, listing, gaze.on(listing.area), &key, document).await?;
    let (document, is_whole) = seen.ok_or_else(missing)?;
    Ok((found.checkpoint, document, is_whole))
}

/// The id in an address.
///
/// # Errors
/// A 400 problem.
pub fn uuid_in_path(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::invalid("id", "malformed", "The id in the address must be a UUID."))
}

/// A document as somebody with this sight may see it, and whether it is the whole: byte by byte as it was written.
/// Nothing where it is outside.
async fn shown(
    api: &QueryApi,
    listing: &Listing,
    sight: &Sight,
    key: &str,
    document: Box<RawValue>,
) -> Result<Option<(Box<RawValue>, bool)>, Problem> {
    let sees_all = sight.is_everywhere()
        && sight.roles().into_iter().any(|role| role.sees_allocation() && sight.by(role).is_everywhere());
    if sees_all || (sight.is_everywhere() && listing.allocation.is_empty()) {
        return Ok(Some((document, true)));
    }
    let mut fields: Value = read(document.get())?;
    let about = listing.scope.about(key, &fields);
    let roles = api.eyes.roles(sight, listing.area, &about).await.map_err(from_log)?;
    if roles.is_empty() {
        return cared_for(api, listing, sight, about.patient_id, fields).await;
    }
    // What is about a trial as a whole tells of the allocation at every site of it.
    let of_all = sight.roles_on(&about).any(|role| role.sees_allocation());
    if listing.allocation.is_empty() || of_all {
        return Ok(Some((document, true)));
    }
    let blinding = match about.trial_id {
        Some(trial_id) => api.eyes.blindings.of_trial(trial_id).await.map_err(from_log)?,
        None => None,
    };
    // Who is unblinded at some sites only is to the whole like others of the staff.
    let as_staff = |role: &Role| if role.sees_allocation() { Role::Coordinator } else { *role };
    if roles.iter().map(as_staff).any(|role| shows(blinding, role)) {
        return Ok(Some((document, true)));
    }
    listing.allocation.strip(&mut fields);
    Ok(Some((to_raw_value(&fields).map_err(unreadable)?, false)))
}

/// A person as a site sees them that takes care of them now: who registered them is another's to know. Nothing of what
/// is not a person, or somebody in nobody's sight here.
async fn cared_for(
    api: &QueryApi,
    listing: &Listing,
    sight: &Sight,
    patient_id: Option<PatientId>,
    mut fields: Value,
) -> Result<Option<(Box<RawValue>, bool)>, Problem> {
    let person = patient_id.filter(|_| listing.scope.patient == Some(views::Place::Key));
    let Some(patient_id) = person else { return Ok(None) };
    let roles = api.eyes.roles(sight, listing.area, &References::patient(patient_id)).await.map_err(from_log)?;
    if roles.is_empty() {
        return Ok(None);
    }
    for place in [listing.scope.trial, listing.scope.site] {
        if let Some(views::Place::Column(column)) = place {
            fields[column] = Value::Null;
        }
    }
    Ok(Some((to_raw_value(&fields).map_err(unreadable)?, false)))
}

/// Reads a stored document.
///
/// # Errors
/// A 500 problem where it is not what it should be.
pub fn read<T: DeserializeOwned>(document: &str) -> Result<T, Problem> {
    serde_json::from_str(document).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Problem {
    log(&error);
    Problem::internal()
}

fn list_query(listing: &Listing, parameters: &mut Parameters) -> Result<ListQuery, Problem> {
    let mut filters = Vec::new();
    let mut stretches = 1;
    for parameter in &listing.parameters {
        let op = match parameter.comparison {
            Comparison::Equal => FilterOp::Equals,
            Comparison::Since => FilterOp::AtLeast,
            Comparison::Until => FilterOp::AtMost,
            Comparison::Words => FilterOp::Words,
        };
        let values = values_of(parameter, parameters)?;
        if values.is_empty() {
            continue;
        }
        stretches *= values.len();
        if stretches > STRETCHES_MAX {
            let message = format!(
                "The values of all parameters may be combined in at most {STRETCHES_MAX} ways; `{}` makes more of them.",
                parameter.name
            );
            return Err(Problem::invalid(parameter.name, "too-many-values", message));
        }
        filters.push(Filter { column: parameter.column.to_owned(), op, values });
    }
    let sort = Some(sort(listing.collection, parameters)?);
    Ok(ListQuery { filters, within: None, sort, after: cursor(parameters)?, limit: limit(parameters)? })
}

fn values_of(parameter: &Parameter, parameters: &mut Parameters) -> Result<Vec<ColumnValue>, Problem> {
    let name = parameter.name;
    let one = |value: Option<ColumnValue>| value.into_iter().collect();
    Ok(match parameter.kind {
        ColumnKind::Text => {
            let texts = match parameter.words {
                Some(words) => parameters.words(name, words)?,
                None => parameters.texts(name)?,
            };
            texts.into_iter().map(ColumnValue::Text).collect()
        }
        ColumnKind::Identifier => {
            let names = parameters.texts(name)?;
            names.iter().map(|name| ColumnValue::Text(identifier::key(name))).collect()
        }
        ColumnKind::Words => {
            let text = parameters.text(name)?;
            one(text.map(|text| ColumnValue::Text(views::searched(&text))))
        }
        ColumnKind::Uuid => parameters.uuids(name)?.into_iter().map(ColumnValue::Uuid).collect(),
        ColumnKind::Integer => one(parameters.parsed(name, "a whole number")?.map(ColumnValue::Integer)),
        ColumnKind::Boolean => one(parameters.parsed(name, "`true` or `false`")?.map(ColumnValue::Boolean)),
        ColumnKind::Time => one(parameters.time(name)?.map(ColumnValue::Time)),
    })
}

fn sort(collection: &Collection, parameters: &mut Parameters) -> Result<(String, Direction), Problem> {
    let text = parameters.text("sort")?.unwrap_or_else(|| collection.order());
    let (name, direction) = match text.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (text.as_str(), Direction::Ascending),
    };
    match collection.sorts.iter().find(|sort| sort.parameter == name) {
        Some(sort) => Ok((sort.column.to_owned(), direction)),
        None => {
            let known: Vec<&str> = collection.sorts.iter().map(|sort| sort.parameter).collect();
            let known = known.join(", ");
            let message = format!("`sort` must be one of {known}; with a leading `-` for the greatest first.");
            Err(Problem::invalid("sort", "unknown-column", message))
        }
    }
}

/// Takes `after` of a list.
///
/// # Errors
/// A 400 problem.
fn cursor(parameters: &mut Parameters) -> Result<Option<Cursor>, Problem> {
    let Some(text) = parameters.text("after")? else { return Ok(None) };
    let foreign = |_| Problem::invalid("after", "foreign-cursor", "`after` must be the `next` of an earlier page.");
    Cursor::decode(&text).map(Some).map_err(foreign)
}

/// Takes `limit`.
///
/// # Errors
/// A 400 problem.
fn limit(parameters: &mut Parameters) -> Result<u32, Problem> {
    let expected = format!("a whole number from 1 to {LIST_LIMIT_MAX}");
    let limit = parameters.parsed("limit", &expected)?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIST_LIMIT_MAX {
        return Err(Problem::invalid("limit", "out-of-range", format!("`limit` must be {expected}.")));
    }
    Ok(limit)
}
