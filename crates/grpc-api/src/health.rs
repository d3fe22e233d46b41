//! `grpc.health.v1`: what `/readyz` tells.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::{Stream, StreamExt as _, stream};
use proto::v1::{
    command_service_server, event_service_server, patient_service_server, report_service_server, trial_service_server,
};
use tokio::sync::Mutex;
use tokio::time::Instant;
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
    command_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
    patient_service_server::SERVICE_NAME,
    report_service_server::SERVICE_NAME,
    trial_service_server::SERVICE_NAME,
];

/// Tells whether the process is ready.
#[derive(Clone)]
pub struct Readiness {
    rest: Rest,
    /// What was seen last for those who watch, and when: however many they are, it is looked once.
    watched: Arc<Mutex<Option<(Instant, ServingStatus)>>>,
}

impl Readiness {
    /// As this interface tells.
    pub fn new(rest: Rest) -> Self {
        Self { rest, watched: Arc::default() }
    }

    /// As it was a moment ago at most.
    async fn lately(&self) -> ServingStatus {
        let mut watched = self.watched.lock().await;
        if let Some((looked, status)) = *watched
            && looked.elapsed() < LOOK_EVERY / 2
        {
            return status;
        }
        let status = self.now().await;
        *watched = Some((Instant::now(), status));
        status
    }

    async fn now(&self) -> ServingStatus {
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
        if !SERVICES.contains(&&*request.get_ref().service) {
            return Err(Status::not_found("There is no such service."));
        }
        Ok(Response::new(told(self.now().await)))
    }

    async fn watch(&self, request: tonic::Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = SERVICES.contains(&&*request.get_ref().service);
        let looks = stream::unfold((self.clone(), None), move |(readiness, before)| async move {
            loop {
                let now = if is_known { readiness.lately().await } else { ServingStatus::ServiceUnknown };
                if before != Some(now) {
                    return Some((Ok(told(now)), (readiness, Some(now))));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Response::new(looks.boxed()))
    }
}
