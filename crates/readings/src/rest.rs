//! `POST /v1/patients/{id}/readings`: all at once, streamed, perhaps packed.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use event_store::clock;
use event_store::readings::{RefusedLine, Upload};
use events::ids::PatientId;
use futures::TryStreamExt as _;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;
use tokio::io::{AsyncRead, BufReader};
use tokio_util::io::StreamReader;
use uuid::Uuid;

use crate::lines::Format;
use crate::parameters::Given;
use crate::pipeline::Taken;
use crate::{Uploads, problems, tus, unpacking};

/// What was not taken, in the answer itself; all of it can be had by its address.
const REFUSED_TOLD_MAX: u32 = 100;

/// How an upload stands.
#[derive(Serialize)]
pub struct Told {
    upload_id: Uuid,
    trial_id: Uuid,
    patient_id: Uuid,
    status: &'static str,
    length: Option<u64>,
    received: u64,
    lines: u64,
    stored: u64,
    apart: u64,
    known: u64,
    refused: u64,
    begun_at: chrono::DateTime<chrono::Utc>,
    ended_at: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// The first of those that were not taken.
    errors: Vec<LineFault>,
    /// Where all of them are told.
    refused_lines: String,
}

/// What is wrong with a line.
#[derive(Serialize)]
pub struct LineFault {
    line: u64,
    field: String,
    rule: String,
    message: String,
}

impl From<RefusedLine> for LineFault {
    fn from(RefusedLine { line, field, rule, message }: RefusedLine) -> Self {
        Self { line, field, rule, message }
    }
}

impl Told {
    /// Of an upload.
    pub fn of(upload: &Upload, position: Option<u64>, errors: Vec<RefusedLine>) -> Self {
        let Upload { upload: about, received, counts, ended_at, .. } = upload;
        Self {
            upload_id: about.upload_id,
            trial_id: about.trial_id.uuid(),
            patient_id: about.patient_id.uuid(),
            status: if ended_at.is_some() { "complete" } else { "open" },
            length: about.length,
            received: *received,
            lines: counts.lines,
            stored: counts.stored,
            apart: counts.apart,
            known: counts.known,
            refused: counts.refused,
            begun_at: about.begun_at,
            ended_at: *ended_at,
            position,
            errors: errors.into_iter().map(LineFault::from).collect(),
            refused_lines: format!("/v1/uploads/{}/refused", about.upload_id),
        }
    }
}

/// Takes readings, or begins an upload that can be resumed where the request speaks tus.
pub async fn send(
    State(uploads): State<Uploads>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let patient_id = Uuid::try_parse(&id).map(PatientId::from);
    let patient_id =
        patient_id.map_err(|_| Problem::invalid("id", "malformed", "The id in the address must be a UUID."))?;
    if headers.contains_key(tus::RESUMABLE) {
        return tus::create(&uploads, &principal, patient_id, &uri, &headers).await;
    }
    let format = format(&headers)?;
    let parameters = Given::in_address(&uri)?.finish(Some(format), clock::now())?;
    let source = unpacking::unpacked(&headers, read(body))?;
    let permit = uploads.permit(&principal)?;
    let upload = uploads.begin(&principal, patient_id, &parameters, None).await?;
    let upload_id = upload.upload.upload_id;
    let taken = uploads.take(principal, upload, parameters, true, source, permit).await?;
    answer(&uploads, upload_id, taken).await
}

/// The format that the body is said to be of.
fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Ndjson),
        "text/csv" => Ok(Format::Csv),
        _ => {
            let detail = "Send readings as `Content-Type: application/x-ndjson` or `text/csv`.";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
        }
    }
}

/// A body as bytes.
pub fn read(body: Body) -> impl AsyncRead + Send + Unpin {
    BufReader::new(StreamReader::new(body.into_data_stream().map_err(std::io::Error::other)))
}

async fn answer(uploads: &Uploads, upload_id: Uuid, taken: Taken) -> Result<Response, Problem> {
    if let Some(problem) = taken.problem {
        return Err(problem);
    }
    let (upload, errors) = uploads.found(upload_id, 0, REFUSED_TOLD_MAX).await?;
    let position = (taken.position > 0).then_some(taken.position);
    Ok(Json(Told::of(&upload, position, errors)).into_response())
}

/// `GET /v1/uploads/{id}`: how far an upload has come.
pub async fn status(
    State(uploads): State<Uploads>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let upload = uploads.seen(&principal, &id).await?;
    let errors = uploads.store.refused(upload.upload.upload_id, 0, REFUSED_TOLD_MAX).await;
    let errors = errors.map_err(problems::from_readings)?;
    Ok(Json(Told::of(&upload, None, errors)).into_response())
}
