//! What every clinical fact about a subject needs: a subject, and a consent in force.

use chrono::{DateTime, Utc};
use decider::{Facts, Halt, Need};
use events::envelope::References;
use events::ids::{ConsentId, PatientId, SiteId, SubjectId, TrialId};

use crate::consent::Consent;
use crate::enrolment::subject::{self, Participation};
use crate::trial::Trial;

/// Who a clinical fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The participant, if a consent covers what happens to them at `time`.
///
/// Nothing clinical may be recorded for a subject without a valid consent at
/// that time (ICH E6(R3), 2.8.1). `field` names the command's field that holds
/// the subject's id; absent where the address names it.
///
/// # Errors
/// [`Halt`] where the subject does not exist or no consent covers it.
pub fn consented_participant(
    facts: &Facts,
    subject_id: SubjectId,
    field: Option<&'static str>,
    time: DateTime<Utc>,
) -> Result<Participant, Halt> {
    let participant = Participant::of(subject_id, subject::screened(facts, subject_id, field)?);
    let consent_id = ConsentId::of(participant.patient_id, participant.trial_id);
    // Whoever asks for the consent goes on to the trial: both in one read.
    facts.require([Need::of::<Consent>(consent_id), Need::of::<Trial>(participant.trial_id)])?;
    facts.get::<Consent>(consent_id)?.require_in_force(time)?;
    Ok(participant)
}
