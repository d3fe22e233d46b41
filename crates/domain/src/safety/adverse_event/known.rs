//! What changes about an adverse event that is known.

use events::change::{Change, OptionalChange};
use events::ids::SubjectId;
use events::safety::adverse_event::AdverseEventFields;

use super::{AdverseEvent, Known};

impl AdverseEvent {
    /// To whom it happened, where it is reported.
    pub fn subject_id(&self) -> Option<SubjectId> {
        match self {
            AdverseEvent::Absent => None,
            AdverseEvent::Reported(known) => Some(known.subject_id),
        }
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
