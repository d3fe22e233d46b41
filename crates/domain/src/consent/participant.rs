//! What every clinical fact about a subject needs: a subject, and a consent in force.

use chrono::{DateTime, Utc};
use decider::{Facts, Halt, Need};
use events::envelope::References;
use events::ids::{ConsentId, PatientId, SiteId, SubjectId, TrialId};
use events::values::PartialDate;
use serde::{Deserialize, Serialize};

use crate::consent::{Consent, ConsentError};
use crate::enrolment::subject::{self, Participation};
use crate::place::Place;
use crate::trial::Trial;

/// Who a clinical fact is about, and where they took part when it was recorded: whoever is screened again elsewhere leaves
/// what was recorded with the site that recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// The subject.
    pub subject_id: SubjectId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// The patient.
    pub patient_id: PatientId,
}

impl Participant {
    /// The participant whom the subject's own stream tells.
    pub const fn of(subject_id: SubjectId, participation: &Participation) -> Self {
        let Participation { trial_id, site_id, patient_id, .. } = *participation;
        Self { subject_id, trial_id, site_id, patient_id }
    }

    /// What events about the participant refer to.
    pub const fn references(&self) -> References {
        References::subject(self.trial_id, self.site_id, self.patient_id)
    }
}

/// Who a clinical fact is about. `field` names the command's field that holds the subject's id; absent where the address
/// names it.
///
/// # Errors
/// [`Halt`] where the subject does not exist.
pub fn participant(facts: &Facts, subject_id: SubjectId, field: Option<&'static str>) -> Result<Participant, Halt> {
    Ok(Participant::of(subject_id, subject::screened(facts, subject_id, field)?))
}

impl Participant {
    /// Refuses unless a consent covers what happens to the participant at `time`.
    ///
    /// Nothing clinical may be recorded of a time without a valid consent (ICH E6(R3), 2.8.1). Following up and
    /// correcting what is on record does not ask.
    ///
    /// # Errors
    /// [`Halt`] where no consent covers it.
    pub fn require_consent(&self, facts: &Facts, time: DateTime<Utc>) -> Result<(), Halt> {
        let consent_id = ConsentId::of(self.patient_id, self.trial_id);
        // Whoever asks for the consent goes on to the trial: both in one read.
        facts.require([Need::of::<Consent>(consent_id), Need::of::<Trial>(self.trial_id)])?;
        facts.get::<Consent>(consent_id)?.require_cover(time, &self.place(facts))?;
        Ok(())
    }

    /// Refuses unless a consent covers what happened to the participant on a day, or was told of at `told_at`: what
    /// began before the consent is told under it, and what is told late happened under it.
    ///
    /// # Errors
    /// As [`Participant::require_consent`].
    pub fn require_consent_for(
        &self,
        facts: &Facts,
        day: Option<&PartialDate>,
        told_at: DateTime<Utc>,
    ) -> Result<(), Halt> {
        let told = self.require_consent(facts, told_at);
        let (Err(Halt::Refused(_)), Some(day)) = (&told, day) else { return told };
        let place = self.place(facts);
        let zone = place.zone()?;
        let (Some(first), Some(last)) = (zone.begin(day.earliest()), zone.begin(day.latest())) else { return told };
        let consent = facts.get::<Consent>(ConsentId::of(self.patient_id, self.trial_id))?;
        if consent.covers_some_of(first, last, &place)? { Ok(()) } else { told }
    }

    /// Refuses unless a consent covers the day of a visit. One from before the first signature is told under it: that somebody
    /// came is not yet a clinical fact. One between a withdrawal and the next signature is not.
    ///
    /// # Errors
    /// As [`Participant::require_consent`].
    pub fn require_consent_of_visit(
        &self,
        facts: &Facts,
        day: &PartialDate,
        told_at: DateTime<Utc>,
    ) -> Result<(), Halt> {
        let consent_id = ConsentId::of(self.patient_id, self.trial_id);
        facts.require([Need::of::<Consent>(consent_id), Need::of::<Trial>(self.trial_id)])?;
        let consent = facts.get::<Consent>(consent_id)?;
        let place = self.place(facts);
        let zone = place.zone()?;
        let (Some(first), Some(last)) = (zone.begin(day.earliest()), zone.begin(day.latest())) else {
            return self.require_consent(facts, told_at);
        };
        match consent.covers_some_of(first, last, &place)? {
            true => Ok(()),
            false if consent.begins_after(last, &place)? => self.require_consent(facts, told_at),
            false => Err(ConsentError::NotInForce.into()),
        }
    }

    /// Where the participant takes part.
    pub const fn place<'facts>(&self, facts: &'facts Facts) -> Place<'facts> {
        Place::site(facts, self.site_id)
    }
}
