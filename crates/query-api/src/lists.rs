//! Lists and documents of every collection.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use event_store::views::{ColumnKind, ColumnValue, Cursor, Direction, Filter, FilterOp, LIST_LIMIT_MAX, ListQuery};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;
use views::{Collection, Comparison};

use crate::QueryApi;
use crate::listing::{Listing, Parameter};
use crate::parameters::Parameters;
use crate::place::Place;
use crate::render::{as_of, from_view, log, wait};

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
    let query = list_query(listing, &mut parameters)?;
    parameters.finish()?;
    if let Some(seen) = query.after.as_ref().and_then(Cursor::seen) {
        // Of a log that went back, a page is not gone on from.
        Place::Event(seen).position(&*api.store.log).await?;
    }
    wait(&api, listing.name, at_least).await?;
    let page = api.store.views.list(listing.name, &query).await.map_err(from_view)?;
    let items = page.rows.into_iter().map(|(_, document)| read(document, listing, &principal));
    let items = items.collect::<Result<Vec<Document>, Problem>>()?;
    let answer = Page { items, next: page.next.map(|cursor| cursor.encode()), position: page.checkpoint.position };
    Ok(as_of(page.checkpoint, &headers, &answer))
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

/// A document of any view with its position.
pub async fn document(
    api: &QueryApi,
    listing: &Listing,
    id: Uuid,
    at_least: Option<(Place, std::time::Duration)>,
    principal: &Principal,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    wait(api, listing.name, at_least).await?;
    let found = api.store.views.get(listing.name, &id.to_string()).await.map_err(from_view)?;
    let what = listing.collection.summary;
    let missing = || Problem::not_found("not-found", format!("There is no {what} with the id {id}."));
    let mut document = parsed(&found.document.ok_or_else(missing)?)?;
    if !principal.actor.role.sees_allocation() {
        listing.allocation.strip(&mut document);
    }
    if let Value::Object(fields) = &mut document {
        fields.insert("position".to_owned(), found.checkpoint.position.into());
    }
    Ok(as_of(found.checkpoint, headers, &document))
}

/// The id in an address.
///
/// # Errors
/// A 400 problem.
pub fn uuid_in_path(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::invalid("id", "malformed", "The id in the address must be a UUID."))
}

/// A document as the caller may see it.
#[derive(Serialize)]
#[serde(untagged)]
enum Document {
    /// Byte by byte as it was written.
    Whole(Box<RawValue>),
    /// Without treatment allocation.
    Blinded(Value),
}

fn read(document: Box<RawValue>, listing: &Listing, principal: &Principal) -> Result<Document, Problem> {
    if principal.actor.role.sees_allocation() || listing.allocation.is_empty() {
        return Ok(Document::Whole(document));
    }
    let mut document = parsed(&document)?;
    listing.allocation.strip(&mut document);
    Ok(Document::Blinded(document))
}

fn parsed(document: &RawValue) -> Result<Value, Problem> {
    serde_json::from_str(document.get()).map_err(|error| {
        log(&error);
        Problem::internal()
    })
}

fn list_query(listing: &Listing, parameters: &mut Parameters) -> Result<ListQuery, Problem> {
    let mut filters = Vec::new();
    for parameter in &listing.parameters {
        if let Some(value) = value_of(parameter, parameters)? {
            let op = match parameter.comparison {
                Comparison::Equal => FilterOp::Equals,
                Comparison::Since => FilterOp::AtLeast,
                Comparison::Until => FilterOp::AtMost,
            };
            filters.push(Filter { column: parameter.column.to_owned(), op, value });
        }
    }
    let sort = Some(sort(listing.collection, parameters)?);
    Ok(ListQuery { filters, sort, after: cursor(parameters)?, limit: limit(parameters)? })
}

fn value_of(parameter: &Parameter, parameters: &mut Parameters) -> Result<Option<ColumnValue>, Problem> {
    let name = parameter.name;
    Ok(match parameter.kind {
        ColumnKind::Text => match (parameters.text(name), parameter.words) {
            (Some(text), Some(words)) if !words.contains(&text.as_str()) => {
                let message = format!("`{name}` must be one of {}.", words.join(", "));
                return Err(Problem::invalid(name, "unknown-value", message));
            }
            (text, _) => text.map(ColumnValue::Text),
        },
        ColumnKind::Uuid => parameters.uuid(name)?.map(ColumnValue::Uuid),
        ColumnKind::Integer => parameters.parsed(name, "a whole number")?.map(ColumnValue::Integer),
        ColumnKind::Boolean => parameters.parsed(name, "`true` or `false`")?.map(ColumnValue::Boolean),
        ColumnKind::Time => parameters.time(name)?.map(ColumnValue::Time),
    })
}

fn sort(collection: &Collection, parameters: &mut Parameters) -> Result<(String, Direction), Problem> {
    let text = parameters.text("sort").unwrap_or_else(|| collection.order().to_owned());
    let (column, direction) = match text.strip_prefix('-') {
        Some(column) => (column.to_owned(), Direction::Descending),
        None => (text, Direction::Ascending),
    };
    let known: Vec<&str> = collection.sorted_by().collect();
    if !known.contains(&column.as_str()) {
        let known = known.join(", ");
        let message = format!("`sort` must be one of {known}; with a leading `-` for the greatest first.");
        return Err(Problem::invalid("sort", "unknown-column", message));
    }
    Ok((column, direction))
}

/// Takes `after` of a list.
///
/// # Errors
/// A 400 problem.
fn cursor(parameters: &mut Parameters) -> Result<Option<Cursor>, Problem> {
    let Some(text) = parameters.text("after") else { return Ok(None) };
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
