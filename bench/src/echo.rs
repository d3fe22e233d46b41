//! The bare handler: authenticates, parses and echoes a command's JSON.

use std::net::SocketAddr;
use std::path::Path;

use axum::extract::Path as Address;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use domain::epro::report::SubmitReport;
use service::auth::{self, Authenticator, Key, Principal};
use tokio::net::TcpListener;

use crate::BenchError;

/// Serves until the process is killed.
pub async fn serve(listen: SocketAddr, key_file: &Path) -> Result<(), BenchError> {
    let key = Key::load_or_create(key_file).map_err(|error| BenchError::Said(error.to_string()))?;
    let echo = async |_: Principal, Address(_): Address<String>, Json(body): Json<SubmitReport>| Json(body);
    let protected = Router::new().route("/v1/reports/{id}/submit-report", post(echo));
    let protected = protected.route_layer(middleware::from_fn_with_state(Authenticator::new(&key), auth::require));
    let router = protected.route("/readyz", get(async || "ready"));
    axum::serve(TcpListener::bind(listen).await?, router).await?;
    Ok(())
}
