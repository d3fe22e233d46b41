//! The report: one filled-in questionnaire.

use chrono::{DateTime, NaiveDate, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::TimeZone;
use events::enrolment::casebook::ReportFiled;
use events::epro::report::{ReportCorrected, ReportEvent, ReportFields, ReportSubmitted};
use events::ids::{CasebookId, ReportId, SubjectId};
use events::trial::questionnaire::{Answers, QuestionnaireDefinition, Score};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consent::participant::participant;
use crate::enrolment::casebook::Casebook;
use crate::enrolment::subject::Subject;
use crate::epro::scoring::{self, Scored};
use crate::place::Place;
use crate::trial;
use crate::validate::{self, NotFound, Unchanged, require_import};
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
    /// When it was completed, or corrected last.
    changed_at: DateTime<Utc>,
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
    /// Version of the questionnaire's definition; by default the one that was in force when it was completed.
    #[serde(default)]
    pub questionnaire_version: Option<String>,
    /// The answers by item; an item that is absent was not answered.
    pub answers: Answers,
    /// When filling in began.
    #[serde(default)]
    pub started_at: When,
    /// When filling in ended; by default now.
    pub completed_at: When,
    /// The IANA time zone in which it was filled in; by default that of the site counts.
    #[serde(default)]
    pub time_zone: Option<TimeZone>,
    /// The device that it comes from.
    #[serde(default)]
    pub device: Option<String>,
    /// The visit that it belongs to.
    #[serde(default)]
    pub visit: Option<String>,
    /// Brought in from a record of the past, by an integration: nobody is told of the alerts that it raises.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// Corrects a report; the old answers and scores stay in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectReport {
    /// All answers after the correction.
    pub answers: Answers,
    /// Why it is corrected.
    pub reason: String,
    /// Brought in from a record of the past, by an integration: nobody is told of the alerts that it raises.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
    /// When it happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to a report is refused.
    pub enum ReportError {
        AlreadySubmitted(report_id: ReportId) => ALREADY_SUBMITTED = "report-already-submitted":
            "the report was submitted already, as {0}";
        UnknownQuestionnaire => UNKNOWN_QUESTIONNAIRE = "questionnaire-not-found":
            "the trial has no such questionnaire", field "instrument";
        CompletedBeforeStarted => COMPLETED_BEFORE_STARTED = "report-completed-before-started":
            "the report was completed before it was started", field "completed_at";
        CorrectedBefore(on: NaiveDate) => CORRECTED_BEFORE = "report-corrected-before-submitted":
            "the report was completed or corrected on {0}, later than this", field "occurred_at";
        _ => NOT_FOUND = "report-not-found";
    }
}

impl Command for SubmitReport {
    type Target = ReportId;
    const NAME: &'static str = "SubmitReport";

    fn reads(&self, report_id: ReportId) -> Vec<Need> {
        vec![
            Need::of::<Report>(report_id),
            Need::of::<Subject>(self.subject_id),
            Need::of::<Casebook>(CasebookId::of(self.subject_id)),
        ]
    }

    fn decide(&self, report_id: ReportId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("instrument", &self.instrument),
            validate::optional_text("questionnaire_version", self.questionnaire_version.as_deref()),
            require_import(context, self.historical),
            validate::optional_text("device", self.device.as_deref()),
            validate::optional_text("visit", self.visit.as_deref()),
        ])?;
        if *facts.get::<Report>(report_id)? != Report::Absent {
            return Err(ReportError::AlreadySubmitted(report_id).into());
        }
        let participant = participant(facts, self.subject_id, Some("subject_id"))?;
        let place = self.time_zone.map_or_else(|| participant.place(facts), Place::at);
        let completed_at = self.completed_at.time(context, "completed_at", &place)?;
        let started_at = match self.started_at {
            When::NOW => None,
            started_at => Some(started_at.time(context, "started_at", &place)?),
        };
        if started_at.is_some_and(|started_at| started_at > completed_at) {
            return Err(ReportError::CompletedBeforeStarted.into());
        }
        participant.require_consent(facts, completed_at)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let questionnaire = match &self.questionnaire_version {
            Some(version) => course.questionnaire(&self.instrument, version),
            None => course.questionnaire_at(&self.instrument, completed_at),
        };
        let questionnaire = questionnaire.ok_or(ReportError::UnknownQuestionnaire)?;
        let answers = scoring::check_answers(questionnaire, &self.answers)?;
        let filed = ReportFiled {
            report_id,
            instrument: questionnaire.instrument.clone(),
            started_at,
            completed_at,
            visit: self.visit.clone(),
        };
        let casebook_id = CasebookId::of(self.subject_id);
        let casebook = facts.get::<Casebook>(casebook_id)?;
        // A day may have several reports; whoever names the report knows it from the others.
        if !context.target_named
            && self.completed_at.instant().is_some()
            && let Some(known) = casebook.report_like(&filed)
        {
            return Err(ReportError::AlreadySubmitted(known).into());
        }
        let scores = scoring::scores(questionnaire, &answers);
        let submitted = ReportSubmitted {
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            instrument: questionnaire.instrument.clone(),
            questionnaire_version: questionnaire.version.clone(),
            triggered_rules: scoring::triggered(questionnaire, scored(&answers, &scores), None),
            answers,
            scores,
            started_at,
            completed_at,
            time_zone: self.time_zone,
            device: self.device.clone(),
            visit: self.visit.clone(),
            historical: self.historical,
        };
        Ok(Decision::new(participant.references(), completed_at)
            .append(report_id, submitted)
            .append(casebook_id, filed))
    }
}

impl Command for CorrectReport {
    type Target = ReportId;
    const NAME: &'static str = "CorrectReport";

    fn decide(&self, report_id: ReportId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([validate::prose("reason", &self.reason), require_import(context, self.historical)])?;
        let content = match facts.get::<Report>(report_id)? {
            Report::Submitted(content) => content,
            Report::Absent => return Err(NotFound::halt(ReportError::NOT_FOUND, "report", report_id, None)),
        };
        let participant = participant(facts, content.subject_id, None)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &participant.place(facts))?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let questionnaire = content.questionnaire(course).ok_or(ReportError::UnknownQuestionnaire)?;
        let answers = scoring::check_answers(questionnaire, &self.answers)?;
        let place = participant.place(facts);
        place.require_not_before(occurred_at, content.changed_at, ReportError::CorrectedBefore)?;
        if content.answers == answers {
            return Err(Unchanged.into());
        }
        let scores = scoring::scores(questionnaire, &answers);
        let (now, before) = (scored(&answers, &scores), scored(&content.answers, &content.scores));
        let (changes, previous) = differences(now, before);
        let corrected = ReportCorrected {
            correction_number: content.corrections + 1,
            changes,
            previous,
            triggered_rules: scoring::triggered(questionnaire, now, Some(before)),
            answers,
            scores,
            reason: self.reason.clone(),
            historical: self.historical,
        };
        Ok(Decision::new(participant.references(), occurred_at).append(report_id, corrected))
    }
}

const fn scored<'report>(answers: &'report Answers, scores: &'report [Score]) -> Scored<'report> {
    Scored { answers, scores }
}

/// What differs: as it is now, and as it was.
fn differences(now: Scored<'_>, before: Scored<'_>) -> (ReportFields, ReportFields) {
    let (mut changes, mut previous) = (ReportFields::default(), ReportFields::default());
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

impl Content {
    fn questionnaire<'course>(
        &self,
        course: &'course trial::RegisteredTrial,
    ) -> Option<&'course QuestionnaireDefinition> {
        course.questionnaire(&self.instrument, &self.questionnaire_version)
    }
}

impl Aggregate for Report {
    type Id = ReportId;
    type Event = ReportEvent;
    const SNAPSHOT_VERSION: u16 = 2;

    fn evolve(self, event: &ReportEvent, occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Report::Absent, ReportEvent::ReportSubmitted(submitted)) => Report::Submitted(Box::new(Content {
                subject_id: submitted.subject_id,
                instrument: submitted.instrument.clone(),
                questionnaire_version: submitted.questionnaire_version.clone(),
                answers: submitted.answers.clone(),
                scores: submitted.scores.clone(),
                changed_at: submitted.completed_at,
                corrections: 0,
            })),
            (Report::Submitted(mut content), ReportEvent::ReportCorrected(corrected)) => {
                content.answers = corrected.answers.clone();
                content.scores = corrected.scores.clone();
                content.changed_at = occurred_at;
                content.corrections = corrected.correction_number;
                Report::Submitted(content)
            }
            // Not decided by any command; the log is read all the same.
            (report, ReportEvent::ReportSubmitted(_) | ReportEvent::ReportCorrected(_)) => report,
        }
    }
}
