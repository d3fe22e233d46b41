//! Lists and documents of every collection.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use event_store::views::{ColumnValue, Cursor, Direction, Filter, FilterOp, LIST_LIMIT_MAX, ListQuery};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;

use crate::QueryApi;
use crate::blinding::blind;
use crate::parameters::Parameters;
use crate::render::{at_position, from_view, log, wait};
use crate::resources::{self, Kind, Resource};

/// Rows of a page where the caller does not say.
const LIMIT_DEFAULT: u32 = 50;

/// A page of a list.
#[derive(Serialize)]
struct ListAnswer {
    items: Vec<Value>,
    next: Option<String>,
    position: u64,
}

/// `GET /v1/<collection>`.
pub async fn list(
    resource: &'static Resource,
    State(api): State<QueryApi>,
    principal: Principal,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let at_least = parameters.at_least(api.at_least_patience)?;
    let query = list_query(resource, &mut parameters)?;
    parameters.finish()?;
    wait(&api, resource.view, at_least).await?;
    page(&api, resource.view, &query, &principal, &headers).await
}

/// A page of any view.
pub async fn page(
    api: &QueryApi,
    view: &str,
    query: &ListQuery,
    principal: &Principal,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let page = api.store.views.list(view, query).await.map_err(from_view)?;
    let items = page.rows.iter().map(|(_, document)| read(document, principal));
    let items = items.collect::<Result<Vec<Value>, Problem>>()?;
    let answer = ListAnswer { items, next: page.next.map(|cursor| cursor.encode()), position: page.position };
    Ok(at_position(page.position, headers, &answer))
}

/// `GET /v1/<collection>/<id>`.
pub async fn one(
    resource: &'static Resource,
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
    document(&api, resource.view, resource.summary, id, at_least, &principal, &headers).await
}

/// A document of any view with its position.
pub async fn document(
    api: &QueryApi,
    view: &str,
    what: &str,
    id: Uuid,
    at_least: Option<(u64, std::time::Duration)>,
    principal: &Principal,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    wait(api, view, at_least).await?;
    let found = api.store.views.get(view, &id.to_string()).await.map_err(from_view)?;
    let missing = || Problem::not_found("not-found", format!("There is no {what} with the id {id}."));
    let mut document = read(&found.document.ok_or_else(missing)?, principal)?;
    if let Value::Object(fields) = &mut document {
        let taken = fields.insert("position".to_owned(), found.position.into());
        debug_assert!(taken.is_none(), "the documents of `{view}` have a field `position`, which the answer hides");
    }
    Ok(at_position(found.position, headers, &document))
}

/// The id in an address.
///
/// # Errors
/// A 400 problem.
pub fn uuid_in_path(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::invalid("id", "malformed", "The id in the address must be a UUID."))
}

fn read(document: &RawValue, principal: &Principal) -> Result<Value, Problem> {
    let mut document: Value = serde_json::from_str(document.get()).map_err(|error| {
        log(&error);
        Problem::internal()
    })?;
    blind(principal.actor.role, &mut document);
    Ok(document)
}

fn list_query(resource: &Resource, parameters: &mut Parameters) -> Result<ListQuery, Problem> {
    let mut filters = Vec::new();
    for filter in resource.filters {
        if let Some((op, value)) = value_of(filter, parameters)? {
            filters.push(Filter { column: filter.column.to_owned(), op, value });
        }
    }
    Ok(ListQuery { filters, sort: sort(resource, parameters)?, after: cursor(parameters)?, limit: limit(parameters)? })
}

fn value_of(
    filter: &resources::Filter,
    parameters: &mut Parameters,
) -> Result<Option<(FilterOp, ColumnValue)>, Problem> {
    let name = filter.parameter;
    let equals = |value: ColumnValue| (FilterOp::Equals, value);
    Ok(match filter.kind {
        Kind::Text => parameters.text(name).map(|text| equals(text.into())),
        Kind::Uuid => parameters.uuid(name)?.map(|id| equals(id.into())),
        Kind::Boolean => parameters.parsed::<bool>(name, "`true` or `false`")?.map(|truth| equals(truth.into())),
        Kind::Since => parameters.time(name)?.map(|time| (FilterOp::AtLeast, time.into())),
        Kind::Until => parameters.time(name)?.map(|time| (FilterOp::AtMost, time.into())),
    })
}

fn sort(resource: &Resource, parameters: &mut Parameters) -> Result<Option<(String, Direction)>, Problem> {
    let Some(text) = parameters.text("sort") else { return Ok(None) };
    let (column, direction) = match text.strip_prefix('-') {
        Some(column) => (column.to_owned(), Direction::Descending),
        None => (text, Direction::Ascending),
    };
    if !resource.sorts.contains(&column.as_str()) {
        let known = resource.sorts.join(", ");
        let message = format!("`sort` must be one of {known}; with a leading `-` for the greatest first.");
        return Err(Problem::invalid("sort", "unknown-column", message));
    }
    Ok(Some((column, direction)))
}

/// Takes `after` of a list.
///
/// # Errors
/// A 400 problem.
pub fn cursor(parameters: &mut Parameters) -> Result<Option<Cursor>, Problem> {
    let Some(text) = parameters.text("after") else { return Ok(None) };
    let foreign = |_| Problem::invalid("after", "foreign-cursor", "`after` must be the `next` of an earlier page.");
    Cursor::decode(&text).map(Some).map_err(foreign)
}

/// Takes `limit`.
///
/// # Errors
/// A 400 problem.
pub fn limit(parameters: &mut Parameters) -> Result<u32, Problem> {
    let expected = format!("a whole number from 1 to {LIST_LIMIT_MAX}");
    let limit = parameters.parsed("limit", &expected)?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIST_LIMIT_MAX {
        return Err(Problem::invalid("limit", "out-of-range", format!("`limit` must be {expected}.")));
    }
    Ok(limit)
}
