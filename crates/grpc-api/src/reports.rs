//! `ReportService`.

use std::collections::BTreeMap;

use chrono::DateTime;
use prost_types::Timestamp;
use proto::v1::report_service_server::ReportService;
use proto::v1::{
    Answer, GetLatestReportRequest, GetLatestReportResponse, SubmitReportRequest, SubmitReportResponse, answer,
};
use serde_json::{Map, Number, Value, json};
use tonic::{Request, Response, Status};

use crate::commands;
use crate::rest::{Address, Caller, Page, Rest};
use crate::status;

#[tonic::async_trait]
impl ReportService for Rest {
    async fn get_latest_report(
        &self,
        request: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        let caller = Caller::of(&request);
        let GetLatestReportRequest { patient_id, trial_id, instrument, at_least } = request.into_inner();
        let address = Address::of("reports")
            .with("patient_id", &patient_id)
            .with_any("trial_id", &trial_id)
            .with_any("instrument", &instrument)
            .with_any("at_least", &at_least)
            .with("sort", "-completed_at")
            .with("limit", 1);
        let Page { items, position, .. } = self.get(caller, &address).await?.read()?;
        let missing = || status::not_found(&format!("There is no such report of the patient {patient_id}."));
        let report = items.into_iter().next().ok_or_else(missing)?;
        Ok(Response::new(GetLatestReportResponse { report: Some(report), position }))
    }

    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let mut fields = Map::new();
        fields.insert("subject_id".to_owned(), asked.subject_id.into());
        fields.insert("instrument".to_owned(), asked.instrument.into());
        fields.insert("answers".to_owned(), answers(asked.answers)?);
        let texts = [
            ("questionnaire_version", asked.questionnaire_version),
            ("time_zone", asked.time_zone),
            ("device", asked.device),
            ("visit", asked.visit),
            ("started_at", time("started_at", asked.started_at)?),
            ("completed_at", time("completed_at", asked.completed_at)?),
        ];
        fields.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
        let sent = commands::Sent {
            command: "SubmitReport",
            target_id: &asked.report_id,
            fields: Value::Object(fields).to_string(),
            idempotency_key: &asked.idempotency_key,
            if_match: "",
        };
        let answer = commands::send(self, caller, sent).await?;
        Ok(Response::new(SubmitReportResponse { answer: Some(answer) }))
    }
}

fn answers(answers: BTreeMap<String, Answer>) -> Result<Value, Status> {
    let answers = answers.into_iter().map(|(item, Answer { value })| {
        let wrong = |message: &str| status::invalid(&format!("answers/{item}"), "malformed", message);
        let answer = match value {
            Some(answer::Value::Number(number)) => number_of(number).ok_or_else(|| wrong("It must be a number."))?,
            Some(answer::Value::Text(text)) => text.into(),
            None => return Err(wrong("It must be a number or text; leave out what was not answered.")),
        };
        Ok((item, answer))
    });
    Ok(Value::Object(answers.collect::<Result<_, Status>>()?))
}

/// Whole numbers as such: as whoever writes JSON writes them.
fn number_of(number: f64) -> Option<Value> {
    let whole = number as i64;
    if whole as f64 == number {
        return Some(json!(whole));
    }
    Number::from_f64(number).map(Value::Number)
}

fn time(field: &str, time: Option<Timestamp>) -> Result<Option<String>, Status> {
    let Some(Timestamp { seconds, nanos }) = time else { return Ok(None) };
    let time = u32::try_from(nanos).ok().and_then(|nanos| DateTime::from_timestamp(seconds, nanos));
    let time = time.ok_or_else(|| status::invalid(field, "malformed", "It must be a time that a calendar has."))?;
    Ok(Some(time.to_rfc3339()))
}
