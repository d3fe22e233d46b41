//! Named reports.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Json, Response};
use event_store::views::{ColumnValue, Direction, Filter, FilterOp, ListQuery};
use serde_json::json;
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::lists::{cursor, document, limit, page, uuid_in_path};
use crate::parameters::Parameters;
use crate::render::{from_log, from_view, wait};

/// `GET /v1/trials/<id>/enrolment`: the funnel, by site and, for roles that may see allocation, by arm.
pub async fn enrolment(
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
    document(&api, "trial_enrolment", "trial", id, at_least, &principal, &headers).await
}

/// `GET /v1/patients/<id>/timeline`: what happened, in order, one line an event.
pub async fn timeline(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = uuid_in_path(&id)?;
    let mut parameters = Parameters::of(&uri)?;
    let at_least = parameters.at_least(api.at_least_patience)?;
    let about = Filter { column: "patient_id".to_owned(), op: FilterOp::Equals, value: ColumnValue::Uuid(id) };
    let query = ListQuery {
        filters: vec![about],
        sort: Some(("event_position".to_owned(), Direction::Ascending)),
        after: cursor(&mut parameters)?,
        limit: limit(&mut parameters)?,
    };
    parameters.finish()?;
    wait(&api, "patient_timeline", at_least).await?;
    page(&api, "patient_timeline", &query, &principal, &headers).await
}

/// `GET /v1/views`: where every view stands.
pub async fn views(State(api): State<QueryApi>, _principal: Principal, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    let states = api.store.views.states().await.map_err(from_view)?;
    let head = api.store.log.head().await.map_err(from_log)?;
    let items: Vec<_> = states
        .into_iter()
        .map(|state| {
            json!({
                "view": state.name, "version": state.version, "position": state.position,
                "behind": head.saturating_sub(state.position),
                "rebuilding": state.rebuild.map(|rebuild| json!({"position": rebuild.position})),
                "failure": state.failure,
            })
        })
        .collect();
    Ok(Json(json!({"items": items, "next": null, "position": head})).into_response())
}
