//! The visit: follow-up of a subject.

use events::visit::{VisitAttended, VisitEvent};

use crate::consent::participant::participant;
use crate::enrolment::subject::Subject;
use crate::prelude::*;

/// A visit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visit {
    /// Nothing recorded.
    #[default]
    Absent,
    /// The subject came.
    Attended,
}

/// Records that a subject came to a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordVisit {
    /// The subject.
    pub subject_id: SubjectId,
    /// The visit's name, such as `WEEK 8`.
    pub visit: String,
    /// The visit's number; fractions are unscheduled visits.
    #[serde(default)]
    pub visit_number: Option<Quantity>,
    /// The day of the visit, as far as it is known.
    pub attended_on: PartialDate,
    /// When it was recorded or happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to a visit is refused.
    pub enum VisitError {
        AlreadyRecorded => ALREADY_RECORDED = "visit-already-recorded": "the visit was recorded already";
        RecordedBefore => RECORDED_BEFORE = "visit-recorded-before-attended":
            "the visit cannot be recorded before the day on which the subject came", field "occurred_at";
    }
}

impl Command for RecordVisit {
    type Target = VisitId;
    const NAME: &'static str = "RecordVisit";

    fn reads(&self, visit_id: VisitId) -> Vec<Need> {
        vec![Need::of::<Visit>(visit_id), Need::of::<Subject>(self.subject_id)]
    }

    fn decide(&self, visit_id: VisitId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::text("visit", &self.visit)?;
        if *facts.get::<Visit>(visit_id)? != Visit::Absent {
            return Err(VisitError::AlreadyRecorded.into());
        }
        // That somebody came is not yet a clinical fact: a visit from a day before
        // the signature is kept, what was found there needs the consent.
        let participant = participant(facts, self.subject_id, Some("subject_id"))?;
        let place = participant.place(facts);
        past_day(context, "attended_on", self.attended_on.earliest(), &place)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        if self.attended_on.earliest() > self.occurred_at.day(context, &place)? {
            return Err(VisitError::RecordedBefore.into());
        }
        participant.require_consent_for(facts, Some(&self.attended_on), occurred_at)?;
        let attended = VisitAttended {
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            visit: self.visit.clone(),
            visit_number: self.visit_number,
            attended_on: self.attended_on.clone(),
        };
        Ok(Decision::new(participant.references(), occurred_at).append(visit_id, attended))
    }
}

impl Aggregate for Visit {
    type Id = VisitId;
    type Event = VisitEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &VisitEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            VisitEvent::VisitAttended(_) => Visit::Attended,
        }
    }
}
