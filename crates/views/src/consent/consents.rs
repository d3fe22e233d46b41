//! Consents: which form is in force for whom.

use authority::Area;
use chrono::{DateTime, Utc};
use events::consent::{ConsentCorrected, ConsentEvent, SignaturePurpose, Signer, WithdrawalScope};
use events::envelope::Envelope;
use events::ids::{ConsentId, PatientId, SiteId, StreamType, TrialId};
use events::registry::AnyEvent;
use events::values::Prose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, name_of, text, time, uuid};
use crate::table::{Collection, PATIENT, SITE, STATUS, Scope, Sort, TRIAL, Table};
use crate::view::View;

/// The view.
pub struct Consents;

/// The consent of one patient to one trial, with everything that was signed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Consent {
    consent_id: ConsentId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    status: ConsentStatus,
    presented_version: Option<String>,
    signatures: Vec<ConsentSignature>,
    withdrawn_at: Option<DateTime<Utc>>,
    withdrawal_scope: Option<WithdrawalScope>,
    /// Forms that the patient did not want to sign.
    declined: Vec<DeclinedForm>,
    /// From each first signature to the withdrawal after it: the time that the consent covers.
    covered: Vec<CoveredTime>,
}

/// A form that the patient did not want to sign.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct DeclinedForm {
    form_version: String,
    language: String,
    declined_at: DateTime<Utc>,
    reason: Option<Prose>,
}

/// A span of time that a consent covers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
struct CoveredTime {
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

/// Whether a consent holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ConsentStatus {
    /// A form was shown and not signed yet.
    Presented,
    /// Signed.
    InForce,
    /// The form that was shown was declined; none was signed.
    Declined,
    /// Withdrawn.
    Withdrawn,
}

/// What was signed, by whom, when.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct ConsentSignature {
    signature_number: u32,
    /// Which of the covered times it is of, from 0.
    covered: usize,
    form_version: String,
    language: String,
    text_sha256: String,
    signer: Signer,
    signed_at: DateTime<Utc>,
}

impl Consent {
    /// What is covered follows from the signatures.
    fn cover(&mut self) {
        for (index, covered) in self.covered.iter_mut().enumerate() {
            let signatures = self.signatures.iter().filter(|signature| signature.covered == index);
            covered.from = signatures.map(|signature| signature.signed_at).min().unwrap_or(covered.from);
        }
    }

    fn correct(&mut self, corrected: &ConsentCorrected) {
        let changes = &corrected.changes;
        let mut signatures = self.signatures.iter_mut();
        let Some(signature) = signatures.find(|known| known.signature_number == corrected.signature_number) else {
            return;
        };
        changes.form_version.apply(&mut signature.form_version);
        changes.language.apply(&mut signature.language);
        changes.text_sha256.apply(&mut signature.text_sha256);
        changes.signer.apply(&mut signature.signer);
        changes.signed_at.apply(&mut signature.signed_at);
        let index = signature.covered;
        let is_last = index + 1 == self.covered.len();
        if let Some(withdrawn_at) = changes.withdrawn_at.value()
            && let Some(covered) = self.covered.get_mut(index)
        {
            covered.until = Some(*withdrawn_at);
        }
        if is_last && self.withdrawn_at.is_some() {
            self.withdrawn_at = self.covered.get(index).and_then(|covered| covered.until);
            self.withdrawal_scope = changes.withdrawal_scope.value().copied().or(self.withdrawal_scope);
        }
        self.cover();
    }
}

impl Table for Consents {
    type Document = Consent;
    const NAME: &'static str = "consents";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Consent>] = &[
        uuid("trial_id", |consent| consent.trial_id.uuid().into()),
        uuid("site_id", |consent| consent.site_id.uuid().into()),
        uuid("patient_id", |consent| consent.patient_id.uuid().into()),
        text("status", |consent| name_of(&consent.status)),
        time("signed_at", |consent| consent.signatures.last().map(|signature| signature.signed_at)),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "signed_at"],
        &["trial_id", "status", "signed_at"],
        &["site_id", "signed_at"],
        &["patient_id", "signed_at"],
        &["status", "signed_at"],
        &["signed_at"],
    ];
    const COLLECTION: Collection =
        Collection::new("consents", "consent", &[TRIAL, SITE, PATIENT, STATUS], &[Sort::by_greatest("signed_at")]);
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for Consents {
    const OF: StreamType = StreamType::Consent;

    fn fold(document: Option<Consent>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Consent> {
        let AnyEvent::Consent(event) = event else { return document };
        match event {
            ConsentEvent::ConsentFormPresented(presented) => {
                let mut document = document.unwrap_or_else(|| Consent {
                    consent_id: ConsentId::from(envelope.stream.id),
                    patient_id: presented.patient_id,
                    trial_id: presented.trial_id,
                    site_id: presented.site_id,
                    status: ConsentStatus::Presented,
                    presented_version: None,
                    signatures: Vec::new(),
                    withdrawn_at: None,
                    withdrawal_scope: None,
                    declined: Vec::new(),
                    covered: Vec::new(),
                });
                if matches!(document.status, ConsentStatus::Declined) {
                    document.status = ConsentStatus::Presented;
                }
                document.presented_version = Some(presented.form_version.clone());
                Some(document)
            }
            ConsentEvent::ConsentSigned(signed) => {
                let mut document = document?;
                if signed.purpose != SignaturePurpose::Reconsent || document.covered.is_empty() {
                    document.covered.push(CoveredTime { from: signed.signed_at, until: None });
                }
                document.signatures.push(ConsentSignature {
                    signature_number: signed.signature_number,
                    covered: document.covered.len() - 1,
                    form_version: signed.form_version.clone(),
                    language: signed.language.clone(),
                    text_sha256: signed.text_sha256.clone(),
                    signer: signed.signer,
                    signed_at: signed.signed_at,
                });
                document.cover();
                let site_id = signed.site_id;
                let status = ConsentStatus::InForce;
                Some(Consent { status, site_id, withdrawn_at: None, withdrawal_scope: None, ..document })
            }
            ConsentEvent::ConsentDeclined(declined) => {
                let mut document = document?;
                if matches!(document.status, ConsentStatus::Presented) {
                    document.status = ConsentStatus::Declined;
                }
                document.declined.push(DeclinedForm {
                    form_version: declined.form_version.clone(),
                    language: declined.language.clone(),
                    declined_at: declined.declined_at,
                    reason: declined.reason.clone(),
                });
                Some(document)
            }
            ConsentEvent::ConsentWithdrawn(withdrawn) => {
                let mut document = document?;
                if let Some(covered) = document.covered.last_mut() {
                    covered.until = Some(withdrawn.withdrawn_at);
                }
                document.status = ConsentStatus::Withdrawn;
                document.withdrawn_at = Some(withdrawn.withdrawn_at);
                document.withdrawal_scope = Some(withdrawn.scope);
                Some(document)
            }
            ConsentEvent::ConsentCorrected(corrected) => {
                let mut document = document?;
                document.correct(corrected);
                Some(document)
            }
        }
    }
}
