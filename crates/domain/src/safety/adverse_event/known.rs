//! What changes about an adverse event that is known.

use decider::{Facts, Halt};
use events::change::{Change, OptionalChange};
use events::ids::{AdverseEventId, SubjectId};
use events::safety::adverse_event::AdverseEventFields;

use super::{AdverseEvent, AdverseEventError, Known};
use crate::consent::participant::Participant;
use crate::validate::NotFound;

impl AdverseEvent {
    /// To whom it happened, and at which site, where it is reported.
    pub fn participant(&self) -> Option<Participant> {
        match self {
            AdverseEvent::Absent => None,
            AdverseEvent::Reported(known) => Some(known.participant),
        }
    }
}

/// The subject of an adverse event. `field` names the command's field that holds the id.
///
/// # Errors
/// [`Halt`] where it is not loaded, or was never reported.
pub fn subject_of(
    facts: &Facts,
    adverse_event_id: AdverseEventId,
    field: Option<&'static str>,
) -> Result<SubjectId, Halt> {
    match facts.get::<AdverseEvent>(adverse_event_id)?.participant() {
        Some(participant) => Ok(participant.subject_id),
        None => Err(NotFound::halt(AdverseEventError::NOT_FOUND, "adverse event", adverse_event_id, field)),
    }
}

impl Known {
    /// Carries changes out.
    pub(super) fn apply(&mut self, changes: &AdverseEventFields) {
        changes.term.apply(&mut self.term);
        changes.reported_term.apply(&mut self.reported_term);
        changes.severity.apply(&mut self.severity);
        changes.ctcae_grade.apply(&mut self.ctcae_grade);
        changes.serious.apply(&mut self.serious);
        changes.relatedness.apply(&mut self.relatedness);
        changes.onset.apply(&mut self.onset);
        changes.ended.apply(&mut self.ended);
        changes.outcome.apply(&mut self.outcome);
    }

    /// What differs from `before`: as it is now, and as it was.
    pub(super) fn differences(&self, before: &Self) -> (AdverseEventFields, AdverseEventFields) {
        let (term, old_term) = Change::to(self.term.clone()).of(&before.term);
        let (reported_term, old_words) = OptionalChange::to(self.reported_term.clone()).of(&before.reported_term);
        let (severity, old_severity) = Change::to(self.severity).of(&before.severity);
        let (ctcae_grade, old_grade) = OptionalChange::to(self.ctcae_grade).of(&before.ctcae_grade);
        let (serious, old_serious) = Change::to(self.serious).of(&before.serious);
        let (relatedness, old_relatedness) = OptionalChange::to(self.relatedness.clone()).of(&before.relatedness);
        let (onset, old_onset) = OptionalChange::to(self.onset.clone()).of(&before.onset);
        let (ended, old_ended) = OptionalChange::to(self.ended.clone()).of(&before.ended);
        let (outcome, old_outcome) = OptionalChange::to(self.outcome.clone()).of(&before.outcome);
        let now = AdverseEventFields {
            term,
            reported_term,
            severity,
            ctcae_grade,
            serious,
            relatedness,
            onset,
            ended,
            outcome,
        };
        let before = AdverseEventFields {
            term: old_term,
            reported_term: old_words,
            severity: old_severity,
            ctcae_grade: old_grade,
            serious: old_serious,
            relatedness: old_relatedness,
            onset: old_onset,
            ended: old_ended,
            outcome: old_outcome,
        };
        (now, before)
    }
}
