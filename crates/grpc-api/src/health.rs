//! `grpc.health.v1`: what `/readyz` tells.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::{Stream, StreamExt as _, stream};
use tonic::{Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceExt as _;

use crate::rest::Rest;

/// How often it is looked whether readiness changed, for whoever watches.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What can be asked after; the empty name is the process as a whole.
const SERVICES: [&str; 6] = [
    "",
    "anamnesis.v1.CommandService",
    "anamnesis.v1.EventService",
    "anamnesis.v1.PatientService",
    "anamnesis.v1.ReportService",
    "anamnesis.v1.TrialService",
];

/// Tells whether the process is ready.
#[derive(Clone)]
pub struct Readiness {
    rest: Rest,
}

impl Readiness {
    /// As this interface tells.
    pub const fn new(rest: Rest) -> Self {
        Self { rest }
    }

    async fn now(&self, service: &str) -> ServingStatus {
        if !SERVICES.contains(&service) {
            return ServingStatus::ServiceUnknown;
        }
        let Ok(request) = Request::get("/readyz").body(Body::empty()) else { return ServingStatus::Unknown };
        let response = self.rest.router().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.status().is_success() { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Readiness {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.now(&request.get_ref().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("There is no such service.")),
            status => Ok(Response::new(told(status))),
        }
    }

    async fn watch(&self, request: tonic::Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (readiness, service) = (self.clone(), request.into_inner().service);
        let looks = stream::unfold((readiness, service, None), |(readiness, service, before)| async move {
            loop {
                let now = readiness.now(&service).await;
                if before != Some(now) {
                    return Some((Ok(told(now)), (readiness, service, Some(now))));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Response::new(looks.boxed()))
    }
}
