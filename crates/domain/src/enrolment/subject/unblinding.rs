//! Breaking the blind for one subject.

use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::enrolment::subject::{SubjectUnblinded, UnblindingCategory};
use events::ids::SubjectId;
use events::trial::Blinding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Subject, SubjectError, screened};
use crate::consent::participant::Participant;
use crate::when::When;
use crate::{trial, validate};

/// Breaks the blind for this subject, or records that it was broken by mistake. Once it is on record whoever sent it, and
/// nobody else, is told the allocation at `GET /v1/subjects/{id}/allocation`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnblindSubject {
    /// How it comes to that.
    pub category: UnblindingCategory,
    /// Why. Others read it who stay blinded: it must not say what the subject was given.
    pub reason: String,
    /// When it happened by mistake; by default, and otherwise always, now.
    pub occurred_at: When,
}

impl Command for UnblindSubject {
    type Target = SubjectId;
    const NAME: &'static str = "UnblindSubject";

    fn reads(&self, subject_id: SubjectId) -> Vec<Need> {
        vec![Need::of::<Subject>(subject_id)]
    }

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let participation = screened(facts, subject_id, None)?;
        let participant = Participant::of(subject_id, participation);
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        if self.category != UnblindingCategory::Inadvertent && self.occurred_at != When::NOW {
            return Err(SubjectError::UnblindedNow.into());
        }
        if !participation.randomised {
            return Err(SubjectError::NotRandomised.into());
        }
        if trial::registered(facts, participant.trial_id, None)?.blinding == Blinding::OpenLabel {
            return Err(SubjectError::NotBlinded.into());
        }
        // Neither stage nor consent matter: whoever has left the trial may be in an emergency, too.
        let unblinded = SubjectUnblinded { category: self.category, reason: self.reason.clone().into() };
        Ok(Decision::new(participant.references(), occurred_at).append(subject_id, unblinded))
    }
}
