//! What was defined for a trial, part by part: each is taken out of the trial's protocol, and has its tag.

use ::views::trial::protocols::{Arm, ConsentForm, Eligibility, Protocol, Protocols, Questionnaire, ReadingRules};
use ::views::{Standing, Table};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use event_store::checkpoints::Checkpoint;
use events::identifier::{same, same_language};
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::entity_tag::EntityTag;
use crate::listing::Listing;
use crate::lists::{Page, found, read, uuid_in_path};
use crate::parameters::Parameters;
use crate::render::as_of;

/// What an answer from a trial's protocol is of, and to which request.
struct AsOf {
    checkpoint: Checkpoint,
    tag: EntityTag,
    headers: HeaderMap,
}

impl AsOf {
    fn page<T: Serialize>(self, items: Vec<T>) -> Response {
        let position = self.checkpoint.position;
        self.one(&Page { items, next: None, position })
    }

    fn one(self, body: &impl Serialize) -> Response {
        as_of(self.checkpoint, &self.tag, &self.headers, Json(body))
    }
}

/// Reads the protocol; all parameters must have been taken but those that say how fresh it must be.
async fn asked(
    api: &QueryApi,
    principal: &Principal,
    id: &str,
    mut parameters: Parameters,
    headers: HeaderMap,
) -> Result<(Protocol, AsOf), Problem> {
    let id = uuid_in_path(id)?;
    let at_least = parameters.at_least(api.at_least_patience)?;
    parameters.finish()?;
    let listing = Listing::named(Protocols::NAME).ok_or_else(Problem::internal)?;
    let (checkpoint, document, _) = found(api, listing, id, at_least, principal).await?;
    let tag = EntityTag::of_document(id, read::<Standing>(document.get())?, false);
    Ok((read(document.get())?, AsOf { checkpoint, tag, headers }))
}

/// `GET /v1/trials/<id>/arms`.
pub async fn arms(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (protocol, as_of) = asked(&api, &principal, &id, Parameters::of(&uri)?, headers).await?;
    Ok(as_of.page::<Arm>(protocol.arms))
}

/// `GET /v1/trials/<id>/eligibility`: the criteria in force, or those of a `version`.
pub async fn eligibility(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let version: Option<u32> = parameters.parsed("version", "a version of the criteria: a whole number from 1")?;
    let (protocol, as_of) = asked(&api, &principal, &id, parameters, headers).await?;
    let wanted = |definition: &&Eligibility| version.is_none_or(|version| definition.criteria_version == version);
    let found = protocol.eligibility.iter().rev().find(wanted);
    let missing = || match version {
        Some(version) => format!("The trial {id} has no version {version} of its eligibility criteria."),
        None => format!("No eligibility criteria were defined for the trial {id}."),
    };
    let found = found.ok_or_else(|| Problem::not_found("not-found", missing()))?;
    Ok(as_of.one(found))
}

/// `GET /v1/trials/<id>/reading-rules`: the rules in force, or those of a `version`.
pub async fn reading_rules(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let version: Option<u32> = parameters.parsed("version", "a version of the rules: a whole number from 1")?;
    let (protocol, as_of) = asked(&api, &principal, &id, parameters, headers).await?;
    let wanted = |rules: &&ReadingRules| version.is_none_or(|version| rules.rules_version == version);
    let missing = || match version {
        Some(version) => format!("The trial {id} has no version {version} of its rules for readings."),
        None => format!("No rules for readings were defined for the trial {id}."),
    };
    let found = protocol.reading_rules.iter().rev().find(wanted);
    let found = found.ok_or_else(|| Problem::not_found("not-found", missing()))?;
    Ok(as_of.one(found))
}

/// `GET /v1/trials/<id>/consent-forms`: all of them, or those of a `form_version` or `language`.
pub async fn consent_forms(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let (versions, languages) = (parameters.texts("form_version")?, parameters.list("language")?);
    let (protocol, as_of) = asked(&api, &principal, &id, parameters, headers).await?;
    let wanted = |form: &ConsentForm| {
        (versions.is_empty() || versions.iter().any(|version| same(&form.form_version, version)))
            && (languages.is_empty() || languages.iter().any(|language| same_language(&form.language, language)))
    };
    Ok(as_of.page(protocol.consent_forms.into_iter().filter(wanted).collect()))
}

/// `GET /v1/trials/<id>/questionnaires`: all of them in every version, or those of an `instrument`.
pub async fn questionnaires(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let instruments = parameters.texts("instrument")?;
    let (protocol, as_of) = asked(&api, &principal, &id, parameters, headers).await?;
    let wanted = |form: &Questionnaire| {
        instruments.is_empty() || instruments.iter().any(|instrument| same(&form.instrument, instrument))
    };
    Ok(as_of.page(protocol.questionnaires.into_iter().filter(wanted).collect()))
}

/// `GET /v1/trials/<id>/questionnaires/<instrument>`: the newest, or that of a `version`.
pub async fn questionnaire(
    State(api): State<QueryApi>,
    principal: Principal,
    Path((id, instrument)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let version = parameters.text("version")?;
    let (protocol, as_of) = asked(&api, &principal, &id, parameters, headers).await?;
    let wanted = |form: &&Questionnaire| {
        same(&form.instrument, &instrument) && version.as_ref().is_none_or(|version| same(&form.version, version))
    };
    let missing = || {
        let version = version.as_ref().map(|version| format!(" in version {version}")).unwrap_or_default();
        Problem::not_found("not-found", format!("The trial {id} has no questionnaire {instrument}{version}."))
    };
    let found = protocol.questionnaires.iter().rev().find(wanted).ok_or_else(missing)?;
    Ok(as_of.one(found))
}
