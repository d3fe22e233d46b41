//! Readings of wearables: uploads of any size, judged line by line, stored beside the log.
//!
//! What is sent is read, parsed, judged and stored as it comes, in stages of which none is ahead of the next by more than a block, so
//! that memory does not grow with it ([`pipeline`]). Readings are stored first; then the log is told how many there are of which
//! device and time, and by a hash which they are ([`recording`]). Until it is told, nobody reads them.

mod blocks;
mod follow;
mod judge;
mod lines;
mod parameters;
mod pipeline;
mod problems;
mod recording;
mod report;
mod rest;
mod summary;
mod tus;
mod unpacking;

use std::sync::Arc;

use authority::Area;
use axum::Router;
use axum::routing::{get, post};
use command_api::sending::{self, Sent};
use domain::readings::receipt::BeginUpload;
use event_store::Store;
use event_store::clock;
use event_store::execute::Executor;
use event_store::readings::{Counts, NewUpload, ReadingStore, RefusedLine, Upload};
use events::envelope::References;
use events::ids::{PatientId, TrialId};
use service::auth::Principal;
use service::problem::Problem;
use service::shares::{Limit, Share, Shares};
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::parameters::Parameters;
use crate::pipeline::{Taken, Taking};

/// Bytes of an upload that can be resumed: 64 GiB.
pub const UPLOAD_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Seconds after which there may be room for another upload.
const RETRY_SECONDS: u32 = 5;

/// Of one account: a quarter of what the setting says.
const OF_ACCOUNT: Limit = Limit { setting: "uploads_max", rule: "too-many-uploads", of: "uploads at once" };

/// Takes uploads.
#[derive(Clone)]
pub struct Uploads {
    executor: Executor,
    store: Arc<dyn ReadingStore>,
    at_once: Arc<Semaphore>,
    of_account: Shares,
}

/// Held while an upload is taken.
struct Permit {
    _of_all: OwnedSemaphorePermit,
    _of_account: Share,
}

impl Uploads {
    /// At most so many at once; a quarter of them of one account.
    pub fn new(executor: Executor, store: &Store, at_once: usize) -> Self {
        let of_account = Shares::new(OF_ACCOUNT, at_once.div_ceil(4));
        Self { executor, store: store.readings.clone(), at_once: Arc::new(Semaphore::new(at_once)), of_account }
    }

    /// What has to be done beside taking them: telling the log of what was left behind, and following it for what becomes of what is
    /// stored apart.
    pub fn attend(&self, store: &Store, shutdown: &CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let telling = recording::tell_what_is_left(self.executor.clone(), store.clone(), shutdown.clone());
        let following = follow::run(store.clone(), shutdown.clone());
        async {
            tokio::join!(telling, following);
        }
    }

    fn permit(&self, principal: &Principal) -> Result<Permit, Problem> {
        let share = self.of_account.take(&principal.username)?;
        let full = |_| Problem::unavailable("too-many-uploads", "Too many uploads at once.", RETRY_SECONDS);
        Ok(Permit { _of_all: self.at_once.clone().try_acquire_owned().map_err(full)?, _of_account: share })
    }

    /// Whether somebody may send readings of the patient.
    async fn admit(
        &self,
        principal: &Principal,
        patient_id: PatientId,
        trial_id: TrialId,
    ) -> Result<References, Problem> {
        let begin = (patient_id, BeginUpload { trial_id }).into();
        sending::send(&self.executor, principal, begin, Sent::Anew).await.map_err(problems::from_execute)?;
        let terms = recording::terms(&self.executor, patient_id, trial_id, Vec::new()).await;
        Ok(terms.map_err(problems::from_execute)?.participant.references())
    }

    async fn begin(
        &self,
        principal: &Principal,
        patient_id: PatientId,
        parameters: &Parameters,
        length: Option<u64>,
    ) -> Result<Upload, Problem> {
        let about = self.admit(principal, patient_id, parameters.trial_id).await?;
        let site_id = about.site_id.ok_or_else(Problem::internal)?;
        let upload = NewUpload {
            upload_id: Uuid::now_v7(),
            trial_id: parameters.trial_id,
            site_id,
            patient_id,
            parameters: serde_json::to_string(parameters).map_err(|_| Problem::internal())?,
            sent_by: principal.username.to_string(),
            length,
            begun_at: clock::now(),
        };
        self.store.begin(&upload).await.map_err(problems::from_readings)?;
        let counts = Counts::default();
        let (header, rest, skipping, ended_at) = (None, Vec::new(), false, None);
        Ok(Upload { upload, header, received: 0, rest, skipping, counts, ended_at })
    }

    /// Takes what is sent in a task of its own: whoever goes away leaves behind what came of it.
    async fn take(
        &self,
        principal: Principal,
        upload: Upload,
        parameters: Parameters,
        ends: bool,
        source: impl AsyncRead + Send + Unpin + 'static,
        permit: Permit,
    ) -> Result<Taken, Problem> {
        let (executor, store) = (self.executor.clone(), self.store.clone());
        let taking = Taking { executor, store, principal, upload, parameters, ends };
        let taken = tokio::spawn(async move {
            let _permit = permit;
            taking.run(source).await
        });
        taken.await.map_err(|_| Problem::internal())
    }

    /// An upload with what was not taken of it, behind a line.
    async fn found(&self, upload_id: Uuid, after: u64, limit: u32) -> Result<(Upload, Vec<RefusedLine>), Problem> {
        let upload = self.store.upload(upload_id).await.map_err(problems::from_readings)?;
        let upload = upload.ok_or_else(not_found)?;
        let refused = self.store.refused(upload_id, after, limit).await.map_err(problems::from_readings)?;
        Ok((upload, refused))
    }

    /// An upload that lies in sight of somebody.
    async fn seen(&self, principal: &Principal, id: &str) -> Result<Upload, Problem> {
        let upload_id = Uuid::try_parse(id)
            .map_err(|_| Problem::invalid("id", "malformed", "The id in the address must be a UUID."))?;
        let upload = self.store.upload(upload_id).await.map_err(problems::from_readings)?;
        let is_seen = |upload: &Upload| {
            let about = &upload.upload;
            let about = References::subject(about.trial_id, about.site_id, about.patient_id);
            principal.sight.on(Area::Clinical).covers(&about)
        };
        upload.filter(is_seen).ok_or_else(not_found)
    }
}

fn not_found() -> Problem {
    Problem::not_found("upload-not-found", "There is no such upload.")
}

/// The routes; each needs an authenticated [`Principal`], and reads its body itself.
pub fn router(uploads: Uploads) -> Router {
    Router::new()
        .route("/v1/patients/{id}/readings", post(rest::send).options(tus::options))
        .route("/v1/uploads/{id}", get(rest::status).head(tus::offset).patch(tus::resume).options(tus::options))
        .route("/v1/uploads/{id}/refused", get(report::refused))
        .with_state(uploads)
}
