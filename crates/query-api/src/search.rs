//! Whether somebody is registered: found by the national id that they show, wherever that was.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use events::ids::{NationalIdKey, PatientId, StreamKey as _};
use events::patient::national_id::{KIND, NationalIdEvent, canonical};
use events::set::EventSet as _;
use futures::TryStreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::disclosure::Search;
use crate::pages::pages;
use crate::parameters::Parameters;
use crate::render::{from_log, from_the_log};

/// The header that holds the number: addresses are kept in logs.
const NATIONAL_ID: &str = "Anamnesis-National-Id";
/// Characters of a number at most.
const LENGTH_MAX: usize = 500;

/// Somebody who was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundPatient {
    /// The person.
    patient_id: PatientId,
    /// Up to where the log was read.
    position: u64,
}

/// `GET /v1/patients/by-national-id`, with the headers `Anamnesis-National-Id` and `Anamnesis-Purpose`. Whoever admits a
/// person to a further site finds them so, also where they are out of sight: only the id is told.
pub async fn by_national_id(
    State(api): State<QueryApi>,
    principal: Principal,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    let search = Search::by(&principal, &headers)?;
    let national_id = national_id(&headers)?;
    let sealer = api.store.sealer().ok_or_else(Problem::internal)?;
    let key = NationalIdKey::from(sealer.search_key(KIND, &canonical(&national_id)).map_err(from_log)?);
    let position = api.store.log.head().await.map_err(from_log)?;
    let patient_id = holder(&api, key).await?;
    let missing = || Problem::not_found("not-found", "Nobody is registered with this national id.");
    let patient_id = patient_id.ok_or_else(missing)?;
    search.found(&api, &principal, patient_id).await?;
    Ok(from_the_log(&FoundPatient { patient_id, position }))
}

async fn holder(api: &QueryApi, key: NationalIdKey) -> Result<Option<PatientId>, Problem> {
    let mut holder = None;
    let mut pages = pages(&*api.store.log, key.stream(), 0);
    while let Some(events) = pages.try_next().await.map_err(from_log)? {
        for event in &events {
            match NationalIdEvent::from_envelope(event) {
                Ok(NationalIdEvent::NationalIdClaimed(claimed)) => holder = Some(claimed.patient_id),
                Ok(NationalIdEvent::NationalIdReleased(_)) => holder = None,
                Err(_) => return Err(Problem::newer_event()),
            }
        }
    }
    Ok(holder)
}

fn national_id(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(NATIONAL_ID).iter();
    let message = "Anamnesis-National-Id must hold the national id once, in 1 to 500 characters (UTF-8).";
    let text = match (values.next(), values.next()) {
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).ok(),
        _ => None,
    };
    let text = text.map(str::trim).filter(|text| text.chars().count() <= LENGTH_MAX && !canonical(text).is_empty());
    text.map(str::to_owned).ok_or_else(|| Problem::invalid(NATIONAL_ID, "malformed", message))
}
