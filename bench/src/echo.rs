//! The bare handler: authenticates, parses and echoes a command's JSON.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::Path as Address;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use domain::epro::report::SubmitReport;
use event_store::{Store, StoreOptions};
use service::accounts::Accounts;
use service::auth::{self, Gate, Principal};
use service::identity::{SigningKeys, Verifier};
use service::incidents::Unrecorded;
use tokio::net::TcpListener;

use crate::BenchError;

/// Serves until the process is killed.
pub async fn serve(listen: SocketAddr, key_file: &Path) -> Result<(), BenchError> {
    let keys = SigningKeys::load_or_create(key_file).map_err(|error| BenchError::Said(error.to_string()))?;
    let echo = async |_: Principal, Address(_): Address<String>, Json(body): Json<SubmitReport>| Json(body);
    let protected = Router::new().route("/v1/reports/{id}/submit-report", post(echo));
    let folder = tempfile::tempdir()?;
    let said = |error: &dyn std::error::Error| BenchError::Said(error.to_string());
    let url = format!("sqlite:{}", folder.path().display());
    let store = Store::open(&url, &StoreOptions::default()).await.map_err(|error| said(&error))?;
    crate::system::open_account(&store).await?;
    let gate = Gate::new(Verifier::own(keys), Accounts::new(store.log.clone()), Arc::new(Unrecorded));
    let protected = protected.route_layer(middleware::from_fn_with_state(gate, auth::require));
    let router = protected.route("/readyz", get(async || "ready"));
    axum::serve(TcpListener::bind(listen).await?, router).await?;
    Ok(())
}
