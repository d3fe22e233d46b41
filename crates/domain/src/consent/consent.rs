//! The consent of one patient to one trial.

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::consent::{ConsentEvent, ConsentFormPresented, ConsentSigned, ConsentWithdrawn, Signer, WithdrawalScope};
use events::envelope::References;
use events::ids::{ConsentId, PatientId, SiteId, TrialId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::site::{Site, SiteError};
use crate::trial::ConsentForm;
use crate::validate::{self, lies_before};
use crate::when::When;
use crate::{patient, trial};

/// A consent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consent {
    /// Nothing was presented.
    #[default]
    Absent,
    /// A form was presented; none is in force.
    Presented(Presented),
    /// A form was signed and is in force; perhaps a newer one was presented since.
    InForce(Signed, Option<Presented>),
    /// Withdrawn; perhaps a form was presented since.
    Withdrawn(Withdrawn, Option<Presented>),
}

/// A consent that was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// What had been signed.
    pub signed: Signed,
    /// When it was withdrawn.
    pub withdrawn_at: DateTime<Utc>,
}

/// A form that was presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presented {
    /// The site that informed the patient.
    pub site_id: SiteId,
    /// The form's version.
    pub form_version: String,
    /// The form's language.
    pub language: String,
    /// SHA-256 of the form's text.
    pub text_sha256: String,
    /// When it was presented.
    pub presented_at: DateTime<Utc>,
}

/// A form that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The site that informed the patient.
    pub site_id: SiteId,
    /// The form's version.
    pub form_version: String,
    /// The form's language.
    pub language: String,
    /// When the first signature of the consent in force was given.
    pub signed_at: DateTime<Utc>,
    /// How many signatures there were.
    pub signature_number: u32,
}

/// Shows a consent form to the patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresentConsentForm {
    /// The trial.
    pub trial_id: TrialId,
    /// The site that informs the patient.
    pub site_id: SiteId,
    /// The version of the form; it must be the one in force.
    pub form_version: String,
    /// The language of the form.
    pub language: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Signs the consent form that was presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignConsent {
    /// The trial.
    pub trial_id: TrialId,
    /// The version of the form; it must be the one that was presented and is in force.
    pub form_version: String,
    /// The language of the form.
    pub language: String,
    /// Who signs; by default the participant.
    #[serde(default = "participant")]
    pub signer: Signer,
    /// When the signature was given; by default now.
    pub signed_at: When,
}

const fn participant() -> Signer {
    Signer::Participant
}

/// Withdraws a consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawConsent {
    /// The trial.
    pub trial_id: TrialId,
    /// How far the withdrawal goes.
    pub scope: WithdrawalScope,
    /// Why, where the patient says so.
    #[serde(default)]
    pub reason: Option<String>,
    /// When the patient withdrew; by default now.
    pub withdrawn_at: When,
}

rules! {
    /// Why a command to a consent is refused.
    pub enum ConsentError {
        FormNotInForce(version: String) => FORM_NOT_IN_FORCE = "consent-form-not-in-force":
            "version `{0}` is not the consent form in force in this language on that day", field "form_version";
        NotPresented => NOT_PRESENTED = "consent-form-not-presented": "this form was not presented to the patient";
        PresentedLater(on: chrono::NaiveDate) => PRESENTED_LATER = "consent-form-presented-later":
            "the form was presented on {0}, later than this signature", field "signed_at";
        WithdrawnLater(on: chrono::NaiveDate) => WITHDRAWN_LATER = "consent-withdrawn-later":
            "the consent was withdrawn on {0}, later than this signature", field "signed_at";
        AlreadySigned => ALREADY_SIGNED = "consent-already-signed": "the patient signed this form already";
        NotInForce => NOT_IN_FORCE = "consent-not-in-force": "no consent of the patient to this trial is in force";
        SignedLater(on: chrono::NaiveDate) => SIGNED_LATER = "consent-signed-later":
            "the consent was signed on {0}, later than this";
        WithdrawnBeforeSigned => WITHDRAWN_BEFORE_SIGNED = "consent-withdrawn-before-signed":
            "the consent cannot be withdrawn before it was signed", field "withdrawn_at";
    }
}

impl Command for PresentConsentForm {
    type Target = PatientId;
    const NAME: &'static str = "PresentConsentForm";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        [needs(patient_id, self.trial_id).as_slice(), &[Need::of::<Site>(self.site_id)]].concat()
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::code("form_version", &self.form_version)?;
        validate::language("language", &self.language)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at")?;
        patient::registered(facts, patient_id, None)?;
        let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
        let site = facts.get::<Site>(self.site_id)?;
        if site.identity(self.site_id, Some("site_id"))?.trial_id != self.trial_id {
            return Err(SiteError::OtherTrial.into());
        }
        site.require_active()?;
        let form = form_in_force(course, &self.form_version, &self.language, occurred_at)?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        let references = References::subject(self.trial_id, self.site_id, patient_id);
        let decision = Decision::new(references, occurred_at);
        let presented = match facts.get::<Consent>(consent_id)? {
            Consent::Absent => None,
            Consent::Presented(presented) => Some(presented),
            Consent::InForce(signed, _) if signed.is_of(form) => return Err(ConsentError::AlreadySigned.into()),
            Consent::InForce(_, presented) | Consent::Withdrawn(_, presented) => presented.as_ref(),
        };
        if presented.is_some_and(|presented| presented.is_of(form) && presented.site_id == self.site_id) {
            return Ok(decision);
        }
        let presented = ConsentFormPresented {
            patient_id,
            trial_id: self.trial_id,
            site_id: self.site_id,
            form_version: form.form_version.clone(),
            language: form.language.clone(),
            text_sha256: form.text_sha256.clone(),
        };
        Ok(decision.append(consent_id, presented))
    }
}

impl Command for SignConsent {
    type Target = PatientId;
    const NAME: &'static str = "SignConsent";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        needs(patient_id, self.trial_id).into()
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::code("form_version", &self.form_version)?;
        validate::language("language", &self.language)?;
        let signed_at = self.signed_at.time(context, "signed_at")?;
        patient::registered(facts, patient_id, None)?;
        let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
        let form = form_in_force(course, &self.form_version, &self.language, signed_at)?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        let consent = facts.get::<Consent>(consent_id)?;
        let (presented, signatures) = match consent {
            Consent::Absent => return Err(ConsentError::NotPresented.into()),
            Consent::InForce(signed, _) if signed.is_of(form) => return Err(ConsentError::AlreadySigned.into()),
            Consent::Presented(presented) => (Some(presented), 0),
            Consent::InForce(signed, presented) => (presented.as_ref(), signed.signature_number),
            Consent::Withdrawn(withdrawn, presented) => {
                if lies_before(signed_at, withdrawn.withdrawn_at) {
                    return Err(ConsentError::WithdrawnLater(withdrawn.withdrawn_at.date_naive()).into());
                }
                (presented.as_ref(), withdrawn.signed.signature_number)
            }
        };
        let presented = presented.filter(|presented| presented.is_of(form)).ok_or(ConsentError::NotPresented)?;
        if lies_before(signed_at, presented.presented_at) {
            return Err(ConsentError::PresentedLater(presented.presented_at.date_naive()).into());
        }
        if !matches!(consent, Consent::InForce(..)) {
            // Whoever takes part may sign a new form also when nobody new may enter.
            course.require_open()?;
            facts.get::<Site>(presented.site_id)?.require_active()?;
        }
        let signed = ConsentSigned {
            patient_id,
            trial_id: self.trial_id,
            site_id: presented.site_id,
            form_version: form.form_version.clone(),
            language: form.language.clone(),
            text_sha256: form.text_sha256.clone(),
            signer: self.signer,
            signed_at,
            signature_number: signatures + 1,
            enrolment_mode: course.enrolment_mode,
        };
        Ok(Decision::new(References::subject(self.trial_id, presented.site_id, patient_id), signed_at)
            .append(consent_id, signed))
    }
}

impl Command for WithdrawConsent {
    type Target = PatientId;
    const NAME: &'static str = "WithdrawConsent";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        if let Some(reason) = &self.reason {
            validate::prose("reason", reason)?;
        }
        let withdrawn_at = self.withdrawn_at.time(context, "withdrawn_at")?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        let Consent::InForce(signed, _) = facts.get::<Consent>(consent_id)? else {
            return Err(ConsentError::NotInForce.into());
        };
        if lies_before(withdrawn_at, signed.signed_at) {
            return Err(ConsentError::WithdrawnBeforeSigned.into());
        }
        let withdrawn = ConsentWithdrawn {
            patient_id,
            trial_id: self.trial_id,
            scope: self.scope,
            reason: self.reason.clone(),
            withdrawn_at,
        };
        Ok(Decision::new(References::subject(self.trial_id, signed.site_id, patient_id), withdrawn_at)
            .append(consent_id, withdrawn))
    }
}

/// What every act of consent looks at.
fn needs(patient_id: PatientId, trial_id: TrialId) -> [Need; 3] {
    let consent_id = ConsentId::of(patient_id, trial_id);
    [Need::of::<patient::Patient>(patient_id), Need::of::<trial::Trial>(trial_id), Need::of::<Consent>(consent_id)]
}

fn form_in_force<'course>(
    course: &'course trial::RegisteredTrial,
    form_version: &str,
    language: &str,
    time: DateTime<Utc>,
) -> Result<&'course ConsentForm, ConsentError> {
    let form = course.form_in_force(language, time.date_naive());
    let form = form.filter(|form| form.form_version == form_version);
    form.ok_or_else(|| ConsentError::FormNotInForce(form_version.to_owned()))
}

impl Presented {
    fn is_of(&self, form: &ConsentForm) -> bool {
        self.form_version == form.form_version && self.language == form.language
    }
}

impl Signed {
    fn is_of(&self, form: &ConsentForm) -> bool {
        self.form_version == form.form_version && self.language == form.language
    }
}

impl Consent {
    /// The signature in force, if something that happens at `time` is covered by it.
    ///
    /// # Errors
    /// [`ConsentError::NotInForce`], [`ConsentError::SignedLater`].
    pub fn require_in_force(&self, time: DateTime<Utc>) -> Result<&Signed, ConsentError> {
        match self {
            Consent::InForce(signed, _) if lies_before(time, signed.signed_at) => {
                Err(ConsentError::SignedLater(signed.signed_at.date_naive()))
            }
            Consent::InForce(signed, _) => Ok(signed),
            Consent::Absent | Consent::Presented(_) | Consent::Withdrawn(..) => Err(ConsentError::NotInForce),
        }
    }
}

impl Aggregate for Consent {
    type Id = ConsentId;
    type Event = ConsentEvent;
    const SNAPSHOT_VERSION: u16 = 2;

    fn evolve(self, event: &ConsentEvent, occurred_at: DateTime<Utc>) -> Self {
        match event {
            ConsentEvent::ConsentFormPresented(event) => {
                let presented = Presented {
                    site_id: event.site_id,
                    form_version: event.form_version.clone(),
                    language: event.language.clone(),
                    text_sha256: event.text_sha256.clone(),
                    presented_at: occurred_at,
                };
                match self {
                    Consent::Absent | Consent::Presented(_) => Consent::Presented(presented),
                    Consent::InForce(signed, _) => Consent::InForce(signed, Some(presented)),
                    Consent::Withdrawn(withdrawn, _) => Consent::Withdrawn(withdrawn, Some(presented)),
                }
            }
            ConsentEvent::ConsentSigned(event) => {
                // A newer form does not take away the cover of the earlier signature.
                let signed_at = match &self {
                    Consent::InForce(earlier, _) => earlier.signed_at.min(event.signed_at),
                    Consent::Absent | Consent::Presented(_) | Consent::Withdrawn(..) => event.signed_at,
                };
                let signed = Signed {
                    site_id: event.site_id,
                    form_version: event.form_version.clone(),
                    language: event.language.clone(),
                    signed_at,
                    signature_number: event.signature_number,
                };
                Consent::InForce(signed, None)
            }
            ConsentEvent::ConsentWithdrawn(event) => match self {
                Consent::InForce(signed, _) => {
                    Consent::Withdrawn(Withdrawn { signed, withdrawn_at: event.withdrawn_at }, None)
                }
                // Not decided by any command; the log is read all the same.
                Consent::Absent | Consent::Presented(_) | Consent::Withdrawn(..) => self,
            },
        }
    }
}
