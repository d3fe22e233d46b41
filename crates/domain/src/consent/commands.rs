//! Acts of consent: showing a form, signing, declining, withdrawing.

use chrono::NaiveDate;
use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::consent::{
    ConsentDeclined, ConsentFormPresented, ConsentSigned, ConsentWithdrawn, SignaturePurpose, Signer, WithdrawalScope,
};
use events::envelope::References;
use events::identifier;
use events::ids::{ConsentId, PatientId, SiteId, SubjectId, TrialId};
use events::patient::PatientAdmitted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Consent, ConsentError, Presented};
use crate::enrolment::subject::{Participation, Subject};
use crate::place::Place;
use crate::site::{Site, SiteError};
use crate::trial::ConsentForm;
use crate::validate::{self, require_import};
use crate::when::When;
use crate::{patient, trial};

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

/// Records that the patient did not want to sign the form that was presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclineConsent {
    /// The trial.
    pub trial_id: TrialId,
    /// Why, where the patient says so.
    #[serde(default)]
    pub reason: Option<String>,
    /// When the patient declined; by default now.
    pub declined_at: When,
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
    /// Brought in from a record of the past, by an integration: nobody is told of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

impl Command for PresentConsentForm {
    type Target = PatientId;
    const NAME: &'static str = "PresentConsentForm";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        [needs(patient_id, self.trial_id).as_slice(), &[Need::of::<Site>(self.site_id)]].concat()
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("form_version", &self.form_version),
            validate::language("language", &self.language),
        ])?;
        let person = patient::registered(facts, patient_id, None)?;
        let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
        let site = facts.get::<Site>(self.site_id)?;
        if site.identity(self.site_id, Some("site_id"))?.trial_id != self.trial_id {
            return Err(SiteError::OtherTrial.into());
        }
        let place = Place::site(facts, self.site_id);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let day = self.occurred_at.day(context, &place)?;
        let form = form_in_force(course, &self.form_version, &self.language, day)?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        let consent = facts.get::<Consent>(consent_id)?;
        let returning = returning(facts, patient_id, self.trial_id)?;
        match consent.in_force() {
            Some(signed) if signed.is_of(form) => return Err(ConsentError::AlreadySigned.into()),
            // Whoever takes part does so at one site, and is asked again also while it takes nobody new.
            Some(signed) if signed.site_id != self.site_id => return Err(ConsentError::AtAnotherSite.into()),
            Some(_) => {}
            None => match returning {
                Some(participation) if participation.site_id != self.site_id => {
                    return Err(ConsentError::AtAnotherSite.into());
                }
                Some(_) => {}
                None => {
                    site.require_active()?;
                }
            },
        }
        let references = References::subject(self.trial_id, self.site_id, patient_id);
        let decision = Decision::new(references, occurred_at);
        // Shown earlier than was thought is told.
        let is_same = |presented: &Presented| {
            presented.is_of(form) && presented.site_id == self.site_id && presented.presented_at <= occurred_at
        };
        if consent.presented.as_ref().is_some_and(is_same) {
            return Ok(decision);
        }
        let presented = ConsentFormPresented {
            patient_id,
            trial_id: self.trial_id,
            site_id: self.site_id,
            form_version: form.form_version.clone(),
            language: form.language.clone(),
            text_sha256: form.text_sha256.clone(),
            newer_version: course.newer_form(form, day).map(|newer| newer.form_version.clone()),
        };
        let decision = decision.append(consent_id, presented);
        if person.places.contains(self.trial_id, self.site_id) {
            return Ok(decision);
        }
        // From here on the site takes care of the person, too.
        Ok(decision.append(patient_id, PatientAdmitted { trial_id: self.trial_id, site_id: self.site_id }))
    }
}

impl Command for SignConsent {
    type Target = PatientId;
    const NAME: &'static str = "SignConsent";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        needs(patient_id, self.trial_id).into()
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("form_version", &self.form_version),
            validate::language("language", &self.language),
        ])?;
        patient::registered(facts, patient_id, None)?;
        let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        let consent = facts.get::<Consent>(consent_id)?;
        let form = course.form(&self.form_version, &self.language);
        if consent.in_force().is_some_and(|signed| form.is_some_and(|form| signed.is_of(form))) {
            return Err(ConsentError::AlreadySigned.into());
        }
        let presented = consent.presented.as_ref().ok_or(ConsentError::NotPresented)?;
        let place = Place::site(facts, presented.site_id);
        let signed_at = self.signed_at.time(context, "signed_at", &place)?;
        let form = form_in_force(course, &self.form_version, &self.language, self.signed_at.day(context, &place)?)?;
        if !presented.is_of(form) {
            return Err(ConsentError::NotPresented.into());
        }
        place.require_not_before(signed_at, presented.presented_at, ConsentError::PresentedLater)?;
        if let Some(withdrawn_at) = consent.withdrawn_at() {
            place.require_not_before(signed_at, withdrawn_at, ConsentError::WithdrawnLater)?;
        }
        let purpose = consent.next_purpose();
        if purpose != SignaturePurpose::Reconsent && returning(facts, patient_id, self.trial_id)?.is_none() {
            // Whoever takes part, or did so until the withdrawal, may sign a new form also when nobody new may enter.
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
            signature_number: consent.next_signature_number(),
            purpose,
            enrolment_mode: course.enrolment_mode,
        };
        Ok(Decision::new(References::subject(self.trial_id, presented.site_id, patient_id), signed_at)
            .append(consent_id, signed))
    }
}

impl Command for DeclineConsent {
    type Target = PatientId;
    const NAME: &'static str = "DeclineConsent";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        vec![Need::of::<patient::Patient>(patient_id), Need::of::<Consent>(ConsentId::of(patient_id, self.trial_id))]
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::optional_prose("reason", self.reason.as_deref())?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        patient::registered(facts, patient_id, None)?;
        let consent = facts.get::<Consent>(consent_id)?;
        let presented = consent.presented.as_ref().ok_or(ConsentError::NotPresented)?;
        let place = Place::site(facts, presented.site_id);
        let declined_at = self.declined_at.time(context, "declined_at", &place)?;
        place.require_not_before(declined_at, presented.presented_at, ConsentError::PresentedLater)?;
        let declined = ConsentDeclined {
            patient_id,
            trial_id: self.trial_id,
            site_id: presented.site_id,
            form_version: presented.form_version.clone(),
            language: presented.language.clone(),
            reason: self.reason.clone().map(Into::into),
            declined_at,
        };
        Ok(Decision::new(References::subject(self.trial_id, presented.site_id, patient_id), declined_at)
            .append(consent_id, declined))
    }
}

impl Command for WithdrawConsent {
    type Target = PatientId;
    const NAME: &'static str = "WithdrawConsent";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        vec![Need::of::<patient::Patient>(patient_id), Need::of::<Consent>(ConsentId::of(patient_id, self.trial_id))]
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::optional_prose("reason", self.reason.as_deref()),
            require_import(context, self.historical),
        ])?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        patient::registered(facts, patient_id, None)?;
        let signed = facts.get::<Consent>(consent_id)?.in_force().ok_or(ConsentError::NotInForce)?;
        let place = Place::site(facts, signed.site_id);
        let withdrawn_at = self.withdrawn_at.time(context, "withdrawn_at", &place)?;
        place.require_not_before(withdrawn_at, signed.signed_at, ConsentError::WithdrawnBeforeSigned)?;
        let withdrawn = ConsentWithdrawn {
            patient_id,
            trial_id: self.trial_id,
            scope: self.scope,
            reason: self.reason.clone().map(Into::into),
            withdrawn_at,
            historical: self.historical,
        };
        Ok(Decision::new(References::subject(self.trial_id, signed.site_id, patient_id), withdrawn_at)
            .append(consent_id, withdrawn))
    }
}

/// What every act of consent looks at.
fn needs(patient_id: PatientId, trial_id: TrialId) -> [Need; 4] {
    [
        Need::of::<patient::Patient>(patient_id),
        Need::of::<trial::Trial>(trial_id),
        Need::of::<Consent>(ConsentId::of(patient_id, trial_id)),
        Need::of::<Subject>(SubjectId::of(patient_id, trial_id)),
    ]
}

/// Whoever was allocated to an arm and consents anew comes back to be followed up, not to enter: it is the same subject
/// at the same site, and takes no place.
fn returning(facts: &Facts, patient_id: PatientId, trial_id: TrialId) -> Result<Option<&Participation>, Halt> {
    match facts.get::<Subject>(SubjectId::of(patient_id, trial_id))? {
        Subject::Screened(participation) if participation.randomised => Ok(Some(participation)),
        Subject::Screened(_) | Subject::Unscreened => Ok(None),
    }
}

pub(super) fn form_in_force<'course>(
    course: &'course trial::RegisteredTrial,
    form_version: &str,
    language: &str,
    day: NaiveDate,
) -> Result<&'course ConsentForm, ConsentError> {
    let not_in_force = || ConsentError::FormNotInForce(form_version.to_owned());
    if let Some(form) = course.form_in_force(language, day) {
        let is_asked_for = identifier::same(&form.form_version, form_version);
        return if is_asked_for { Ok(form) } else { Err(not_in_force()) };
    }
    let languages = course.languages_in_force(form_version, day);
    Err(if languages.is_empty() {
        not_in_force()
    } else {
        ConsentError::LanguageNotInForce(form_version.to_owned(), languages.join(", "))
    })
}
