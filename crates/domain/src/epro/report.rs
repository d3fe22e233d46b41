//! The report: one filled-in questionnaire.

use std::collections::BTreeSet;

use crate::enrolment::subject::Subject;
use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::epro::report::{ReportCorrected, ReportEvent, ReportSubmitted};
use events::ids::{ReportId, SubjectId};
use events::trial::questionnaire::{Answers, QuestionnaireDefinition, Score};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consent::participant::consented_participant;
use crate::epro::scoring;
use crate::trial;
use crate::validate::{self, NotFound, past_time};
use crate::when::When;

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Not submitted.
    #[default]
    Absent,
    /// Submitted, perhaps corrected since.
    Submitted(Box<Content>),
}

/// What a report says now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    subject_id: SubjectId,
    instrument: String,
    questionnaire_version: String,
    answers: Answers,
    scores: Vec<Score>,
    triggered_rules: BTreeSet<String>,
    corrections: u32,
}

/// Submits a filled-in questionnaire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitReport {
    /// The subject.
    pub subject_id: SubjectId,
    /// The instrument's short name.
    pub instrument: String,
    /// Version of the questionnaire's definition; by default the latest.
    #[serde(default)]
    pub questionnaire_version: Option<String>,
    /// The answers by item; an item that is absent was not answered.
    pub answers: Answers,
    /// When filling in began.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When filling in ended; by default now.
    pub completed_at: When,
    /// IANA time zone in which it was filled in.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// The device that it comes from.
    #[serde(default)]
    pub device: Option<String>,
    /// The visit that it belongs to.
    #[serde(default)]
    pub visit: Option<String>,
}

/// Corrects a report; the old answers and scores stay in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectReport {
    /// All answers after the correction.
    pub answers: Answers,
    /// Why it is corrected.
    pub reason: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to a report is refused.
    pub enum ReportError {
        AlreadySubmitted => ALREADY_SUBMITTED = "report-already-submitted": "the report was submitted already";
        UnknownQuestionnaire => UNKNOWN_QUESTIONNAIRE = "questionnaire-not-found":
            "the trial has no such questionnaire", field "instrument";
        CompletedBeforeStarted => COMPLETED_BEFORE_STARTED = "report-completed-before-started":
            "the report was completed before it was started", field "completed_at";
        _ => NOT_FOUND = "report-not-found";
    }
}

impl Command for SubmitReport {
    type Target = ReportId;
    const NAME: &'static str = "SubmitReport";

    fn reads(&self, report_id: ReportId) -> Vec<Need> {
        vec![Need::of::<Report>(report_id), Need::of::<Subject>(self.subject_id)]
    }

    fn decide(&self, report_id: ReportId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::code("instrument", &self.instrument)?;
        validate::optional_text("questionnaire_version", self.questionnaire_version.as_deref())?;
        validate::optional_text("time_zone", self.time_zone.as_deref())?;
        validate::optional_text("device", self.device.as_deref())?;
        validate::optional_text("visit", self.visit.as_deref())?;
        let completed_at = self.completed_at.time(context, "completed_at")?;
        let started_at = self.started_at.map(|time| past_time(context, "started_at", time)).transpose()?;
        if started_at.is_some_and(|started_at| started_at > completed_at) {
            return Err(ReportError::CompletedBeforeStarted.into());
        }
        if *facts.get::<Report>(report_id)? != Report::Absent {
            return Err(ReportError::AlreadySubmitted.into());
        }
        let participant = consented_participant(facts, self.subject_id, Some("subject_id"), completed_at)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let questionnaire = course.questionnaire(&self.instrument, self.questionnaire_version.as_deref());
        let questionnaire = questionnaire.ok_or(ReportError::UnknownQuestionnaire)?;
        scoring::check_answers(questionnaire, &self.answers)?;
        let scores = scoring::scores(questionnaire, &self.answers);
        let submitted = ReportSubmitted {
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            instrument: questionnaire.instrument.clone(),
            questionnaire_version: questionnaire.version.clone(),
            answers: self.answers.clone(),
            triggered_rules: scoring::triggered(questionnaire, &self.answers, &scores),
            scores,
            started_at,
            completed_at,
            time_zone: self.time_zone.clone(),
            device: self.device.clone(),
            visit: self.visit.clone(),
        };
        Ok(Decision::new(participant.references(), completed_at).append(report_id, submitted))
    }
}

impl Command for CorrectReport {
    type Target = ReportId;
    const NAME: &'static str = "CorrectReport";

    fn decide(&self, report_id: ReportId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at")?;
        let content = match facts.get::<Report>(report_id)? {
            Report::Submitted(content) => content,
            Report::Absent => return Err(NotFound::halt(ReportError::NOT_FOUND, "report", report_id, None)),
        };
        let participant = consented_participant(facts, content.subject_id, None, occurred_at)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let questionnaire = content.questionnaire(course).ok_or(ReportError::UnknownQuestionnaire)?;
        scoring::check_answers(questionnaire, &self.answers)?;
        let decision = Decision::new(participant.references(), occurred_at);
        if content.answers == self.answers {
            return Ok(decision);
        }
        let scores = scoring::scores(questionnaire, &self.answers);
        let mut triggered_rules = scoring::triggered(questionnaire, &self.answers, &scores);
        triggered_rules.retain(|rule| !content.triggered_rules.contains(&rule.rule));
        let corrected = ReportCorrected {
            correction_number: content.corrections + 1,
            answers: self.answers.clone(),
            scores,
            previous_scores: content.scores.clone(),
            triggered_rules,
            reason: self.reason.clone(),
        };
        Ok(decision.append(report_id, corrected))
    }
}

impl Content {
    fn questionnaire<'course>(
        &self,
        course: &'course trial::RegisteredTrial,
    ) -> Option<&'course QuestionnaireDefinition> {
        course.questionnaire(&self.instrument, Some(&self.questionnaire_version))
    }
}

impl Aggregate for Report {
    type Id = ReportId;
    type Event = ReportEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &ReportEvent, _occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Report::Absent, ReportEvent::ReportSubmitted(submitted)) => Report::Submitted(Box::new(Content {
                subject_id: submitted.subject_id,
                instrument: submitted.instrument.clone(),
                questionnaire_version: submitted.questionnaire_version.clone(),
                answers: submitted.answers.clone(),
                scores: submitted.scores.clone(),
                triggered_rules: submitted.triggered_rules.iter().map(|rule| rule.rule.clone()).collect(),
                corrections: 0,
            })),
            (Report::Submitted(mut content), ReportEvent::ReportCorrected(corrected)) => {
                content.answers = corrected.answers.clone();
                content.scores = corrected.scores.clone();
                content.triggered_rules.extend(corrected.triggered_rules.iter().map(|rule| rule.rule.clone()));
                content.corrections = corrected.correction_number;
                Report::Submitted(content)
            }
            // Not decided by any command; the log is read all the same.
            (report, ReportEvent::ReportSubmitted(_) | ReportEvent::ReportCorrected(_)) => report,
        }
    }
}
