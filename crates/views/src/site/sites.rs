//! The sites of all trials.

use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::envelope::Envelope;
use events::ids::{SiteId, TrialId};
use events::site::SiteEvent;
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Sites;

/// A site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    site_id: SiteId,
    trial_id: TrialId,
    site: String,
    name: String,
    country: Option<String>,
    status: String,
    enrolment_cap: Option<u32>,
    investigator: Option<String>,
}

impl View for Sites {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "sites",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site", ColumnKind::Text),
            column("status", ColumnKind::Text),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Site(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::Site(event) = event else { return document };
        match event {
            SiteEvent::SiteRegistered(registered) => Some(Document {
                site_id: SiteId::from(envelope.stream.id),
                trial_id: registered.trial_id,
                site: registered.code.clone(),
                name: registered.name.clone(),
                country: registered.country.clone(),
                status: "registered".to_owned(),
                enrolment_cap: None,
                investigator: None,
            }),
            SiteEvent::SiteActivated(activated) => document.map(|document| Document {
                status: "active".to_owned(),
                enrolment_cap: Some(activated.enrolment_cap),
                investigator: Some(activated.investigator.clone()),
                ..document
            }),
            SiteEvent::SiteSuspended(_) => {
                document.map(|document| Document { status: "suspended".to_owned(), ..document })
            }
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![document.trial_id.uuid().into(), document.site.clone().into(), document.status.clone().into()]
    }
}
