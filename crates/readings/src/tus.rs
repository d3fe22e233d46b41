//! Uploads that are resumed where they broke off: tus 1.0.0 (tus.io), its core and its extension `creation`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use event_store::clock;
use event_store::readings::Upload;
use events::ids::PatientId;
use service::auth::Principal;
use service::problem::Problem;

use crate::parameters::{Given, Parameters};
use crate::{UPLOAD_BYTES_MAX, Uploads, rest};

/// The version that the request speaks.
pub const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderName = HeaderName::from_static("tus-version");
const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// The one version that is spoken here.
const SPOKEN: HeaderValue = HeaderValue::from_static("1.0.0");

/// `OPTIONS`: what is spoken.
pub async fn options() -> Response {
    let spoken = [(RESUMABLE, SPOKEN), (VERSION, SPOKEN), (EXTENSION, HeaderValue::from_static("creation"))];
    (StatusCode::NO_CONTENT, spoken, [(MAX_SIZE, HeaderValue::from(UPLOAD_BYTES_MAX))]).into_response()
}

/// Begins an upload of so many bytes.
///
/// # Errors
/// The problem to answer with.
pub async fn create(
    uploads: &Uploads,
    principal: &Principal,
    patient_id: PatientId,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    require_version(headers)?;
    let length = number(headers, &LENGTH)?;
    if length == 0 {
        return Err(Problem::invalid("Upload-Length", "out-of-range", "An upload has at least one byte."));
    }
    if length > UPLOAD_BYTES_MAX {
        let detail = format!("An upload has at most {UPLOAD_BYTES_MAX} bytes.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail));
    }
    let given = match headers.get(METADATA) {
        Some(metadata) => Given::in_metadata(metadata.to_str().unwrap_or("?"))?,
        None => Given::in_address(uri)?,
    };
    let parameters = given.finish(None, clock::now())?;
    let upload = uploads.begin(principal, patient_id, &parameters, Some(length)).await?;
    let location = format!("/v1/uploads/{}", upload.upload.upload_id);
    let location = HeaderValue::from_str(&location).map_err(|_| Problem::internal())?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location), (RESUMABLE, SPOKEN)]).into_response())
}

/// `HEAD /v1/uploads/{id}`: where to go on.
pub async fn offset(
    State(uploads): State<Uploads>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    require_version(&headers)?;
    let upload = uploads.seen(&principal, &id).await?;
    let mut response = at(&upload, StatusCode::OK);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `PATCH /v1/uploads/{id}`: takes what comes from there on. What was stored when it broke off stays.
pub async fn resume(
    State(uploads): State<Uploads>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require_version(&headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind != "application/offset+octet-stream" {
        let detail = "What is resumed is sent as `Content-Type: application/offset+octet-stream`.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let detail = "What is resumed is sent as it is, not packed.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    let offset = number(&headers, &OFFSET)?;
    let permit = uploads.permit(&principal)?;
    let upload = uploads.seen(&principal, &id).await?;
    let Some(length) = upload.upload.length else {
        return Err(Problem::new(StatusCode::CONFLICT, "upload-not-resumable", "The upload was sent all at once."));
    };
    if upload.received != offset {
        let detail = format!("The upload stands at {}; go on from there.", upload.received);
        return Err(Problem::new(StatusCode::CONFLICT, "upload-offset", detail));
    }
    if offset == length {
        // It was all there; nothing more comes.
        return Ok(at(&upload, StatusCode::NO_CONTENT));
    }
    let left = length - offset;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > left) {
        let detail = format!("There are {left} bytes left of the {length} that were announced.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail));
    }
    let parameters: Parameters = serde_json::from_str(&upload.upload.parameters).map_err(|_| Problem::internal())?;
    uploads.admit(&principal, upload.upload.patient_id, parameters.trial_id).await?;
    let taken = uploads.take(principal.clone(), upload, parameters, false, rest::read(body), permit).await?;
    if let Some(problem) = taken.problem {
        return Err(problem);
    }
    Ok(at(&uploads.seen(&principal, &id).await?, StatusCode::NO_CONTENT))
}

/// Where an upload stands.
fn at(upload: &Upload, status: StatusCode) -> Response {
    let mut response = (status, [(RESUMABLE, SPOKEN), (OFFSET, HeaderValue::from(upload.received))]).into_response();
    if let Some(length) = upload.upload.length {
        response.headers_mut().insert(LENGTH, HeaderValue::from(length));
    }
    response
}

fn require_version(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(RESUMABLE) == Some(&SPOKEN) {
        return Ok(());
    }
    let problem = Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "tus-version",
        "Only tus 1.0.0 is spoken here: `Tus-Resumable: 1.0.0`.",
    );
    Err(problem.with_header(VERSION, SPOKEN))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let digits =
        headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let message = format!("{name} is a number of bytes.");
        Problem::invalid(name.as_str(), "malformed", message)
    })
}
