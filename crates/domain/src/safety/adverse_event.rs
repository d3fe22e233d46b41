//! The adverse event.

use crate::enrolment::subject::Subject;
use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::envelope::Role;
use events::ids::{AdverseEventId, SubjectId};
use events::safety::adverse_event::{
    AdverseEventChange, AdverseEventReported, AdverseEventSeverity, AdverseEventUpdated,
};
use events::safety::alert::Severity;
use events::trial::questionnaire::TriggeredRule;
use events::values::PartialDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consent::participant::consented_participant;
use crate::validate::{self, Invalid, NotFound, past_day};
use crate::when::When;

/// The built-in rule that a serious adverse event meets.
pub const SERIOUS_RULE: &str = "serious-adverse-event";
/// The sponsor is told of a serious adverse event at once; sites have 24 hours
/// (ICH E6(R3), 2.7.2; Regulation (EU) 536/2014, article 41).
const SERIOUS_MINUTES: u32 = 24 * 60;

/// An adverse event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdverseEvent {
    /// Not reported.
    #[default]
    Absent,
    /// Reported.
    Reported(ReportedEvent),
}

/// What is known of an adverse event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedEvent {
    subject_id: SubjectId,
    term: String,
    serious: bool,
    onset: Option<PartialDate>,
}

/// Reports an adverse event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportAdverseEvent {
    /// The subject.
    pub subject_id: SubjectId,
    /// What happened, coded or as told.
    pub term: String,
    /// How severe.
    pub severity: AdverseEventSeverity,
    /// Common Terminology Criteria grade, 1 to 5.
    #[serde(default)]
    pub ctcae_grade: Option<u8>,
    /// Whether it is serious: fatal, life-threatening, hospitalisation, disability, congenital anomaly.
    pub serious: bool,
    /// Relation to treatment, such as `PROBABLE`.
    #[serde(default)]
    pub relatedness: Option<String>,
    /// When it began, as far as it is known; may lie before the consent.
    #[serde(default)]
    pub onset: Option<PartialDate>,
    /// When it ended, as far as it is known.
    #[serde(default)]
    pub ended: Option<PartialDate>,
    /// Outcome, such as `RECOVERED/RESOLVED`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// When it was reported; by default now.
    pub occurred_at: When,
}

/// Adds to what is known of an adverse event; a field that is left out does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAdverseEvent {
    /// How severe.
    #[serde(default)]
    pub severity: Option<AdverseEventSeverity>,
    /// Common Terminology Criteria grade, 1 to 5.
    #[serde(default)]
    pub ctcae_grade: Option<u8>,
    /// Whether it is serious.
    #[serde(default)]
    pub serious: Option<bool>,
    /// Relation to treatment.
    #[serde(default)]
    pub relatedness: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<PartialDate>,
    /// Outcome.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Why it is updated.
    pub reason: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to an adverse event is refused.
    pub enum AdverseEventError {
        AlreadyReported => ALREADY_REPORTED = "adverse-event-already-reported":
            "the adverse event was reported already";
        EndedBeforeOnset => ENDED_BEFORE_ONSET = "adverse-event-ended-before-onset":
            "the adverse event ended before it began", field "ended";
        _ => NOT_FOUND = "adverse-event-not-found";
    }
}

impl Command for ReportAdverseEvent {
    type Target = AdverseEventId;
    const NAME: &'static str = "ReportAdverseEvent";

    fn reads(&self, adverse_event_id: AdverseEventId) -> Vec<Need> {
        vec![Need::of::<AdverseEvent>(adverse_event_id), Need::of::<Subject>(self.subject_id)]
    }

    fn decide(&self, adverse_event_id: AdverseEventId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::text("term", &self.term)?;
        check_grade(self.ctcae_grade)?;
        validate::optional_text("relatedness", self.relatedness.as_deref())?;
        validate::optional_text("outcome", self.outcome.as_deref())?;
        check_day(context, "onset", self.onset.as_ref())?;
        check_day(context, "ended", self.ended.as_ref())?;
        check_order(self.onset.as_ref(), self.ended.as_ref())?;
        let occurred_at = self.occurred_at.time(context, "occurred_at")?;
        if *facts.get::<AdverseEvent>(adverse_event_id)? != AdverseEvent::Absent {
            return Err(AdverseEventError::AlreadyReported.into());
        }
        let participant = consented_participant(facts, self.subject_id, Some("subject_id"), occurred_at)?;
        let reported = AdverseEventReported {
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            term: self.term.clone(),
            severity: self.severity,
            ctcae_grade: self.ctcae_grade,
            serious: self.serious,
            relatedness: self.relatedness.clone(),
            onset: self.onset.clone(),
            ended: self.ended.clone(),
            outcome: self.outcome.clone(),
            triggered_rules: if self.serious { vec![serious_rule(&self.term)] } else { Vec::new() },
        };
        Ok(Decision::new(participant.references(), occurred_at).append(adverse_event_id, reported))
    }
}

impl Command for UpdateAdverseEvent {
    type Target = AdverseEventId;
    const NAME: &'static str = "UpdateAdverseEvent";

    fn decide(&self, adverse_event_id: AdverseEventId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        check_grade(self.ctcae_grade)?;
        validate::optional_text("relatedness", self.relatedness.as_deref())?;
        validate::optional_text("outcome", self.outcome.as_deref())?;
        validate::prose("reason", &self.reason)?;
        check_day(context, "ended", self.ended.as_ref())?;
        let occurred_at = self.occurred_at.time(context, "occurred_at")?;
        let reported_event = match facts.get::<AdverseEvent>(adverse_event_id)? {
            AdverseEvent::Reported(reported_event) => reported_event,
            AdverseEvent::Absent => {
                return Err(NotFound::halt(AdverseEventError::NOT_FOUND, "adverse event", adverse_event_id, None));
            }
        };
        check_order(reported_event.onset.as_ref(), self.ended.as_ref())?;
        let participant = consented_participant(facts, reported_event.subject_id, None, occurred_at)?;
        let became_serious = self.serious == Some(true) && !reported_event.serious;
        let updated = AdverseEventUpdated {
            severity: self.severity,
            ctcae_grade: self.ctcae_grade,
            serious: self.serious,
            relatedness: self.relatedness.clone(),
            ended: self.ended.clone(),
            outcome: self.outcome.clone(),
            reason: self.reason.clone(),
            triggered_rules: if became_serious { vec![serious_rule(&reported_event.term)] } else { Vec::new() },
        };
        Ok(Decision::new(participant.references(), occurred_at).append(adverse_event_id, updated))
    }
}

fn serious_rule(term: &str) -> TriggeredRule {
    TriggeredRule {
        rule: SERIOUS_RULE.to_owned(),
        severity: Severity::Critical,
        finding: format!("serious adverse event: {term}"),
        recipients: vec![Role::Investigator, Role::MedicalMonitor],
        acknowledge_within_minutes: SERIOUS_MINUTES,
    }
}

fn check_grade(grade: Option<u8>) -> Result<(), Invalid> {
    grade.map_or(Ok(()), |grade| validate::range("ctcae_grade", grade.into(), 1, 5))
}

fn check_day(context: &Context, field: &str, day: Option<&PartialDate>) -> Result<(), Invalid> {
    day.map_or(Ok(()), |day| past_day(context, field, day.earliest()))
}

/// Compares as far as both dates are known.
fn check_order(onset: Option<&PartialDate>, ended: Option<&PartialDate>) -> Result<(), AdverseEventError> {
    let (Some(onset), Some(ended)) = (onset, ended) else { return Ok(()) };
    let known = onset.as_str().len().min(ended.as_str().len());
    if ended.as_str()[..known] < onset.as_str()[..known] {
        return Err(AdverseEventError::EndedBeforeOnset);
    }
    Ok(())
}

impl Aggregate for AdverseEvent {
    type Id = AdverseEventId;
    type Event = AdverseEventChange;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &AdverseEventChange, _occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (AdverseEvent::Absent, AdverseEventChange::AdverseEventReported(reported)) => {
                AdverseEvent::Reported(ReportedEvent {
                    subject_id: reported.subject_id,
                    term: reported.term.clone(),
                    serious: reported.serious,
                    onset: reported.onset.clone(),
                })
            }
            (AdverseEvent::Reported(reported_event), AdverseEventChange::AdverseEventUpdated(updated)) => {
                let serious = updated.serious.unwrap_or(reported_event.serious);
                AdverseEvent::Reported(ReportedEvent { serious, ..reported_event })
            }
            // Not decided by any command; the log is read all the same.
            (
                adverse_event,
                AdverseEventChange::AdverseEventReported(_) | AdverseEventChange::AdverseEventUpdated(_),
            ) => adverse_event,
        }
    }
}
