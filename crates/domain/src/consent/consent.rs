//! The consent of one patient to one trial.

use chrono::{DateTime, NaiveDate, Utc};
use decider::{Aggregate, Halt};
use events::consent::{ConsentCorrected, ConsentEvent, SignaturePurpose, Signer, WithdrawalScope};
use events::identifier;
use events::ids::{ConsentId, PatientId, SiteId, TrialId};
use events::values::Prose;
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::trial::ConsentForm;

/// A consent: what was signed, and the spans of time that it covers.
///
/// What happens inside a span is covered, whatever came since: data that accrued before a withdrawal belong to the trial
/// (FDA, Data Retention When Subjects Withdraw from FDA-Regulated Clinical Trials, 2008).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Whose it is, to which trial.
    about: Option<(PatientId, TrialId)>,
    /// In order; only the last may be open.
    pub(super) spans: Vec<Span>,
    /// The form that was presented last, while it is neither signed nor declined.
    pub(super) presented: Option<Presented>,
}

/// From a first signature to a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    /// The signature that began it, and those of further forms; in the order in which they were recorded.
    pub(super) signatures: Vec<Signed>,
    /// What ended it.
    pub(super) withdrawal: Option<Withdrawal>,
}

/// A withdrawal of consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Withdrawal {
    pub(super) scope: WithdrawalScope,
    pub(super) reason: Option<Prose>,
    pub(super) withdrawn_at: DateTime<Utc>,
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
    /// 1 for the patient's first signature in this trial, then up by one.
    pub signature_number: u32,
    /// The site that informed the patient.
    pub site_id: SiteId,
    /// The form's version.
    pub form_version: String,
    /// The form's language.
    pub language: String,
    /// SHA-256 of the form's text.
    pub text_sha256: String,
    /// Who signed.
    pub signer: Signer,
    /// When the form was presented.
    pub presented_at: DateTime<Utc>,
    /// When the signature was given.
    pub signed_at: DateTime<Utc>,
}

rules! {
    /// Why a command to a consent is refused.
    pub enum ConsentError {
        FormNotInForce(version: String) => FORM_NOT_IN_FORCE = "consent-form-not-in-force":
            "version `{0}` is not the consent form in force in this language on that day", field "form_version";
        LanguageNotInForce(version: String, languages: String) => LANGUAGE_NOT_IN_FORCE = "consent-form-language-not-in-force":
            "version `{0}` of the consent form is in force on that day in {1} only", field "language";
        NotPresented => NOT_PRESENTED = "consent-form-not-presented": "this form was not presented to the patient";
        PresentedLater(on: NaiveDate) => PRESENTED_LATER = "consent-form-presented-later":
            "the form was presented on {0}, later than this";
        WithdrawnLater(on: NaiveDate) => WITHDRAWN_LATER = "consent-withdrawn-later":
            "the consent was withdrawn on {0}, later than this signature", field "signed_at";
        AlreadySigned => ALREADY_SIGNED = "consent-already-signed": "the patient signed this form already";
        NotInForce => NOT_IN_FORCE = "consent-not-in-force":
            "no consent of the patient to this trial covers that time";
        SignedLater(on: NaiveDate) => SIGNED_LATER = "consent-signed-later":
            "the consent was signed on {0}, later than this";
        WithdrawnBeforeSigned(on: NaiveDate) => WITHDRAWN_BEFORE_SIGNED = "consent-withdrawn-before-signed":
            "the consent cannot be withdrawn before its latest signature of {0}", field "withdrawn_at";
        InForce => IN_FORCE = "consent-in-force": "a consent of the patient to this trial is in force";
        SignatureNotFound => SIGNATURE_NOT_FOUND = "signature-not-found":
            "the patient gave no such signature to this trial", field "signature_number";
        NotWithdrawn => NOT_WITHDRAWN = "consent-not-withdrawn":
            "this signature was followed by no withdrawal that could be corrected", field "withdrawn_at";
        SignedAnew(on: NaiveDate) => SIGNED_ANEW = "consent-signed-anew":
            "the consent was given anew on {0}, earlier than this", field "withdrawn_at";
        AtAnotherSite => AT_ANOTHER_SITE = "consent-at-another-site":
            "the patient takes part in the trial at another site", field "site_id";
    }
}

impl Presented {
    pub(super) fn is_of(&self, form: &ConsentForm) -> bool {
        identifier::same(&self.form_version, &form.form_version)
            && identifier::same_language(&self.language, &form.language)
    }
}

impl Signed {
    pub(super) fn is_of(&self, form: &ConsentForm) -> bool {
        identifier::same(&self.form_version, &form.form_version)
            && identifier::same_language(&self.language, &form.language)
    }
}

impl Span {
    /// When it begins: a newer form does not take away the cover of an earlier signature.
    fn begin(&self) -> DateTime<Utc> {
        self.signatures.iter().map(|signed| signed.signed_at).min().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// When it ends, where it does.
    pub(super) fn end(&self) -> Option<DateTime<Utc>> {
        self.withdrawal.as_ref().map(|withdrawal| withdrawal.withdrawn_at)
    }

    /// The latest of its signatures: an older one that arrives later does not take its place.
    pub(super) fn latest(&self) -> Option<&Signed> {
        self.signatures.iter().max_by_key(|signed| signed.signed_at)
    }
}

impl Consent {
    /// Whose it is, to which trial; nothing before a form was presented.
    pub const fn about(&self) -> Option<(PatientId, TrialId)> {
        self.about
    }

    /// The latest signature, whether the consent is in force or not.
    pub fn latest(&self) -> Option<&Signed> {
        self.spans.last().and_then(Span::latest)
    }

    /// Whether some time from `first` to `last` is covered.
    ///
    /// # Errors
    /// [`Halt::Needs`] where the place is not loaded yet.
    pub fn covers_some_of(&self, first: DateTime<Utc>, last: DateTime<Utc>, place: &Place<'_>) -> Result<bool, Halt> {
        for span in &self.spans {
            let begins_before_end = match span.end() {
                Some(withdrawn_at) => place.is_before_end(first, withdrawn_at)?,
                None => true,
            };
            if begins_before_end && !place.lies_before(last, span.begin())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The spans of time that it covers: each from a first signature on, up to a withdrawal where there was one.
    pub fn spans(&self) -> impl Iterator<Item = (DateTime<Utc>, Option<DateTime<Utc>>)> {
        self.spans.iter().map(|span| (span.begin(), span.end()))
    }

    /// Whether the first signature is later than `time`.
    ///
    /// # Errors
    /// [`Halt::Needs`] where the place is not loaded yet.
    pub fn begins_after(&self, time: DateTime<Utc>, place: &Place<'_>) -> Result<bool, Halt> {
        self.spans.first().map_or(Ok(false), |first| place.lies_before(time, first.begin()))
    }

    /// The latest signature, if the consent is in force now.
    pub fn in_force(&self) -> Option<&Signed> {
        self.spans.last().filter(|span| span.withdrawal.is_none()).and_then(Span::latest)
    }

    /// When it was withdrawn last.
    pub(super) fn withdrawn_at(&self) -> Option<DateTime<Utc>> {
        self.spans.iter().rev().find_map(Span::end)
    }

    /// What a signature would do now.
    pub(super) fn next_purpose(&self) -> SignaturePurpose {
        match self.spans.last() {
            None => SignaturePurpose::Initial,
            Some(Span { withdrawal: None, .. }) => SignaturePurpose::Reconsent,
            Some(Span { withdrawal: Some(_), .. }) => SignaturePurpose::Renewal,
        }
    }

    /// The number that the next signature gets.
    pub(super) fn next_signature_number(&self) -> u32 {
        let signatures = self.spans.iter().flat_map(|span| &span.signatures);
        signatures.map(|signed| signed.signature_number).max().unwrap_or_default() + 1
    }

    /// The latest signature, if something that happens at `time` is covered: whether the consent holds now or not.
    ///
    /// # Errors
    /// [`ConsentError::NotInForce`], [`ConsentError::SignedLater`]; [`Halt::Needs`] where the place is not loaded yet.
    pub fn require_cover(&self, time: DateTime<Utc>, place: &Place<'_>) -> Result<&Signed, Halt> {
        let (Some(signed), Some(first)) = (self.latest(), self.spans.first()) else {
            return Err(ConsentError::NotInForce.into());
        };
        if self.covers_some_of(time, time, place)? {
            return Ok(signed);
        }
        place.require_not_before(time, first.begin(), ConsentError::SignedLater)?;
        Err(ConsentError::NotInForce.into())
    }

    fn correct(&mut self, corrected: &ConsentCorrected) {
        let of_it = |signed: &Signed| signed.signature_number == corrected.signature_number;
        let Some(span) = self.spans.iter_mut().find(|span| span.signatures.iter().any(of_it)) else { return };
        let changes = &corrected.changes;
        if let Some(withdrawal) = &mut span.withdrawal {
            changes.withdrawal_scope.apply(&mut withdrawal.scope);
            changes.withdrawal_reason.apply(&mut withdrawal.reason);
            changes.withdrawn_at.apply(&mut withdrawal.withdrawn_at);
        }
        if let Some(signed) = span.signatures.iter_mut().find(|signed| of_it(signed)) {
            changes.form_version.apply(&mut signed.form_version);
            changes.language.apply(&mut signed.language);
            changes.text_sha256.apply(&mut signed.text_sha256);
            changes.signer.apply(&mut signed.signer);
            changes.presented_at.apply(&mut signed.presented_at);
            changes.signed_at.apply(&mut signed.signed_at);
        }
    }
}

impl Aggregate for Consent {
    type Id = ConsentId;
    type Event = ConsentEvent;
    const SNAPSHOT_VERSION: u16 = 5;

    fn evolve(mut self, event: &ConsentEvent, occurred_at: DateTime<Utc>) -> Self {
        match event {
            ConsentEvent::ConsentFormPresented(event) => {
                self.about = Some((event.patient_id, event.trial_id));
                self.presented = Some(Presented {
                    site_id: event.site_id,
                    form_version: event.form_version.clone(),
                    language: event.language.clone(),
                    text_sha256: event.text_sha256.clone(),
                    presented_at: occurred_at,
                });
            }
            ConsentEvent::ConsentSigned(event) => {
                self.about = Some((event.patient_id, event.trial_id));
                let presented = self.presented.take();
                let signed = Signed {
                    signature_number: event.signature_number,
                    site_id: event.site_id,
                    form_version: event.form_version.clone(),
                    language: event.language.clone(),
                    text_sha256: event.text_sha256.clone(),
                    signer: event.signer,
                    presented_at: presented.map_or(event.signed_at, |presented| presented.presented_at),
                    signed_at: event.signed_at,
                };
                match self.spans.last_mut().filter(|_| event.purpose == SignaturePurpose::Reconsent) {
                    Some(span) => span.signatures.push(signed),
                    None => self.spans.push(Span { signatures: vec![signed], withdrawal: None }),
                }
            }
            ConsentEvent::ConsentDeclined(_) => self.presented = None,
            ConsentEvent::ConsentWithdrawn(event) => {
                if let Some(span) = self.spans.last_mut().filter(|span| span.withdrawal.is_none()) {
                    let (scope, reason, withdrawn_at) = (event.scope, event.reason.clone(), event.withdrawn_at);
                    span.withdrawal = Some(Withdrawal { scope, reason, withdrawn_at });
                    self.presented = None;
                }
            }
            ConsentEvent::ConsentCorrected(event) => self.correct(event),
        }
        self
    }
}
