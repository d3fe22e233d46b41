//! Correcting a report.

use std::collections::BTreeMap;

use decider::{Command, Context, Decision, Facts, Halt};
use events::change::{Change, OptionalChange};
use events::enrolment::casebook::ReportFiled;
use events::epro::report::{ReportCorrected, ReportFields};
use events::identifier;
use events::ids::{CasebookId, ReportId};
use events::trial::questionnaire::{Answer, Answers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::{CORRECTIONS_MAX, Content, Report, ReportError, Times, filled_in_at, require_none_like, scored};
use super::scoring::{self, Scored};
use crate::enrolment::casebook::Casebook;
use crate::trial;
use crate::validate::{self, LIST_LENGTH_MAX, NotFound, Unchanged, require_import};
use crate::when::{When, some_time};

/// Corrects a report; the old answers and scores stay in the history. What is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectReport {
    /// The answers that change, by item: `null` takes an answer away, an item that is left out keeps its answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Option<Answer>>,
    /// When filling in began in truth.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub started_at: When,
    /// When filling in ended in truth.
    #[serde(default, deserialize_with = "some_time", skip_serializing_if = "When::is_now")]
    pub completed_at: When,
    /// The visit that it belongs to; `null` where it belongs to none.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub visit: OptionalChange<String>,
    /// Why it is corrected.
    pub reason: String,
    /// Brought in from a record of the past, by an integration: nobody is told of the alerts that it raises.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
    /// When it happened; by default now.
    pub occurred_at: When,
}

impl Command for CorrectReport {
    type Target = ReportId;
    const NAME: &'static str = "CorrectReport";

    fn decide(&self, report_id: ReportId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::prose("reason", &self.reason),
            require_import(context, self.historical),
            validate::optional_text("visit", self.visit.value().map(String::as_str)),
        ])?;
        let content = match facts.get::<Report>(report_id)? {
            Report::Submitted(content) => content,
            Report::Absent => return Err(NotFound::halt(ReportError::NOT_FOUND, "report", report_id, None)),
        };
        let participant = content.participant;
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let questionnaire = content.questionnaire(course).ok_or(ReportError::UnknownQuestionnaire)?;
        let answers = scoring::check_answers(questionnaire, &self.answers_of(content)?)?;
        // Not before what was recorded last: what is learnt first may arrive later.
        place.require_not_before(occurred_at, content.submitted_at, ReportError::CorrectedBefore)?;
        validate::historical_of(self.historical, content.historical)?;
        let times = self.times(content, context, &filled_in_at(facts, &participant, content.time_zone)?)?;
        let scores = scoring::scores(questionnaire, &answers);
        let (now, before) = (scored(&answers, &scores), scored(&content.answers, &content.scores));
        let (changes, previous) = self.differences(content, times, now, before);
        if changes == ReportFields::default() {
            return Err(Unchanged.into());
        }
        if content.corrections >= CORRECTIONS_MAX {
            return Err(ReportError::TooManyCorrections(CORRECTIONS_MAX).into());
        }
        let mut visit = content.visit.clone();
        changes.visit.apply(&mut visit);
        let filed = ReportFiled {
            report_id,
            instrument: content.instrument.clone(),
            started_at: times.started_at,
            completed_at: times.completed_at,
            visit,
        };
        let is_filed_anew = times != content.times || !changes.visit.is_none();
        let corrected = ReportCorrected {
            correction_number: content.corrections + 1,
            changes,
            previous,
            triggered_rules: scoring::triggered(questionnaire, now, Some(before)),
            answers,
            scores,
            reason: self.reason.clone().into(),
            historical: self.historical,
        };
        let decision = Decision::new(participant.references(), occurred_at).append(report_id, corrected);
        if !is_filed_anew {
            return Ok(decision);
        }
        let casebook_id = CasebookId::of(participant.subject_id);
        require_none_like(facts, facts.get::<Casebook>(casebook_id)?, &filed)?;
        Ok(decision.append(casebook_id, filed))
    }
}

impl CorrectReport {
    /// All answers after the correction.
    ///
    /// # Errors
    /// [`validate::Invalid`] where an item has two forms of its code.
    fn answers_of(&self, content: &Content) -> Result<Answers, validate::Invalid> {
        validate::count("answers", self.answers.len(), LIST_LENGTH_MAX)?;
        validate::distinct("answers", self.answers.keys().map(String::as_str))?;
        let stays = |code: &String| !self.answers.keys().any(|corrected| identifier::same(code, corrected));
        let mut answers: Answers = content.answers.clone().into_iter().filter(|(code, _)| stays(code)).collect();
        let given = self.answers.iter().filter_map(|(code, answer)| Some((code.clone(), answer.clone()?)));
        answers.extend(given);
        Ok(answers)
    }

    fn times(&self, content: &Content, context: &Context, place: &crate::place::Place<'_>) -> Result<Times, Halt> {
        let mut times = content.times;
        if self.started_at != When::NOW {
            times.started_at = Some(self.started_at.time(context, "started_at", place)?);
        }
        if self.completed_at != When::NOW {
            times.completed_at = self.completed_at.time(context, "completed_at", place)?;
            times.completed_on = self.completed_at.day(context, place)?;
        }
        times.require_order(place)?;
        Ok(times)
    }

    /// What differs: as it is now, and as it was.
    fn differences(
        &self,
        content: &Content,
        times: Times,
        now: Scored<'_>,
        before: Scored<'_>,
    ) -> (ReportFields, ReportFields) {
        let (started_at, old_start) = OptionalChange::to(times.started_at).of(&content.times.started_at);
        let (completed_at, old_end) = Change::to(times.completed_at).of(&content.times.completed_at);
        let (completed_on, old_day) = Change::to(times.completed_on).of(&content.times.completed_on);
        let (visit, old_visit) = self.visit.of(&content.visit);
        let mut changes = ReportFields { started_at, completed_at, completed_on, visit, ..ReportFields::default() };
        let mut previous = ReportFields {
            started_at: old_start,
            completed_at: old_end,
            completed_on: old_day,
            visit: old_visit,
            ..ReportFields::default()
        };
        for item in now.answers.keys().chain(before.answers.keys()) {
            let (new, old) = (now.answers.get(item), before.answers.get(item));
            if new != old {
                changes.answers.insert(item.clone(), new.cloned());
                previous.answers.insert(item.clone(), old.cloned());
            }
        }
        for score in now.scores {
            let old = before.scores.iter().find(|old| old.code == score.code).and_then(|old| old.value);
            if score.value != old {
                changes.scores.insert(score.code.clone(), score.value);
                previous.scores.insert(score.code.clone(), old);
            }
        }
        (changes, previous)
    }
}
