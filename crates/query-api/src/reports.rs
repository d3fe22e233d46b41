//! Named reports.

use ::views::Table;
use ::views::trial::trial_enrolment::TrialEnrolment;
use authority::Area;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use event_store::log::Reference;
use event_store::views::ViewState;
use events::ids::PatientId;
use schemars::JsonSchema;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::entry::TimelineEntry;
use crate::gaze::Gaze;
use crate::history::{self, Way};
use crate::listing::Listing;
use crate::lists::{Page, document, uuid_in_path};
use crate::parameters::Parameters;
use crate::render::{from_log, from_the_log, from_view};

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
    let trials = Listing::named(TrialEnrolment::NAME).ok_or_else(Problem::internal)?;
    document(&api, trials, id, at_least, &principal, &headers).await
}

/// `GET /v1/patients/<id>/timeline`: what happened, one line an event, newest first
/// unless `sort=position` asks otherwise. Read from the log: nothing lags behind it.
pub async fn timeline(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let reference = Reference::Patient(PatientId::from(uuid_in_path(&id)?));
    let mut parameters = Parameters::of(&uri)?;
    let ascending = match parameters.text("sort")?.as_deref() {
        Some("position") => true,
        Some("-position") | None => false,
        Some(_) => return Err(Problem::invalid("sort", "unknown-column", "`sort` must be position or -position.")),
    };
    let after = parameters.place("after")?;
    let limit = history::limit(&mut parameters)?;
    parameters.finish()?;
    let log = &api.store.log;
    let after = match after {
        Some(place) => Some(place.position(&**log).await?),
        None => None,
    };
    let head = log.head().await.map_err(from_log)?;
    let gaze = Gaze::of(&principal);
    let way = if ascending {
        Way::On { after: after.unwrap_or(0), to: head }
    } else {
        Way::Back { before: after.unwrap_or(head + 1) }
    };
    let found = history::in_sight(&api, &gaze, reference, way, limit).await?;
    if found.events.is_empty() {
        history::must_be_known(&api, &gaze, reference, head).await?;
    }
    let items: Vec<TimelineEntry<'_>> = found.events.iter().map(|(event, _)| TimelineEntry::new(event)).collect();
    let next = found.next();
    Ok(from_the_log(&Page { items, next, position: head }))
}

/// Where a view stands.
#[derive(Serialize, JsonSchema)]
pub struct ViewStatus {
    view: String,
    /// The version of the documents that are read.
    version: u32,
    /// How far it stands.
    position: u64,
    /// Events that it has not seen yet.
    behind: u64,
    /// How far a new version stands that is filled beside the one that is read.
    rebuilding: Option<Rebuilding>,
    /// Why it stands still, where it does.
    failure: Option<String>,
}

/// How far a rebuild stands.
#[derive(Serialize, JsonSchema)]
struct Rebuilding {
    position: u64,
}

/// `GET /v1/views`: where every view stands.
pub async fn views(State(api): State<QueryApi>, principal: Principal, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    if Gaze::of(&principal).on(Area::Operation).is_empty() {
        return Err(Problem::forbidden("None of the roles that the account holds looks after the program."));
    }
    let states = api.store.views.states().await.map_err(from_view)?;
    let head = api.store.log.head().await.map_err(from_log)?;
    let status = |state: ViewState| ViewStatus {
        behind: head.saturating_sub(state.checkpoint.position),
        rebuilding: state.rebuild.map(|rebuild| Rebuilding { position: rebuild.checkpoint.position }),
        view: state.name,
        version: state.version,
        position: state.checkpoint.position,
        failure: state.failure,
    };
    let items: Vec<ViewStatus> = states.into_iter().map(status).collect();
    Ok(from_the_log(&Page { items, next: None, position: head }))
}
