//! `TrialService`.

use proto::v1::trial_service_server::TrialService;
use proto::v1::{GetTrialProgressRequest, GetTrialProgressResponse, ListSitesRequest, ListSitesResponse};
use tonic::{Request, Response, Status};

use crate::rest::{Address, Caller, Page, Rest};

#[tonic::async_trait]
impl TrialService for Rest {
    async fn get_trial_progress(
        &self,
        request: Request<GetTrialProgressRequest>,
    ) -> Result<Response<GetTrialProgressResponse>, Status> {
        let caller = Caller::of(&request);
        let GetTrialProgressRequest { trial_id, at_least } = request.into_inner();
        let address = Address::of("trials").then(&trial_id).then_plain("enrolment").with_any("at_least", &at_least);
        let answer = self.get(caller, &address).await?;
        let position = answer.position();
        Ok(Response::new(GetTrialProgressResponse { progress: Some(answer.read()?), position }))
    }

    async fn list_sites(&self, request: Request<ListSitesRequest>) -> Result<Response<ListSitesResponse>, Status> {
        let caller = Caller::of(&request);
        let ListSitesRequest { trial_id, page_size, page_token, at_least } = request.into_inner();
        let address = Address::of("sites").with("trial_id", trial_id).with("sort", "site");
        let address = address.page(page_size, &page_token, &at_least);
        let Page { items, next, position } = self.get(caller, &address).await?.read()?;
        Ok(Response::new(ListSitesResponse { sites: items, next_page_token: next.unwrap_or_default(), position }))
    }
}
