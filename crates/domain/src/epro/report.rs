//! The report: one filled-in questionnaire.

use chrono::{DateTime, NaiveDate, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::TimeZone;
use events::enrolment::casebook::ReportFiled;
use events::epro::report::{ReportEvent, ReportSubmitted};
use events::ids::{CasebookId, ConsentId, ReportId, SubjectId};
use events::trial::questionnaire::{Answers, QuestionnaireDefinition, Score};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consent::Consent;
use crate::consent::participant::{Participant, participant};
use crate::enrolment::casebook::Casebook;
use crate::enrolment::subject::Subject;
use crate::epro::scoring::{self, Scored};
use crate::patient::{self, Patient};
use crate::place::Place;
use crate::trial;
use crate::validate::{self, require_import};
use crate::when::When;

pub use super::correction::CorrectReport;

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Not submitted.
    #[default]
    Absent,
    /// Submitted, perhaps corrected since.
    Submitted(Box<Content>),
}

impl Report {
    /// Whose it is, and at which site, where there is one.
    pub fn participant(&self) -> Option<Participant> {
        match self {
            Report::Absent => None,
            Report::Submitted(content) => Some(content.participant),
        }
    }
}

/// What a report says now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub(super) participant: Participant,
    pub(super) instrument: String,
    questionnaire_version: String,
    pub(super) answers: Answers,
    pub(super) scores: Vec<Score>,
    pub(super) times: Times,
    pub(super) time_zone: Option<TimeZone>,
    pub(super) visit: Option<String>,
    /// When it was completed, as it was told first.
    pub(super) submitted_at: DateTime<Utc>,
    pub(super) historical: bool,
    pub(super) corrections: u32,
}

/// When a report was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: DateTime<Utc>,
    /// The day that it was then where it was filled in.
    pub completed_on: NaiveDate,
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
    /// The IANA time zone in which it was filled in; by default that in which the patient lives, or else the site's.
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

/// Corrections of a report.
pub const CORRECTIONS_MAX: u32 = 100;

rules! {
    /// Why a command to a report is refused.
    pub enum ReportError {
        AlreadySubmitted(report_id: ReportId) => ALREADY_SUBMITTED = "report-already-submitted":
            "the report was submitted already, as {0}";
        UnknownQuestionnaire => UNKNOWN_QUESTIONNAIRE = "questionnaire-not-found":
            "the trial has no such questionnaire", field "instrument";
        UnknownVersion => UNKNOWN_VERSION = "questionnaire-version-not-found":
            "the trial has this questionnaire in other versions only", field "questionnaire_version";
        CompletedBeforeStarted => COMPLETED_BEFORE_STARTED = "report-completed-before-started":
            "the report was completed before it was started", field "completed_at";
        TooManyCorrections(max: u32) => TOO_MANY_CORRECTIONS = "report-corrections-too-many":
            "the report was corrected {0} times, and its history is read as one";
        CorrectedBefore(on: NaiveDate) => CORRECTED_BEFORE = "report-corrected-before-submitted":
            "the report was completed on {0}, later than this", field "occurred_at";
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
        let place = filled_in_at(facts, &participant, self.time_zone)?;
        let completed_at = self.completed_at.time(context, "completed_at", &place)?;
        let started_at = match self.started_at {
            When::NOW => None,
            started_at => Some(started_at.time(context, "started_at", &place)?),
        };
        let times = Times { started_at, completed_at, completed_on: self.completed_at.day(context, &place)? };
        times.require_order(&place)?;
        let covered_at = self.covered_at(completed_at, &times, &participant.place(facts))?;
        participant.require_consent(facts, covered_at)?;
        let course = trial::registered(facts, participant.trial_id, None)?;
        let questionnaire = self.questionnaire(course, completed_at)?;
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
        if !context.target_named && self.completed_at.instant().is_some() {
            require_none_like(facts, casebook, &filed)?;
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
            completed_on: times.completed_on,
            time_zone: self.time_zone,
            device: self.device.clone().map(Into::into),
            visit: self.visit.clone(),
            historical: self.historical,
        };
        Ok(Decision::new(participant.references(), completed_at)
            .append(report_id, submitted)
            .append(casebook_id, filed))
    }
}

/// Refuses what says the same as a report on record. That one is looked at, so that it is told to nobody who may not see it.
pub(super) fn require_none_like(facts: &Facts, casebook: &Casebook, filed: &ReportFiled) -> Result<(), Halt> {
    match casebook.report_like(filed) {
        Some(known) if *facts.get::<Report>(known)? != Report::Absent => {
            Err(ReportError::AlreadySubmitted(known).into())
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) const fn scored<'report>(answers: &'report Answers, scores: &'report [Score]) -> Scored<'report> {
    Scored { answers, scores }
}

impl SubmitReport {
    /// The time that a consent must cover. A day alone is that day at the site, whose calendar the consent is kept by.
    fn covered_at(&self, completed_at: DateTime<Utc>, times: &Times, site: &Place<'_>) -> Result<DateTime<Utc>, Halt> {
        if !self.completed_at.is_day() {
            return Ok(completed_at);
        }
        Ok(site.zone()?.begin(times.completed_on).unwrap_or(completed_at))
    }

    /// The definition by which it is scored.
    fn questionnaire<'course>(
        &self,
        course: &'course trial::RegisteredTrial,
        completed_at: DateTime<Utc>,
    ) -> Result<&'course QuestionnaireDefinition, ReportError> {
        let in_force = course.questionnaire_at(&self.instrument, completed_at);
        match &self.questionnaire_version {
            None => in_force.ok_or(ReportError::UnknownQuestionnaire),
            Some(version) => course.questionnaire(&self.instrument, version).ok_or(match in_force {
                Some(_) => ReportError::UnknownVersion,
                None => ReportError::UnknownQuestionnaire,
            }),
        }
    }
}

/// Where a report is filled in: in the zone that is named, or else where the patient lives, or else at the site.
pub(super) fn filled_in_at<'facts>(
    facts: &'facts Facts,
    participant: &Participant,
    time_zone: Option<TimeZone>,
) -> Result<Place<'facts>, Halt> {
    if let Some(zone) = time_zone {
        return Ok(Place::at(zone));
    }
    let (patient_id, trial_id) = (participant.patient_id, participant.trial_id);
    // Whoever asks for the patient goes on to consent and trial: all in one read.
    facts.require([
        Need::of::<Patient>(patient_id),
        Need::of::<Consent>(ConsentId::of(patient_id, trial_id)),
        Need::of::<trial::Trial>(trial_id),
    ])?;
    let person = patient::registered(facts, patient_id, None)?;
    Ok(Place::of_person(facts, person.time_zone, Some(participant.site_id)))
}

impl Times {
    /// Of two times on one day of which one has no time of day neither lies before the other.
    ///
    /// # Errors
    /// [`ReportError::CompletedBeforeStarted`]; [`Halt::Needs`] where the place is not loaded yet.
    pub fn require_order(&self, place: &Place<'_>) -> Result<(), Halt> {
        let Some(started_at) = self.started_at.filter(|started_at| *started_at > self.completed_at) else {
            return Ok(());
        };
        let zone = place.zone()?;
        let is_day_alone = zone.is_whole_day(started_at) || zone.is_whole_day(self.completed_at);
        if is_day_alone && zone.day(started_at) <= zone.day(self.completed_at) {
            return Ok(());
        }
        Err(ReportError::CompletedBeforeStarted.into())
    }
}

impl Content {
    /// The definition by which it was scored.
    pub(super) fn questionnaire<'course>(
        &self,
        course: &'course trial::RegisteredTrial,
    ) -> Option<&'course QuestionnaireDefinition> {
        course.questionnaire(&self.instrument, &self.questionnaire_version)
    }
}

impl Aggregate for Report {
    type Id = ReportId;
    type Event = ReportEvent;
    const SNAPSHOT_VERSION: u16 = 4;

    fn evolve(self, event: &ReportEvent, _occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Report::Absent, ReportEvent::ReportSubmitted(submitted)) => Report::Submitted(Box::new(Content {
                participant: Participant {
                    subject_id: submitted.subject_id,
                    trial_id: submitted.trial_id,
                    site_id: submitted.site_id,
                    patient_id: submitted.patient_id,
                },
                instrument: submitted.instrument.clone(),
                questionnaire_version: submitted.questionnaire_version.clone(),
                answers: submitted.answers.clone(),
                scores: submitted.scores.clone(),
                times: Times {
                    started_at: submitted.started_at,
                    completed_at: submitted.completed_at,
                    completed_on: submitted.completed_on,
                },
                time_zone: submitted.time_zone,
                visit: submitted.visit.clone(),
                submitted_at: submitted.completed_at,
                historical: submitted.historical,
                corrections: 0,
            })),
            (Report::Submitted(mut content), ReportEvent::ReportCorrected(corrected)) => {
                content.answers = corrected.answers.clone();
                content.scores = corrected.scores.clone();
                corrected.changes.started_at.apply(&mut content.times.started_at);
                corrected.changes.completed_at.apply(&mut content.times.completed_at);
                corrected.changes.completed_on.apply(&mut content.times.completed_on);
                corrected.changes.visit.apply(&mut content.visit);
                content.corrections = corrected.correction_number;
                Report::Submitted(content)
            }
            // Not decided by any command; the log is read all the same.
            (report, ReportEvent::ReportSubmitted(_) | ReportEvent::ReportCorrected(_)) => report,
        }
    }
}
