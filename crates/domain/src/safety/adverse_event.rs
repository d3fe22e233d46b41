//! The adverse event.

mod known;

use events::envelope::Role;
use events::identifier;
use events::safety::adverse_event::{
    AdverseEventChange, AdverseEventFields, AdverseEventReported, AdverseEventSeverity, AdverseEventUpdated,
};
use events::safety::alert::Severity;
use events::trial::questionnaire::TriggeredRule;

use crate::consent::participant::{Participant, participant};
use crate::enrolment::subject::Subject;
use crate::prelude::*;
use crate::validate::{Faults, Unchanged, require_import};

pub use known::subject_of;

/// The built-in rule that a serious adverse event meets.
pub const SERIOUS_RULE: &str = "serious-adverse-event";
/// The sponsor is told of a serious adverse event at once; sites have 24 hours
/// (ICH E6(R3), 2.7.2; Regulation (EU) 536/2014, article 41).
const SERIOUS_MINUTES: u32 = 24 * 60;
/// The outcome of a death (CDISC codelist OUT, C66768).
const FATAL: &str = "FATAL";
/// The grade of a death (Common Terminology Criteria for Adverse Events 5.0).
const GRADE_OF_DEATH: u8 = 5;

/// An adverse event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdverseEvent {
    /// Not reported.
    #[default]
    Absent,
    /// Reported.
    Reported(Box<Known>),
}

/// What is known of an adverse event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    participant: Participant,
    reported_at: DateTime<Utc>,
    /// Whether it was brought in from a record of the past.
    historical: bool,
    term: String,
    reported_term: Option<Prose>,
    severity: AdverseEventSeverity,
    ctcae_grade: Option<u8>,
    serious: bool,
    relatedness: Option<String>,
    onset: Option<PartialDate>,
    ended: Option<PartialDate>,
    outcome: Option<String>,
}

/// Reports an adverse event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportAdverseEvent {
    /// The subject.
    pub subject_id: SubjectId,
    /// What happened, coded or as told.
    pub term: String,
    /// The reporter's own words, where `term` is the coded one.
    #[serde(default)]
    pub reported_term: Option<String>,
    /// How severe.
    pub severity: AdverseEventSeverity,
    /// Common Terminology Criteria grade, 1 to 5.
    #[serde(default)]
    pub ctcae_grade: Option<u8>,
    /// Whether it is serious: fatal, life-threatening, hospitalisation, disability, congenital anomaly. With the
    /// outcome `FATAL` or grade 5 it is, whatever stands here (but for records of the past).
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
    /// Brought in from a record of the past, by an integration: nobody is told of the alerts that it raises.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
    /// When it was reported; by default now.
    pub occurred_at: When,
}

/// Adds to what is known of an adverse event, or corrects it. A field that is left out does not change; `null` takes
/// away what was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAdverseEvent {
    /// What happened, coded or as told.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub term: Change<String>,
    /// The reporter's own words, where `term` is the coded one.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub reported_term: OptionalChange<String>,
    /// How severe.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub severity: Change<AdverseEventSeverity>,
    /// Common Terminology Criteria grade, 1 to 5.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub ctcae_grade: OptionalChange<u8>,
    /// Whether it is serious.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub serious: Change<bool>,
    /// Relation to treatment.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub relatedness: OptionalChange<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub onset: OptionalChange<PartialDate>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub ended: OptionalChange<PartialDate>,
    /// Outcome.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub outcome: OptionalChange<String>,
    /// Why it is updated.
    pub reason: String,
    /// Brought in from a record of the past, by an integration: nobody is told of the alerts that it raises.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
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
        ReportedBeforeOnset => REPORTED_BEFORE_ONSET = "adverse-event-reported-before-onset":
            "the adverse event cannot be reported before it began", field "occurred_at";
        UpdatedBefore(on: NaiveDate) => UPDATED_BEFORE = "adverse-event-updated-before-reported":
            "the adverse event was reported or updated on {0}, later than this", field "occurred_at";
        FatalIsSerious => FATAL_IS_SERIOUS = "adverse-event-fatal-is-serious":
            "an adverse event that is fatal or of grade 5 is serious", field "serious";
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
        let words = [("relatedness", self.relatedness.as_ref()), ("outcome", self.outcome.as_ref())];
        validate::all([
            require_import(context, self.historical).map_err(Faults::from),
            check_words([Some(&self.term), self.reported_term.as_ref()], self.ctcae_grade, words),
        ])?;
        if *facts.get::<AdverseEvent>(adverse_event_id)? != AdverseEvent::Absent {
            return Err(AdverseEventError::AlreadyReported.into());
        }
        let participant = participant(facts, self.subject_id, Some("subject_id"))?;
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        let mut known = Known {
            participant,
            reported_at: occurred_at,
            historical: self.historical,
            term: self.term.clone(),
            reported_term: self.reported_term.clone().map(Into::into),
            severity: self.severity,
            ctcae_grade: self.ctcae_grade,
            serious: self.serious,
            relatedness: self.relatedness.clone(),
            onset: self.onset.clone(),
            ended: self.ended.clone(),
            outcome: self.outcome.clone(),
        };
        known.check(context, self.occurred_at.day(context, &place)?, &place)?;
        // What another system recorded is kept as it was told; it raises the alert all the same.
        known.serious |= known.is_fatal() && !self.historical;
        let covered = participant.require_consent_for(facts, known.onset.as_ref(), occurred_at);
        let outside_consent = match covered {
            // The safety of whoever took part comes first (ICH E6(R3), 2.7).
            Err(Halt::Refused(_)) if known.is_urgent() => true,
            covered => covered.map(|()| false)?,
        };
        let reported = AdverseEventReported {
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            triggered_rules: known.triggered(None),
            term: known.term,
            reported_term: known.reported_term,
            severity: known.severity,
            ctcae_grade: known.ctcae_grade,
            serious: known.serious,
            relatedness: known.relatedness,
            onset: known.onset,
            ended: known.ended,
            outcome: known.outcome,
            outside_consent,
            historical: self.historical,
        };
        Ok(Decision::new(participant.references(), occurred_at).append(adverse_event_id, reported))
    }
}

impl Command for UpdateAdverseEvent {
    type Target = AdverseEventId;
    const NAME: &'static str = "UpdateAdverseEvent";

    fn decide(&self, adverse_event_id: AdverseEventId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let (term, grade) = (self.term.value(), self.ctcae_grade.value().copied());
        let words = [("relatedness", self.relatedness.value()), ("outcome", self.outcome.value())];
        validate::all([
            validate::prose("reason", &self.reason).map_err(Faults::from),
            require_import(context, self.historical).map_err(Faults::from),
            check_words([term, self.reported_term.value()], grade, words),
        ])?;
        let AdverseEvent::Reported(known) = facts.get::<AdverseEvent>(adverse_event_id)? else {
            return Err(NotFound::halt(AdverseEventError::NOT_FOUND, "adverse event", adverse_event_id, None));
        };
        // What is on record is followed up whether a consent is in force or not.
        let participant = known.participant;
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        // Not before what was recorded last: what is learnt first may arrive later.
        place.require_not_before(occurred_at, known.reported_at, AdverseEventError::UpdatedBefore)?;
        validate::historical_of(self.historical, known.historical)?;
        // The report of a record of the past is dated by what it tells, which may have been wrong.
        let told_at = if self.historical { occurred_at } else { known.reported_at };
        let told_on = place.day(told_at)?;
        if self.onset.value().is_some_and(|onset| onset.earliest() > told_on) {
            return Err(AdverseEventError::ReportedBeforeOnset.into());
        }
        let mut now = known.clone();
        now.apply(&self.fields());
        now.check(context, self.occurred_at.day(context, &place)?, &place)?;
        if now.is_fatal() {
            if self.serious.value() == Some(&false) && !self.historical {
                return Err(AdverseEventError::FatalIsSerious.into());
            }
            now.serious |= !self.historical;
        }
        let (changes, previous) = now.differences(known);
        if changes == AdverseEventFields::default() {
            return Err(Unchanged.into());
        }
        let updated = AdverseEventUpdated {
            changes,
            previous,
            reason: self.reason.clone().into(),
            triggered_rules: now.triggered(Some(known)),
            historical: self.historical,
        };
        Ok(Decision::new(participant.references(), occurred_at).append(adverse_event_id, updated))
    }
}

/// Checks what is told in words, terms first.
fn check_words(
    [term, reported_term]: [Option<&String>; 2],
    grade: Option<u8>,
    words: [(&str, Option<&String>); 2],
) -> Result<(), Faults> {
    let grade = validate::range("ctcae_grade", grade.map_or(1, u32::from), 1, GRADE_OF_DEATH.into());
    let [relatedness, outcome] = words;
    let texts = [("term", term), ("reported_term", reported_term), relatedness, outcome];
    let texts = texts.map(|(field, text)| validate::optional_text(field, text.map(String::as_str)));
    validate::all(texts.into_iter().chain([grade]))
}

impl UpdateAdverseEvent {
    fn fields(&self) -> AdverseEventFields {
        AdverseEventFields {
            term: self.term.clone(),
            reported_term: self.reported_term.clone().map(Into::into),
            severity: self.severity,
            ctcae_grade: self.ctcae_grade,
            serious: self.serious,
            relatedness: self.relatedness.clone(),
            onset: self.onset.clone(),
            ended: self.ended.clone(),
            outcome: self.outcome.clone(),
        }
    }
}

impl Known {
    fn is_fatal(&self) -> bool {
        let outcome = self.outcome.as_ref().is_some_and(|outcome| identifier::same(outcome, FATAL));
        outcome || self.ctcae_grade == Some(GRADE_OF_DEATH)
    }

    /// Whether it is serious, whatever is said of it.
    fn is_urgent(&self) -> bool {
        self.serious || self.is_fatal()
    }

    /// Checks the fields, as they are told on `day`.
    fn check(&self, context: &Context, day: NaiveDate, place: &Place<'_>) -> Result<(), Halt> {
        if let Some(onset) = &self.onset {
            past_day(context, "onset", onset.earliest(), place)?;
            if onset.earliest() > day {
                return Err(AdverseEventError::ReportedBeforeOnset.into());
            }
        }
        if let Some(ended) = &self.ended {
            past_day(context, "ended", ended.earliest(), place)?;
        }
        if let (Some(onset), Some(ended)) = (&self.onset, &self.ended)
            && ended.latest() < onset.earliest()
        {
            return Err(AdverseEventError::EndedBeforeOnset.into());
        }
        Ok(())
    }

    /// The alert rules that are met now and were not before, or that are met worse.
    fn triggered(&self, before: Option<&Self>) -> Vec<TriggeredRule> {
        let is_told = |before: &Self| before.is_urgent() && (before.is_fatal() || !self.is_fatal());
        if !self.is_urgent() || before.is_some_and(is_told) {
            return Vec::new();
        }
        let kind = if self.is_fatal() { "fatal" } else { "serious" };
        vec![TriggeredRule {
            rule: SERIOUS_RULE.to_owned(),
            severity: Severity::Critical,
            finding: format!("{kind} adverse event: {}", self.term),
            recipients: vec![Role::Investigator, Role::MedicalMonitor],
            acknowledge_within_minutes: SERIOUS_MINUTES,
        }]
    }
}

impl Aggregate for AdverseEvent {
    type Id = AdverseEventId;
    type Event = AdverseEventChange;
    const SNAPSHOT_VERSION: u16 = 5;

    fn evolve(self, event: &AdverseEventChange, occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (AdverseEvent::Absent, AdverseEventChange::AdverseEventReported(reported)) => {
                AdverseEvent::Reported(Box::new(Known {
                    participant: Participant {
                        subject_id: reported.subject_id,
                        trial_id: reported.trial_id,
                        site_id: reported.site_id,
                        patient_id: reported.patient_id,
                    },
                    reported_at: occurred_at,
                    historical: reported.historical,
                    term: reported.term.clone(),
                    reported_term: reported.reported_term.clone(),
                    severity: reported.severity,
                    ctcae_grade: reported.ctcae_grade,
                    serious: reported.serious,
                    relatedness: reported.relatedness.clone(),
                    onset: reported.onset.clone(),
                    ended: reported.ended.clone(),
                    outcome: reported.outcome.clone(),
                }))
            }
            (AdverseEvent::Reported(mut known), AdverseEventChange::AdverseEventUpdated(updated)) => {
                known.apply(&updated.changes);
                AdverseEvent::Reported(known)
            }
            // Not decided by any command; the log is read all the same.
            (
                adverse_event,
                AdverseEventChange::AdverseEventReported(_) | AdverseEventChange::AdverseEventUpdated(_),
            ) => adverse_event,
        }
    }
}
