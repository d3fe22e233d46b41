//! `TrialService`.

use proto::v1::trial_service_server::TrialService;
use proto::v1::{GetTrialProgressRequest, GetTrialProgressResponse, ListSitesRequest, ListSitesResponse};
use tonic::{Request, Response, Status};

use crate::patients::Page;
use crate::rest::{Address, Caller, Rest};

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
        let mut address = Address::of("sites")
            .with("trial_id", trial_id)
            .with_any("after", &page_token)
            .with_any("at_least", &at_least)
            .with("sort", "site");
        if page_size > 0 {
            address = address.with("limit", page_size);
        }
        let Page { items, next, position } = self.get(caller, &address).await?.read()?;
        Ok(Response::new(ListSitesResponse { sites: items, next_page_token: next.unwrap_or_default(), position }))
    }
}
