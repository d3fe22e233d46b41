//! The end of participation, and its correction.

use chrono::{DateTime, Utc};
use decider::{Command, Context, Decision, Facts, Halt};
use events::change::{Change, OptionalChange};
use events::enrolment::subject::{SubjectEnd, SubjectEndCorrected, SubjectEndFields};
use events::ids::SubjectId;
use events::values::Prose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Participation, Stage, SubjectError, screened};
use crate::consent::participant::Participant;
use crate::validate::{self, Unchanged};
use crate::when::{When, some_time};

/// How participation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// As planned, or before.
    pub end: SubjectEnd,
    /// Why, where it ended before completion.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<Prose>,
    /// When the subject came to the stage before: it cannot have ended earlier.
    pub not_before: DateTime<Utc>,
}

/// Corrects how or when participation ended. A field that is left out does not change; whoever completed the trial has
/// no reason for discontinuation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectSubjectEnd {
    /// How it ended.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub end: Change<SubjectEnd>,
    /// CDISC codelist NCOMPLT (C66727, extensible), such as `ADVERSE EVENT`.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub discontinuation_reason: Change<String>,
    /// More about it; `null` takes away what was known.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub detail: OptionalChange<String>,
    /// When it ended; left out, that stays.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub ended_at: When,
    /// Why it is corrected.
    pub reason: String,
    /// When it was corrected; by default now.
    pub occurred_at: When,
}

impl Command for CorrectSubjectEnd {
    type Target = SubjectId;
    const NAME: &'static str = "CorrectSubjectEnd";

    fn decide(&self, subject_id: SubjectId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let reason = self.discontinuation_reason.value();
        validate::all([
            validate::prose("reason", &self.reason),
            validate::optional_text("discontinuation_reason", reason.map(String::as_str)),
            validate::optional_prose("detail", self.detail.value().map(String::as_str)),
        ])?;
        let participation = screened(facts, subject_id, None)?;
        let known = participation.end.as_ref().ok_or(SubjectError::NotEnded)?;
        let participant = Participant::of(subject_id, participation);
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let ended_at = match self.ended_at {
            When::NOW => participation.stage_since,
            ended_at => ended_at.time(context, "ended_at", &place)?,
        };
        let out_of_order = |since| SubjectError::OutOfOrder(participation.stage_before(), since);
        place.require_not_before(ended_at, known.not_before, out_of_order)?;
        let mut now = known.clone();
        self.end.apply(&mut now.end);
        match now.end {
            SubjectEnd::Completed if !participation.randomised => return Err(SubjectError::NotRandomised.into()),
            SubjectEnd::Completed if reason.is_some() || self.detail.value().is_some() => {
                return Err(SubjectError::CompletedForNoReason.into());
            }
            SubjectEnd::Completed => (now.reason, now.detail) = (None, None),
            SubjectEnd::Discontinued => {
                now.reason = reason.cloned().or(now.reason);
                self.detail.clone().map(Prose::from).apply(&mut now.detail);
            }
        }
        if now.end == SubjectEnd::Discontinued && now.reason.is_none() {
            return Err(SubjectError::NoReason.into());
        }
        let (end, old_end) = Change::to(now.end).of(&known.end);
        let (discontinuation_reason, old_reason) = OptionalChange::to(now.reason).of(&known.reason);
        let (detail, old_detail) = OptionalChange::to(now.detail).of(&known.detail);
        let (ended_at, old_time) = Change::to(ended_at).of(&participation.stage_since);
        let changes = SubjectEndFields { end, discontinuation_reason, detail, ended_at };
        if changes == SubjectEndFields::default() {
            return Err(Unchanged.into());
        }
        let previous = SubjectEndFields {
            end: old_end,
            discontinuation_reason: old_reason,
            detail: old_detail,
            ended_at: old_time,
        };
        let corrected = SubjectEndCorrected { changes, previous, reason: self.reason.clone().into() };
        Ok(Decision::new(participant.references(), occurred_at).append(subject_id, corrected))
    }
}

impl Participation {
    /// Participation ends.
    pub(super) fn finish(
        &mut self,
        end: SubjectEnd,
        reason: Option<String>,
        detail: Option<Prose>,
        ended_at: DateTime<Utc>,
    ) {
        self.end = Some(End { end, reason, detail, not_before: self.stage_since });
        self.enter(stage_of(end), ended_at);
    }

    /// What was known of the end was corrected.
    pub(super) fn correct_end(&mut self, changes: &SubjectEndFields) {
        let Some(known) = &mut self.end else { return };
        changes.end.apply(&mut known.end);
        changes.discontinuation_reason.apply(&mut known.reason);
        changes.detail.apply(&mut known.detail);
        let stage = stage_of(known.end);
        let mut ended_at = self.stage_since;
        changes.ended_at.apply(&mut ended_at);
        self.enter(stage, ended_at);
    }

    /// Where the subject stood before the end.
    const fn stage_before(&self) -> Stage {
        if self.randomised { Stage::Randomised } else { Stage::Screening }
    }
}

const fn stage_of(end: SubjectEnd) -> Stage {
    match end {
        SubjectEnd::Completed => Stage::Completed,
        SubjectEnd::Discontinued => Stage::Discontinued,
    }
}
