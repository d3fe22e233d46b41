//! Events of a `consent` stream: one patient's consent to one trial.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::{Change, OptionalChange};
use crate::ids::{PatientId, SiteId, TrialId};
use crate::trial::EnrolmentMode;
use crate::values::Prose;

/// Who signed (ICH E6(R3), 2.8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signer {
    /// The participant.
    Participant,
    /// The participant's legally acceptable representative.
    LegalRepresentative,
}

/// How far a withdrawal of consent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WithdrawalScope {
    /// No further data are collected; what was collected stays in use.
    FurtherData,
    /// No further use at all, within the limits of the law.
    AllUse,
}

/// What a signature does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignaturePurpose {
    /// The patient consents for the first time.
    Initial,
    /// The patient, whose consent is in force, signs another form.
    Reconsent,
    /// The patient consents anew after a withdrawal.
    Renewal,
}

/// A consent form was shown to the patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentFormPresented {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site that informs the patient.
    pub site_id: SiteId,
    /// Version of the form.
    pub form_version: String,
    /// Language of the form.
    pub language: String,
    /// SHA-256 of the form's text.
    pub text_sha256: String,
    /// A newer version that was in force on that day in another language only: the translation is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer_version: Option<String>,
}

/// The consent form was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentSigned {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site that informed the patient.
    pub site_id: SiteId,
    /// Version of the form.
    pub form_version: String,
    /// Language of the form.
    pub language: String,
    /// SHA-256 of the form's text: what exactly was signed.
    pub text_sha256: String,
    /// Who signed.
    pub signer: Signer,
    /// When the signature was given.
    pub signed_at: DateTime<Utc>,
    /// 1 for the patient's first signature in this trial, then up by one.
    pub signature_number: u32,
    /// What it does.
    pub purpose: SignaturePurpose,
    /// How the trial's participants reach enrolment.
    pub enrolment_mode: EnrolmentMode,
}

/// The patient did not want to sign the form that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentDeclined {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site that informed the patient.
    pub site_id: SiteId,
    /// Version of the form.
    pub form_version: String,
    /// Language of the form.
    pub language: String,
    /// Why, where the patient said so.
    pub reason: Option<Prose>,
    /// When the patient declined.
    pub declined_at: DateTime<Utc>,
}

/// The consent was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentWithdrawn {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// How far the withdrawal goes.
    pub scope: WithdrawalScope,
    /// Why, where the patient said so.
    pub reason: Option<Prose>,
    /// When the patient withdrew.
    pub withdrawn_at: DateTime<Utc>,
    /// Whether it was brought in from a record of the past: nobody is told of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// What was recorded of a signature, or of the withdrawal after it, was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentCorrected {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// Which of the patient's signatures, from 1.
    pub signature_number: u32,
    /// What is known now; a field that is absent did not change.
    pub changes: ConsentFields,
    /// What the same fields were.
    pub previous: ConsentFields,
    /// Why it was corrected.
    pub reason: Prose,
}

/// Fields of a signature and of the withdrawal after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentFields {
    /// Version of the form.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub form_version: Change<String>,
    /// Language of the form.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub language: Change<String>,
    /// SHA-256 of the form's text; it follows from version and language.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub text_sha256: Change<String>,
    /// Who signed.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub signer: Change<Signer>,
    /// When the form was shown.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub presented_at: Change<DateTime<Utc>>,
    /// When the signature was given.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub signed_at: Change<DateTime<Utc>>,
    /// How far the withdrawal goes.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub withdrawal_scope: Change<WithdrawalScope>,
    /// Why the patient withdrew.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub withdrawal_reason: OptionalChange<Prose>,
    /// When the patient withdrew.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub withdrawn_at: Change<DateTime<Utc>>,
}

event_set! {
    /// What can happen to a consent.
    pub enum ConsentEvent in Consent {
        ConsentFormPresented = 1;
        ConsentSigned = 1;
        ConsentDeclined = 1;
        ConsentWithdrawn = 1;
        ConsentCorrected = 1;
    }
}
