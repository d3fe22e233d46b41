//! The read side: lists and documents of views, history, event stream.
//!
//! Collections and their parameters come from what each view declares of itself (crate
//! `views`); histories are read from the log. What only types say, such as where treatment
//! allocation stands, `codegen` writes to `declared.rs`.

mod allocation;
pub mod answers;
mod blinding;
mod changes;
mod contract;
mod csv;
#[rustfmt::skip]
mod declared;
mod description;
mod disclosure;
mod eligibility;
mod entity_tag;
mod entry;
mod gaze;
mod history;
mod identity;
pub mod knowledge;
mod listing;
mod lists;
mod pages;
mod parameters;
mod patient_state;
mod personal;
mod place;
mod protocol;
#[rustfmt::skip]
mod published;
mod readings;
mod render;
mod reports;
mod search;
pub mod sse;
mod stream;
mod unblinding;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use event_store::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use gaze::Eyes;
use service::accounts::Accounts;
use service::disclosures::Register;
use service::inquiries::Inquiries;
pub use stream::{EventStreams, StreamsMax};

/// What the read side needs.
#[derive(Clone)]
pub struct QueryApi {
    store: Store,
    at_least_patience: Duration,
    streams: EventStreams,
    eyes: Eyes,
    disclosures: Arc<dyn Register>,
    inquiries: Arc<dyn Inquiries>,
}

impl QueryApi {
    /// Where it reads.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Reads from `store`, and opens by its sealer; who may see what, `accounts` tell, and who was shown who a person is, `disclosures`
    /// are told; `inquiries` answer what no view does. `at_least` waits for so long, at most so many follow the log at once, and those end when
    /// `shutdown` is cancelled.
    pub fn new(
        store: Store,
        accounts: Accounts,
        disclosures: Arc<dyn Register>,
        inquiries: Arc<dyn Inquiries>,
        at_least_patience: Duration,
        max: StreamsMax,
        shutdown: CancellationToken,
    ) -> Self {
        let eyes = Eyes::new(&store);
        let streams = EventStreams::new(store.log.clone(), accounts, eyes.clone(), max, shutdown);
        Self { store, at_least_patience, streams, eyes, disclosures, inquiries }
    }

    /// Those who follow the log.
    pub const fn streams(&self) -> &EventStreams {
        &self.streams
    }
}

/// The routes; each needs an authenticated [`service::auth::Principal`].
pub fn router(api: QueryApi) -> Router {
    let mut router = Router::new();
    for listing in listing::LISTINGS.iter() {
        let list = move |state, principal, uri, headers| lists::list(listing, state, principal, uri, headers);
        let one = move |state, principal, path, uri, headers| lists::one(listing, state, principal, path, uri, headers);
        let address = listing.collection.address;
        router = router.route(&format!("/v1/{address}"), get(list)).route(&format!("/v1/{address}/{{id}}"), get(one));
    }
    router
        .route("/v1/trials/{id}/enrolment", get(reports::enrolment))
        .route("/v1/trials/{id}/arms", get(protocol::arms))
        .route("/v1/trials/{id}/eligibility", get(protocol::eligibility))
        .route("/v1/trials/{id}/reading-rules", get(protocol::reading_rules))
        .route("/v1/trials/{id}/consent-forms", get(protocol::consent_forms))
        .route("/v1/trials/{id}/questionnaires", get(protocol::questionnaires))
        .route("/v1/trials/{id}/questionnaires/{instrument}", get(protocol::questionnaire))
        .route("/v1/patients/by-national-id", get(search::by_national_id))
        .route("/v1/patients/{id}/eligibility", get(eligibility::check))
        .route("/v1/patients/{id}/readings", get(readings::page))
        .route("/v1/patients/{id}/readings/buckets", get(readings::buckets))
        .route("/v1/patients/{id}/identity", get(identity::patient))
        .route("/v1/subjects/{id}/allocation", get(unblinding::allocation))
        .route("/v1/patients/{id}/timeline", get(reports::timeline))
        .route("/v1/patients/{id}/history", get(history::patient))
        .route("/v1/patients/{id}/history/export", get(history::export))
        .route("/v1/patients/{id}/state", get(patient_state::patient))
        .route("/v1/views", get(reports::views))
        .route("/v1/events", get(stream::stream))
        .route("/v1/events/{id}", get(stream::one))
        .route("/v1/events/{id}/payload", get(stream::payload))
        .with_state(api)
}

/// Routes that need no token: the description of the interface, and of events; and the public keys by which published
/// events are verified, where this process was told some.
pub fn public_router(event_keys: Option<Value>) -> Router {
    let event_keys = move |uri| contract::event_keys(event_keys.clone(), uri);
    Router::new()
        .route("/v1/event-keys", get(event_keys))
        .route("/openapi.json", get(description::document))
        .route("/docs", get(description::page))
        .route("/asyncapi.json", get(contract::document))
        .route("/v1/schemas", get(contract::list))
        .route("/v1/schemas/envelope", get(contract::envelope))
        .route("/v1/schemas/{kind}/{name}/{version}", get(contract::schema))
}
