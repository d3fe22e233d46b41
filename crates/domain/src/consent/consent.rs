//! The consent of one patient to one trial.

use chrono::{DateTime, NaiveDate, Utc};
use decider::{Aggregate, Halt};
use events::consent::{ConsentEvent, SignaturePurpose};
use events::ids::{ConsentId, SiteId};
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::trial::ConsentForm;
use crate::validate::same_language;

/// A consent: what was signed, and the spans of time that it covers.
///
/// What happens inside a span is covered, whatever came since: data that accrued before a withdrawal belong to the trial
/// (FDA, Data Retention When Subjects Withdraw from FDA-Regulated Clinical Trials, 2008).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// In order; only the last may be open.
    spans: Vec<Span>,
    /// The latest signature.
    pub(super) signed: Option<Signed>,
    /// The form that was presented last, while it is neither signed nor declined.
    pub(super) presented: Option<Presented>,
}

/// From a first signature to a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    signed_at: DateTime<Utc>,
    withdrawn_at: Option<DateTime<Utc>>,
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
    /// When the latest of the signatures was given.
    pub signed_at: DateTime<Utc>,
    /// How many signatures there were.
    pub signature_number: u32,
}

rules! {
    /// Why a command to a consent is refused.
    pub enum ConsentError {
        FormNotInForce(version: String) => FORM_NOT_IN_FORCE = "consent-form-not-in-force":
            "version `{0}` is not the consent form in force in this language on that day", field "form_version";
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
        AtAnotherSite => AT_ANOTHER_SITE = "consent-at-another-site":
            "the patient takes part in the trial at another site", field "site_id";
    }
}

impl Presented {
    pub(super) fn is_of(&self, form: &ConsentForm) -> bool {
        self.form_version == form.form_version && same_language(&self.language, &form.language)
    }
}

impl Signed {
    pub(super) fn is_of(&self, form: &ConsentForm) -> bool {
        self.form_version == form.form_version && same_language(&self.language, &form.language)
    }
}

impl Consent {
    /// The latest signature, whether the consent is in force or not.
    pub const fn latest(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// Whether some time from `first` to `last` is covered.
    ///
    /// # Errors
    /// [`Halt::Needs`] where the place is not loaded yet.
    pub fn covers_some_of(&self, first: DateTime<Utc>, last: DateTime<Utc>, place: &Place<'_>) -> Result<bool, Halt> {
        for span in &self.spans {
            let begins_before_end = match span.withdrawn_at {
                Some(withdrawn_at) => place.is_before_end(first, withdrawn_at)?,
                None => true,
            };
            if begins_before_end && !place.lies_before(last, span.signed_at)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The latest signature, if the consent is in force now.
    pub fn in_force(&self) -> Option<&Signed> {
        let is_open = self.spans.last().is_some_and(|span| span.withdrawn_at.is_none());
        self.signed.as_ref().filter(|_| is_open)
    }

    /// When it was withdrawn last.
    pub(super) fn withdrawn_at(&self) -> Option<DateTime<Utc>> {
        self.spans.iter().rev().find_map(|span| span.withdrawn_at)
    }

    /// What a signature would do now.
    pub(super) fn next_purpose(&self) -> SignaturePurpose {
        match self.spans.last() {
            None => SignaturePurpose::Initial,
            Some(Span { withdrawn_at: None, .. }) => SignaturePurpose::Reconsent,
            Some(Span { withdrawn_at: Some(_), .. }) => SignaturePurpose::Renewal,
        }
    }

    /// The latest signature, if something that happens at `time` is covered: whether the consent holds now or not.
    ///
    /// # Errors
    /// [`ConsentError::NotInForce`], [`ConsentError::SignedLater`]; [`Halt::Needs`] where the place is not loaded yet.
    pub fn require_cover(&self, time: DateTime<Utc>, place: &Place<'_>) -> Result<&Signed, Halt> {
        let (Some(signed), Some(first)) = (&self.signed, self.spans.first()) else {
            return Err(ConsentError::NotInForce.into());
        };
        if self.covers_some_of(time, time, place)? {
            return Ok(signed);
        }
        place.require_not_before(time, first.signed_at, ConsentError::SignedLater)?;
        Err(ConsentError::NotInForce.into())
    }
}

impl Aggregate for Consent {
    type Id = ConsentId;
    type Event = ConsentEvent;
    const SNAPSHOT_VERSION: u16 = 3;

    fn evolve(mut self, event: &ConsentEvent, occurred_at: DateTime<Utc>) -> Self {
        match event {
            ConsentEvent::ConsentFormPresented(event) => {
                self.presented = Some(Presented {
                    site_id: event.site_id,
                    form_version: event.form_version.clone(),
                    language: event.language.clone(),
                    text_sha256: event.text_sha256.clone(),
                    presented_at: occurred_at,
                });
            }
            ConsentEvent::ConsentSigned(event) => {
                match self.spans.last_mut().filter(|_| event.purpose == SignaturePurpose::Reconsent) {
                    // A newer form does not take away the cover of the earlier signature.
                    Some(span) => span.signed_at = span.signed_at.min(event.signed_at),
                    None => self.spans.push(Span { signed_at: event.signed_at, withdrawn_at: None }),
                }
                let signature_number = event.signature_number;
                self.signed = Some(match self.signed.take() {
                    // An older signature that arrives later does not take the place of the newer one.
                    Some(latest) if event.signed_at < latest.signed_at => Signed { signature_number, ..latest },
                    _ => Signed {
                        site_id: event.site_id,
                        form_version: event.form_version.clone(),
                        language: event.language.clone(),
                        signed_at: event.signed_at,
                        signature_number,
                    },
                });
                self.presented = None;
            }
            ConsentEvent::ConsentDeclined(_) => self.presented = None,
            ConsentEvent::ConsentWithdrawn(event) => {
                if let Some(span) = self.spans.last_mut().filter(|span| span.withdrawn_at.is_none()) {
                    span.withdrawn_at = Some(event.withdrawn_at);
                    self.presented = None;
                }
            }
        }
        self
    }
}
