//! Correcting what was recorded of a signature or a withdrawal.

use events::consent::{ConsentCorrected, ConsentFields, Signer, WithdrawalScope};

use super::commands::form_in_force;
use super::consent::{Signed, Span, Withdrawal};
use super::{Consent, ConsentError};
use crate::patient;
use crate::prelude::*;
use crate::trial;
use crate::validate::Unchanged;
use crate::when::some_time;

/// Corrects what was recorded of a signature, or of the withdrawal after it. A field that is left out does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectConsent {
    /// The trial.
    pub trial_id: TrialId,
    /// Which of the patient's signatures, from 1; by default the latest.
    #[serde(default)]
    pub signature_number: Option<u32>,
    /// The version of the form that was signed.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub form_version: Change<String>,
    /// The language of the form that was signed.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub language: Change<String>,
    /// Who signed.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub signer: Change<Signer>,
    /// When the form was shown in truth.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub presented_at: When,
    /// When the signature was given in truth.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub signed_at: When,
    /// How far the withdrawal goes.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub withdrawal_scope: Change<WithdrawalScope>,
    /// Why the patient withdrew; `null` where the patient did not say so.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub withdrawal_reason: OptionalChange<String>,
    /// When the patient withdrew in truth.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub withdrawn_at: When,
    /// Why it is corrected.
    pub reason: String,
    /// When it was corrected; by default now.
    pub occurred_at: When,
}

impl Command for CorrectConsent {
    type Target = PatientId;
    const NAME: &'static str = "CorrectConsent";

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::prose("reason", &self.reason),
            validate::optional_prose("withdrawal_reason", self.withdrawal_reason.value().map(String::as_str)),
        ])?;
        patient::registered(facts, patient_id, None)?;
        let consent_id = ConsentId::of(patient_id, self.trial_id);
        let (index, signed) = self.signature(facts.get::<Consent>(consent_id)?)?;
        let spans = &facts.get::<Consent>(consent_id)?.spans;
        let place = Place::site(facts, signed.site_id);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let (corrected, withdrawal) = self.correct(signed, &spans[index], context, facts)?;
        let (changes, previous) =
            differences(signed, &corrected, spans[index].withdrawal.as_ref(), withdrawal.as_ref());
        if changes == ConsentFields::default() {
            return Err(Unchanged.into());
        }
        let after = Span {
            signatures: spans[index]
                .signatures
                .iter()
                .map(|known| if known == signed { &corrected } else { known })
                .cloned()
                .collect(),
            withdrawal,
        };
        require_order(spans, index, &after, &place)?;
        let event = ConsentCorrected {
            patient_id,
            trial_id: self.trial_id,
            signature_number: signed.signature_number,
            changes,
            previous,
            reason: self.reason.clone().into(),
        };
        Ok(Decision::new(References::subject(self.trial_id, signed.site_id, patient_id), occurred_at)
            .append(consent_id, event))
    }
}

impl CorrectConsent {
    /// The signature, and the span that it is of.
    fn signature<'consent>(&self, consent: &'consent Consent) -> Result<(usize, &'consent Signed), ConsentError> {
        let number = self.signature_number.or_else(|| consent.latest().map(|signed| signed.signature_number));
        let mut signatures = consent
            .spans
            .iter()
            .enumerate()
            .flat_map(|(index, span)| span.signatures.iter().map(move |signed| (index, signed)));
        signatures.find(|(_, signed)| Some(signed.signature_number) == number).ok_or(ConsentError::SignatureNotFound)
    }

    /// Signature and withdrawal as they are to be.
    fn correct(
        &self,
        signed: &Signed,
        span: &Span,
        context: &Context,
        facts: &Facts,
    ) -> Result<(Signed, Option<Withdrawal>), Halt> {
        let place = Place::site(facts, signed.site_id);
        let mut corrected = signed.clone();
        let day = match self.signed_at {
            When::NOW => place.day(signed.signed_at)?,
            signed_at => signed_at.day(context, &place)?,
        };
        for (field, when, time) in [
            ("presented_at", self.presented_at, &mut corrected.presented_at),
            ("signed_at", self.signed_at, &mut corrected.signed_at),
        ] {
            if when != When::NOW {
                *time = when.time(context, field, &place)?;
            }
        }
        self.signer.apply(&mut corrected.signer);
        if !self.form_version.is_none() || !self.language.is_none() || self.signed_at != When::NOW {
            let version = self.form_version.value().unwrap_or(&signed.form_version);
            let language = self.language.value().unwrap_or(&signed.language);
            validate::all([validate::code("form_version", version), validate::language("language", language)])?;
            let course = trial::registered(facts, self.trial_id, Some("trial_id"))?;
            let form = form_in_force(course, version, language, day)?;
            corrected.form_version.clone_from(&form.form_version);
            corrected.language.clone_from(&form.language);
            corrected.text_sha256.clone_from(&form.text_sha256);
        }
        place.require_not_before(corrected.signed_at, corrected.presented_at, ConsentError::PresentedLater)?;
        Ok((corrected, self.withdrawal(span, context, &place)?))
    }

    fn withdrawal(&self, span: &Span, context: &Context, place: &Place<'_>) -> Result<Option<Withdrawal>, Halt> {
        let is_asked_for =
            !self.withdrawal_scope.is_none() || !self.withdrawal_reason.is_none() || self.withdrawn_at != When::NOW;
        let mut withdrawal = span.withdrawal.clone();
        match &mut withdrawal {
            Some(withdrawal) => {
                self.withdrawal_scope.apply(&mut withdrawal.scope);
                self.withdrawal_reason.clone().map(Prose::from).apply(&mut withdrawal.reason);
                if self.withdrawn_at != When::NOW {
                    withdrawal.withdrawn_at = self.withdrawn_at.time(context, "withdrawn_at", place)?;
                }
            }
            None if is_asked_for => return Err(ConsentError::NotWithdrawn.into()),
            None => {}
        }
        Ok(withdrawal)
    }
}

/// Signatures and withdrawals take turns: a span ends after its latest signature, and begins after the end before it.
fn require_order(spans: &[Span], index: usize, after: &Span, place: &Place<'_>) -> Result<(), Halt> {
    let before = index.checked_sub(1).and_then(|index| spans[index].end());
    for signed in &after.signatures {
        if let Some(withdrawn_at) = before {
            place.require_not_before(signed.signed_at, withdrawn_at, ConsentError::WithdrawnLater)?;
        }
        if let Some(withdrawn_at) = after.end() {
            place.require_not_before(withdrawn_at, signed.signed_at, ConsentError::WithdrawnBeforeSigned)?;
        }
    }
    let next = spans.get(index + 1).into_iter().flat_map(|span| &span.signatures);
    if let (Some(withdrawn_at), Some(anew)) = (after.end(), next.map(|signed| signed.signed_at).min())
        && place.lies_before(anew, withdrawn_at)?
    {
        return Err(ConsentError::SignedAnew(place.day(anew)?).into());
    }
    Ok(())
}

/// What differs: as it is now, and as it was.
fn differences(
    signed: &Signed,
    corrected: &Signed,
    withdrawal: Option<&Withdrawal>,
    corrected_withdrawal: Option<&Withdrawal>,
) -> (ConsentFields, ConsentFields) {
    let (mut changes, mut previous) = (ConsentFields::default(), ConsentFields::default());
    let of = |known: &String, value: &String| Change::to(value.clone()).of(known);
    (changes.form_version, previous.form_version) = of(&signed.form_version, &corrected.form_version);
    (changes.language, previous.language) = of(&signed.language, &corrected.language);
    (changes.text_sha256, previous.text_sha256) = of(&signed.text_sha256, &corrected.text_sha256);
    (changes.signer, previous.signer) = Change::to(corrected.signer).of(&signed.signer);
    (changes.presented_at, previous.presented_at) = Change::to(corrected.presented_at).of(&signed.presented_at);
    (changes.signed_at, previous.signed_at) = Change::to(corrected.signed_at).of(&signed.signed_at);
    if let (Some(known), Some(value)) = (withdrawal, corrected_withdrawal) {
        (changes.withdrawal_scope, previous.withdrawal_scope) = Change::to(value.scope).of(&known.scope);
        (changes.withdrawal_reason, previous.withdrawal_reason) =
            OptionalChange::to(value.reason.clone()).of(&known.reason);
        (changes.withdrawn_at, previous.withdrawn_at) = Change::to(value.withdrawn_at).of(&known.withdrawn_at);
    }
    (changes, previous)
}
