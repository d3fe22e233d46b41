//! Consents: which form is in force for whom.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::consent::{ConsentEvent, Signer, WithdrawalScope};
use events::envelope::Envelope;
use events::ids::{ConsentId, PatientId, SiteId, TrialId};
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Consents;

/// The consent of one patient to one trial, with everything that was signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    consent_id: ConsentId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    status: String,
    presented_version: Option<String>,
    signatures: Vec<Signature>,
    withdrawn_at: Option<DateTime<Utc>>,
    withdrawal_scope: Option<WithdrawalScope>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Signature {
    form_version: String,
    language: String,
    text_sha256: String,
    signer: Signer,
    signed_at: DateTime<Utc>,
}

impl View for Consents {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "consents",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site_id", ColumnKind::Uuid),
            column("patient_id", ColumnKind::Uuid),
            column("status", ColumnKind::Text),
            column("signed_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Consent(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::Consent(event) = event else { return document };
        match event {
            ConsentEvent::ConsentFormPresented(presented) => {
                let mut document = document.unwrap_or_else(|| Document {
                    consent_id: ConsentId::from(envelope.stream.id),
                    patient_id: presented.patient_id,
                    trial_id: presented.trial_id,
                    site_id: presented.site_id,
                    status: "presented".to_owned(),
                    presented_version: None,
                    signatures: Vec::new(),
                    withdrawn_at: None,
                    withdrawal_scope: None,
                });
                document.presented_version = Some(presented.form_version.clone());
                Some(document)
            }
            ConsentEvent::ConsentSigned(signed) => {
                let mut document = document?;
                document.signatures.push(Signature {
                    form_version: signed.form_version.clone(),
                    language: signed.language.clone(),
                    text_sha256: signed.text_sha256.clone(),
                    signer: signed.signer,
                    signed_at: signed.signed_at,
                });
                let site_id = signed.site_id;
                let status = "in-force".to_owned();
                Some(Document { status, site_id, withdrawn_at: None, withdrawal_scope: None, ..document })
            }
            ConsentEvent::ConsentWithdrawn(withdrawn) => document.map(|document| Document {
                status: "withdrawn".to_owned(),
                withdrawn_at: Some(withdrawn.withdrawn_at),
                withdrawal_scope: Some(withdrawn.scope),
                ..document
            }),
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![
            document.trial_id.uuid().into(),
            document.site_id.uuid().into(),
            document.patient_id.uuid().into(),
            document.status.clone().into(),
            document.signatures.last().map(|signature| signature.signed_at).into(),
        ]
    }
}
