//! Whether a patient meets the criteria of a trial.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use events::ids::{PatientId, TrialId};
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::lists::uuid_in_path;
use crate::parameters::Parameters;
use crate::render::{POSITION, Written, beyond_head, private};

/// `GET /v1/patients/<id>/eligibility?trial_id=<id>`: on what is known now, without recording anything. Nothing lags behind
/// the log.
pub async fn check(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let patient_id = PatientId::from(uuid_in_path(&id)?);
    let mut parameters = Parameters::of(&uri)?;
    let trial_id = match parameters.uuids("trial_id")?.as_slice() {
        [trial_id] => TrialId::from(*trial_id),
        [] => return Err(Problem::invalid("trial_id", "missing", "`trial_id` says for which trial; give its id.")),
        _ => return Err(Problem::invalid("trial_id", "duplicate", "`trial_id` may be given once.")),
    };
    let at_least = parameters.at_least(api.at_least_patience)?;
    parameters.finish()?;
    let answer = api.inquiries.eligibility(&principal, patient_id, trial_id).await?;
    if let Some((place, _)) = at_least {
        let wanted = place.position(&*api.store.log).await?;
        if wanted > answer.position {
            return Err(beyond_head(wanted, answer.position));
        }
    }
    let mut response = Written(Box::<str>::from(answer.document).into_string()).into_response();
    response.headers_mut().insert(POSITION, answer.position.into());
    Ok(private(response))
}
