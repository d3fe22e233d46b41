//! The visit: follow-up of a subject.

use events::enrolment::casebook::VisitFiled;
use events::visit::{VisitAttended, VisitCorrected, VisitEvent, VisitFields};

use crate::consent::participant::{Participant, participant};
use crate::enrolment::casebook::Casebook;
use crate::enrolment::subject::Subject;
use crate::prelude::*;
use crate::validate::Unchanged;

/// A visit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visit {
    /// Nothing recorded.
    #[default]
    Absent,
    /// The subject came.
    Attended(Box<Attended>),
}

impl Visit {
    /// Who came, and to which site, where it is recorded.
    pub fn participant(&self) -> Option<Participant> {
        match self {
            Visit::Absent => None,
            Visit::Attended(attended) => Some(attended.participant),
        }
    }
}

/// What is known of an attended visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attended {
    participant: Participant,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    visit: String,
    visit_number: Option<Quantity>,
    attended_on: PartialDate,
}

/// Records that a subject came to a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordVisit {
    /// The subject.
    pub subject_id: SubjectId,
    /// The visit's name, such as `WEEK 8`.
    pub visit: String,
    /// The visit's number; fractions are unscheduled visits.
    #[serde(default)]
    pub visit_number: Option<Quantity>,
    /// The day of the visit, as far as it is known.
    pub attended_on: PartialDate,
    /// When it was recorded or happened; by default now.
    pub occurred_at: When,
}

/// Corrects what was recorded of a visit. A field that is left out does not change; `null` takes away what was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectVisit {
    /// The visit's name.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub visit: Change<String>,
    /// The visit's number.
    #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
    pub visit_number: OptionalChange<Quantity>,
    /// The day of the visit, as far as it is known.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub attended_on: Change<PartialDate>,
    /// Why it is corrected.
    pub reason: String,
    /// When it was corrected; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to a visit is refused.
    pub enum VisitError {
        AlreadyRecorded(visit_id: VisitId) => ALREADY_RECORDED = "visit-already-recorded":
            "the visit was recorded already, as {0}";
        RecordedBefore => RECORDED_BEFORE = "visit-recorded-before-attended":
            "the visit cannot be recorded before the day on which the subject came", field "occurred_at";
        CorrectedBefore(on: NaiveDate) => CORRECTED_BEFORE = "visit-corrected-before-recorded":
            "the visit was recorded on {0}, later than this", field "occurred_at";
        _ => NOT_FOUND = "visit-not-found";
    }
}

impl Command for RecordVisit {
    type Target = VisitId;
    const NAME: &'static str = "RecordVisit";

    fn reads(&self, visit_id: VisitId) -> Vec<Need> {
        vec![
            Need::of::<Visit>(visit_id),
            Need::of::<Subject>(self.subject_id),
            Need::of::<Casebook>(CasebookId::of(self.subject_id)),
        ]
    }

    fn decide(&self, visit_id: VisitId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::text("visit", &self.visit)?;
        if *facts.get::<Visit>(visit_id)? != Visit::Absent {
            return Err(VisitError::AlreadyRecorded(visit_id).into());
        }
        // That somebody came is not yet a clinical fact: a visit from a day before
        // the signature is kept, what was found there needs the consent.
        let participant = participant(facts, self.subject_id, Some("subject_id"))?;
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        check_day(&self.attended_on, self.occurred_at.day(context, &place)?, context, &place)?;
        participant.require_consent_of_visit(facts, &self.attended_on, occurred_at)?;
        let filed = VisitFiled {
            visit_id,
            visit: self.visit.clone(),
            visit_number: self.visit_number,
            attended_on: self.attended_on.clone(),
        };
        let casebook_id = CasebookId::of(self.subject_id);
        let casebook = facts.get::<Casebook>(casebook_id)?;
        // Of two visits in one month nobody knows whether they are one; whoever names the visit knows it from the others.
        if !context.target_named && self.attended_on.exact().is_some() {
            require_none_like(facts, casebook, &filed)?;
        }
        let attended = VisitAttended {
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            visit: self.visit.clone(),
            visit_number: self.visit_number,
            attended_on: self.attended_on.clone(),
        };
        Ok(Decision::new(participant.references(), occurred_at).append(visit_id, attended).append(casebook_id, filed))
    }
}

/// Refuses what says the same as a visit on record. That one is looked at, so that it is told to nobody who may not see it.
fn require_none_like(facts: &Facts, casebook: &Casebook, filed: &VisitFiled) -> Result<(), Halt> {
    match casebook.visit_like(filed) {
        Some(known) if *facts.get::<Visit>(known)? != Visit::Absent => Err(VisitError::AlreadyRecorded(known).into()),
        Some(_) | None => Ok(()),
    }
}

/// A visit is recorded on its day or later.
fn check_day(
    attended_on: &PartialDate,
    recorded_on: NaiveDate,
    context: &Context,
    place: &Place<'_>,
) -> Result<(), Halt> {
    past_day(context, "attended_on", attended_on.earliest(), place)?;
    if attended_on.earliest() > recorded_on { Err(VisitError::RecordedBefore.into()) } else { Ok(()) }
}

impl Command for CorrectVisit {
    type Target = VisitId;
    const NAME: &'static str = "CorrectVisit";

    fn decide(&self, visit_id: VisitId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::prose("reason", &self.reason),
            validate::optional_text("visit", self.visit.value().map(String::as_str)),
        ])?;
        let Visit::Attended(attended) = facts.get::<Visit>(visit_id)? else {
            return Err(NotFound::halt(VisitError::NOT_FOUND, "visit", visit_id, None));
        };
        let participant = attended.participant;
        let place = participant.place(facts);
        let occurred_at = self.occurred_at.time(context, "occurred_at", &place)?;
        place.require_not_before(occurred_at, attended.recorded_at, VisitError::CorrectedBefore)?;
        if let Some(attended_on) = self.attended_on.value() {
            // Not the day of the record: that was dated by what turned out to be wrong.
            check_day(attended_on, self.occurred_at.day(context, &place)?, context, &place)?;
        }
        let (visit, old_visit) = self.visit.of(&attended.visit);
        let (visit_number, old_number) = self.visit_number.of(&attended.visit_number);
        let (attended_on, old_day) = self.attended_on.of(&attended.attended_on);
        let changes = VisitFields { visit, visit_number, attended_on };
        if changes == VisitFields::default() {
            return Err(Unchanged.into());
        }
        let previous = VisitFields { visit: old_visit, visit_number: old_number, attended_on: old_day };
        let mut filed = VisitFiled {
            visit_id,
            visit: attended.visit.clone(),
            visit_number: attended.visit_number,
            attended_on: attended.attended_on.clone(),
        };
        changes.visit.apply(&mut filed.visit);
        changes.visit_number.apply(&mut filed.visit_number);
        changes.attended_on.apply(&mut filed.attended_on);
        let casebook_id = CasebookId::of(participant.subject_id);
        let casebook = facts.get::<Casebook>(casebook_id)?;
        if filed.attended_on.exact().is_some() {
            require_none_like(facts, casebook, &filed)?;
        }
        let corrected = VisitCorrected { changes, previous, reason: self.reason.clone().into() };
        Ok(Decision::new(participant.references(), occurred_at).append(visit_id, corrected).append(casebook_id, filed))
    }
}

impl Aggregate for Visit {
    type Id = VisitId;
    type Event = VisitEvent;
    const SNAPSHOT_VERSION: u16 = 5;

    fn evolve(self, event: &VisitEvent, occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Visit::Absent, VisitEvent::VisitAttended(attended)) => Visit::Attended(Box::new(Attended {
                participant: Participant {
                    subject_id: attended.subject_id,
                    trial_id: attended.trial_id,
                    site_id: attended.site_id,
                    patient_id: attended.patient_id,
                },
                recorded_at: occurred_at,
                visit: attended.visit.clone(),
                visit_number: attended.visit_number,
                attended_on: attended.attended_on.clone(),
            })),
            (Visit::Attended(mut attended), VisitEvent::VisitCorrected(corrected)) => {
                corrected.changes.visit.apply(&mut attended.visit);
                corrected.changes.visit_number.apply(&mut attended.visit_number);
                corrected.changes.attended_on.apply(&mut attended.attended_on);
                Visit::Attended(attended)
            }
            // Not decided by any command; the log is read all the same.
            (visit, VisitEvent::VisitAttended(_) | VisitEvent::VisitCorrected(_)) => visit,
        }
    }
}
