//! The gRPC interface.
//!
//! Every call is a request to the REST interface in the same process: authority, masking, blinding, limits, idempotency and
//! problems are those of REST because they are REST's own (docs/adr/0042). What is here only translates.

mod call;
mod commands;
mod events;
mod guard;
mod health;
mod patients;
mod reports;
mod rest;
mod sse;
mod status;
mod trials;

use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::middleware;
use proto::v1::command_service_server::CommandServiceServer;
use proto::v1::event_service_server::EventServiceServer;
use proto::v1::patient_service_server::PatientServiceServer;
use proto::v1::report_service_server::ReportServiceServer;
use proto::v1::trial_service_server::TrialServiceServer;
use service::auth::Gate;
use service::limits::Limits;
use service::trace;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower::ServiceExt as _;

use crate::health::Readiness;
use crate::rest::Rest;

/// Greatest size of a message to what anybody may ask without a token.
const OPEN_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Why the interface could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC interface cannot tell of itself")]
pub struct SetupError(#[from] tonic_reflection::server::Error);

/// The gRPC interface to `rest`, the whole REST interface within this process ([`service::server::within`]). Whoever calls is let in by `gate`, and messages take
/// no more memory than bodies may by `limits`.
///
/// # Errors
/// [`SetupError`].
pub fn router(rest: Router, gate: Gate, limits: Limits) -> Result<Router, SetupError> {
    let size = limits.body_bytes_max();
    let rest = Rest::new(rest);
    let protected = Routes::new(PatientServiceServer::new(rest.clone()).max_decoding_message_size(size))
        .add_service(ReportServiceServer::new(rest.clone()).max_decoding_message_size(size))
        .add_service(TrialServiceServer::new(rest.clone()).max_decoding_message_size(size))
        .add_service(CommandServiceServer::new(rest.clone()).max_decoding_message_size(size))
        .add_service(EventServiceServer::new(rest.clone()).max_decoding_message_size(size));
    let protected = protected.into_axum_router();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health = HealthServer::new(Readiness::new(rest)).max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX);
    let open = Routes::new(health)
        .add_service(reflection().build_v1()?.max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX));
    let guard = guard::Guard::new(gate, limits);
    let protected = protected.reset_fallback().route_layer(middleware::from_fn_with_state(guard, guard::layer));
    let open = open.into_axum_router();
    Ok(open.merge(protected).layer(middleware::from_fn(call::layer)).layer(middleware::from_fn(trace::layer)))
}

/// Answers gRPC on the port of `rest`, too.
pub fn beside(rest: Router, grpc: Router) -> Router {
    rest.layer(middleware::from_fn(move |request: Request, next: middleware::Next| {
        let grpc = grpc.clone();
        async move {
            if !is_grpc(&request) {
                return next.run(request).await;
            }
            grpc.oneshot(request).await.unwrap_or_else(|never| match never {})
        }
    }))
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind == "application/grpc" || kind.starts_with("application/grpc+")
}
