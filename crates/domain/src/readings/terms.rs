//! What readings of a subject are judged by, line by line, before they are recorded.

use decider::Inquire;

use super::device::{Device, taking_part};
use crate::consent::Consent;
use crate::consent::participant::Participant;
use crate::enrolment::subject::Subject;
use crate::prelude::*;

/// The question.
#[derive(Clone, Debug)]
pub struct UploadTerms {
    /// The patient for whom readings are sent.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// Devices that are named.
    pub devices: Vec<String>,
}

/// From when on, and until when where it ended.
pub type Span = (DateTime<Utc>, Option<DateTime<Utc>>);

/// The answer.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who takes part, and where.
    pub participant: Participant,
    /// Whose days count: those of the site.
    pub zone: TimeZone,
    /// What the consent covers.
    pub covered: Vec<Span>,
    /// When the subject had each of the devices, in the order in which they were asked for.
    pub worn: Vec<Vec<Span>>,
}

/// Whether a time lies in one of the spans.
pub fn lies_in(spans: &[Span], time: DateTime<Utc>) -> bool {
    spans.iter().any(|(from, until)| *from <= time && until.is_none_or(|until| time < until))
}

impl Inquire for UploadTerms {
    type Answer = Terms;

    fn reads(&self) -> Vec<Need> {
        let devices = self.devices.iter().map(|name| Need::of::<Device>(DeviceId::of(self.trial_id, name)));
        devices
            .chain([
                Need::of::<Subject>(SubjectId::of(self.patient_id, self.trial_id)),
                Need::of::<Consent>(ConsentId::of(self.patient_id, self.trial_id)),
            ])
            .collect()
    }

    fn answer(&self, _now: DateTime<Utc>, facts: &Facts) -> Result<Terms, Halt> {
        let subject_id = SubjectId::of(self.patient_id, self.trial_id);
        let participant = taking_part(facts, self.patient_id, self.trial_id)?;
        let consent = facts.get::<Consent>(ConsentId::of(self.patient_id, self.trial_id))?;
        let worn = |name: &String| {
            let device = facts.get::<Device>(DeviceId::of(self.trial_id, name))?;
            Ok(device.spans_of(subject_id).collect())
        };
        Ok(Terms {
            participant,
            zone: participant.place(facts).zone()?,
            covered: consent.spans().collect(),
            worn: self.devices.iter().map(worn).collect::<Result<_, Halt>>()?,
        })
    }
}
