//! `PatientService`.

use std::collections::VecDeque;
use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use proto::json;
use proto::v1::patient_service_server::PatientService;
use proto::v1::{
    CheckEligibilityRequest, CheckEligibilityResponse, GetPatientRequest, GetPatientResponse,
    ListPatientsByTrialRequest, ListPatientsByTrialResponse, StreamPatientsByTrialRequest,
    StreamPatientsByTrialResponse, Subject, SubjectStatus,
};
use service::deadline;
use tonic::{Request, Response, Status};

use crate::call;
use crate::rest::{Address, Caller, Page, Rest};
use crate::status;

/// Subjects that are read at a time for a stream of them.
const PIECE: u32 = 500;

#[tonic::async_trait]
impl PatientService for Rest {
    async fn check_eligibility(
        &self,
        request: Request<CheckEligibilityRequest>,
    ) -> Result<Response<CheckEligibilityResponse>, Status> {
        let caller = Caller::of(&request);
        let CheckEligibilityRequest { patient_id, trial_id, at_least } = request.into_inner();
        let address = Address::of("patients").then(&patient_id).then_plain("eligibility");
        let address = address.with("trial_id", trial_id).with_any("at_least", &at_least);
        let answer = self.get(caller, &address).await?;
        let position = answer.position();
        Ok(Response::new(CheckEligibilityResponse { position, ..answer.read()? }))
    }

    async fn get_patient(&self, request: Request<GetPatientRequest>) -> Result<Response<GetPatientResponse>, Status> {
        let caller = Caller::of(&request);
        let GetPatientRequest { patient_id, at_least } = request.into_inner();
        let address = Address::of("patients").then(&patient_id).with_any("at_least", &at_least);
        let answer = self.get(caller, &address).await?;
        Ok(Response::new(GetPatientResponse { position: answer.position(), patient: Some(answer.read()?) }))
    }

    async fn list_patients_by_trial(
        &self,
        request: Request<ListPatientsByTrialRequest>,
    ) -> Result<Response<ListPatientsByTrialResponse>, Status> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let address = subjects(&asked.trial_id, &asked.site_id, &asked.statuses)?;
        let address = address.page(asked.page_size, &asked.page_token, &asked.at_least);
        let Page { items, next, position } = self.get(caller, &address).await?.read()?;
        let next_page_token = next.unwrap_or_default();
        Ok(Response::new(ListPatientsByTrialResponse { subjects: items, next_page_token, position }))
    }

    type StreamPatientsByTrialStream =
        Pin<Box<dyn Stream<Item = Result<StreamPatientsByTrialResponse, Status>> + Send>>;

    async fn stream_patients_by_trial(
        &self,
        request: Request<StreamPatientsByTrialRequest>,
    ) -> Result<Response<Self::StreamPatientsByTrialStream>, Status> {
        // The first page is read before the stream begins: what is wrong is told as of any call.
        let mut reader = Reader {
            rest: self.clone(),
            caller: Caller::of(&request),
            deadline: deadline::end(),
            asked: request.into_inner(),
            read: VecDeque::new(),
            position: 0,
            next: Some(String::new()),
        };
        reader.turn().await?;
        let subjects = stream::try_unfold(reader, |mut reader| async move {
            let next = reader.next().await?;
            Ok::<_, Status>(next.map(|next| (next, reader)))
        });
        Ok(Response::new(subjects.boxed()))
    }
}

/// The subjects of a trial, in the order of their numbers.
fn subjects(trial_id: &str, site_id: &str, statuses: &[i32]) -> Result<Address, Status> {
    let mut address = Address::of("subjects").with("trial_id", trial_id).with_any("site_id", site_id);
    for status in statuses {
        let status = SubjectStatus::try_from(*status).ok().filter(|status| *status != SubjectStatus::Unspecified);
        let unknown = || status::invalid("statuses", "unknown-value", "It must be a status that a subject can have.");
        let status = status.ok_or_else(unknown)?;
        address = address.with("status", json::kebab::<SubjectStatus>(status.as_str_name()));
    }
    Ok(address.with("sort", "subject_number"))
}

/// Reads page after page.
struct Reader {
    rest: Rest,
    caller: Caller,
    deadline: Option<tokio::time::Instant>,
    asked: StreamPatientsByTrialRequest,
    read: VecDeque<Subject>,
    position: u64,
    /// What the next page begins behind; nothing where there is none.
    next: Option<String>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<StreamPatientsByTrialResponse>, Status> {
        while self.read.is_empty() && self.next.is_some() {
            self.turn().await?;
        }
        let position = self.position;
        Ok(self.read.pop_front().map(|subject| StreamPatientsByTrialResponse { subject: Some(subject), position }))
    }

    async fn turn(&mut self) -> Result<(), Status> {
        let Some(after) = self.next.take() else { return Ok(()) };
        let StreamPatientsByTrialRequest { trial_id, site_id, statuses, at_least } = &self.asked;
        let at_least = if after.is_empty() { at_least } else { "" };
        let address = subjects(trial_id, site_id, statuses)?.page(PIECE, &after, at_least);
        let page = call::within(self.deadline, self.rest.get(self.caller.again(), &address)).await??;
        let Page { items, next, position } = page.read()?;
        (self.read, self.next, self.position) = (items.into(), next, position);
        Ok(())
    }
}
