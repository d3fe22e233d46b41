//! `GET /v1/uploads/{id}/refused`: all that was not taken, line by line.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use event_store::readings::RefusedLine;
use futures::stream;
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;

use crate::Uploads;
use crate::parameters::Given;
use crate::rest::LineFault;

/// Lines that are read together.
const PAGE: u32 = 1_000;

#[derive(Clone, Copy)]
enum Form {
    Ndjson,
    Csv,
}

/// Sends them all, as NDJSON or CSV.
pub async fn refused(
    State(uploads): State<Uploads>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let upload_id = uploads.seen(&principal, &id).await?.upload.upload_id;
    let mut given = Given::in_address(&uri)?;
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = match given.take("format").as_deref() {
        Some("csv") => Form::Csv,
        Some("ndjson") => Form::Ndjson,
        None if accepted.contains("csv") => Form::Csv,
        None => Form::Ndjson,
        Some(_) => return Err(Problem::invalid("format", "unknown-value", "`format` must be `ndjson` or `csv`.")),
    };
    given.require_none()?;
    let kind = match form {
        Form::Ndjson => "application/x-ndjson",
        Form::Csv => "text/csv; charset=utf-8",
    };
    let body = Body::from_stream(stream::try_unfold((uploads, Some((0, 0))), move |(uploads, place)| async move {
        let Some((after, told)) = place else { return Ok::<_, std::io::Error>(None) };
        let (text, next) = page(&uploads, upload_id, after, told, form).await.map_err(std::io::Error::other)?;
        Ok(Some((Bytes::from(text), (uploads, next))))
    }));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response())
}

/// A page as text, and where the next one begins.
async fn page(
    uploads: &Uploads,
    upload_id: Uuid,
    after: u64,
    told: u64,
    form: Form,
) -> Result<(Vec<u8>, Option<(u64, u64)>), event_store::readings::ReadingsError> {
    let lines = uploads.store.refused(upload_id, after, PAGE).await?;
    let mut text = Vec::new();
    if told == 0 && matches!(form, Form::Csv) {
        text.extend_from_slice(b"line,field,rule,message\r\n");
    }
    let is_full = lines.len() == PAGE as usize;
    // A line may be refused for several reasons: those of the last one on the page come with the next.
    let last = lines.last().map(|line| line.line).filter(|last| is_full && lines[0].line != *last);
    let complete = lines.into_iter().filter(|line| Some(line.line) != last);
    let mut end = after;
    let mut count = told;
    for line in complete {
        (end, count) = (line.line, count + 1);
        write(&mut text, line, form);
    }
    Ok((text, is_full.then_some((end, count.max(1)))))
}

fn write(text: &mut Vec<u8>, line: RefusedLine, form: Form) {
    match form {
        Form::Ndjson => {
            // Numbers and texts can be written.
            drop(serde_json::to_writer(&mut *text, &LineFault::from(line)));
            text.push(b'\n');
        }
        Form::Csv => {
            let quoted = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
            let RefusedLine { line, field, rule, message } = line;
            let row = format!("{line},{},{},{}\r\n", quoted(&field), quoted(&rule), quoted(&message));
            text.extend_from_slice(row.as_bytes());
        }
    }
}
