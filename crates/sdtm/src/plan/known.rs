//! What the log knows of a subject: as it stands, and as the latest transfer told it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use events::change::OptionalChange;
use events::consent::ConsentEvent;
use events::enrolment::subject::{CriterionAssessment, CriterionResult, SubjectEnd, SubjectEndCorrected, SubjectEvent};
use events::envelope::References;
use events::epro::report::{ReportEvent, ReportSubmitted};
use events::ids::{AdverseEventId, ReportId, SiteId, StreamId, StreamType, TrialId, VisitId};
use events::patient::{ObservationCorrected, PatientEvent, PatientRegistered};
use events::safety::adverse_event::{AdverseEventChange, AdverseEventReported};
use events::set::EventSet;
use events::trial::ObservationValue;
use events::values::Prose;
use events::visit::{VisitAttended, VisitEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a later transfer changes what an earlier one brought.
pub const TRANSFER: &str = "Changed in a later transfer";

/// Something as it stands, and as the latest transfer told it: what somebody corrected since is not undone by a
/// transfer that says the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both<T> {
    /// As it stands.
    pub now: T,
    /// As the latest transfer told it.
    pub told: T,
    /// As it was first recorded, of which its id was made.
    pub first: T,
}

impl<T: Clone> Both<T> {
    fn new(value: T) -> Self {
        Self { now: value.clone(), told: value.clone(), first: value }
    }

    /// Changes it, and what was told where a transfer said so.
    fn change(&mut self, by_transfer: bool, change: impl Fn(&mut T)) {
        change(&mut self.now);
        if by_transfer {
            change(&mut self.told);
        }
    }
}

/// An observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What was observed.
    pub code: String,
    /// When.
    pub observed_at: DateTime<Utc>,
    /// The value with its unit.
    pub value: Both<(ObservationValue, Option<String>)>,
}

/// The end of participation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As planned, or before.
    pub end: SubjectEnd,
    /// Why, where it ended before completion.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A subject's course.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The site.
    pub site_id: Option<SiteId>,
    /// The subject number.
    pub number: String,
    /// What was found of the criteria.
    pub assessments: Vec<CriterionAssessment>,
    /// Why screening failed, where it did.
    pub failed: Option<Vec<String>>,
    /// Whether the subject was enrolled.
    pub enrolled_at: Option<DateTime<Utc>>,
    /// Whether the subject was allocated.
    pub randomised_at: Option<DateTime<Utc>>,
    /// The arm, where the account may see it.
    pub arm: Option<String>,
    /// The end, where there is one.
    pub ended: Option<Both<Ended>>,
}

/// What is known of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The person.
    pub patient: Option<Both<PatientRegistered>>,
    /// What was observed, in the order in which it was recorded.
    pub observations: Vec<Observed>,
    /// When the consent was signed.
    pub signed_at: Option<DateTime<Utc>>,
    /// Whether the consent was withdrawn.
    pub withdrawn: bool,
    /// The course, where the patient was screened.
    pub course: Option<Course>,
    /// The visits.
    pub visits: BTreeMap<VisitId, Both<VisitAttended>>,
    /// The adverse events.
    pub adverse_events: BTreeMap<AdverseEventId, Both<AdverseEventReported>>,
    /// The forms.
    pub reports: BTreeMap<ReportId, Both<ReportSubmitted>>,
    versions: HashMap<StreamId, u64>,
}

/// A line of a patient's history, as the server tells it.
#[derive(Deserialize)]
struct Line<'line> {
    occurred_at: DateTime<Utc>,
    #[serde(rename = "type")]
    event_type: String,
    schema_version: u16,
    stream: StreamId,
    version: u64,
    #[serde(flatten)]
    references: References,
    #[serde(borrow)]
    payload: &'line RawValue,
}

impl Known {
    /// Reads a patient's history (NDJSON), as far as it is about the trial.
    ///
    /// # Errors
    /// Where a line is no event.
    pub fn read(history: &str, trial_id: TrialId) -> Result<Self, serde_json::Error> {
        let mut known = Self::default();
        for line in history.lines().filter(|line| !line.trim().is_empty()) {
            known.apply(&serde_json::from_str(line)?, trial_id);
        }
        Ok(known)
    }

    /// The version of a stream; 0 where nothing is known of it.
    pub fn version(&self, stream: StreamId) -> u64 {
        self.versions.get(&stream).copied().unwrap_or_default()
    }

    fn apply(&mut self, line: &Line<'_>, trial_id: TrialId) {
        if line.references.trial_id.is_some_and(|of| of != trial_id) {
            return;
        }
        let (stream, at) = (line.stream, line.occurred_at);
        self.versions.insert(stream, line.version);
        match stream.kind {
            StreamType::Patient => line.event().into_iter().for_each(|event| self.patient(event)),
            StreamType::Consent => line.event().into_iter().for_each(|event| self.consent(&event)),
            StreamType::Subject => match line.event() {
                Some(event) => self.subject(event, at),
                // Without the arm, which the account may not see.
                None if line.event_type == "SubjectRandomised" => self.randomised(None, at),
                None => {}
            },
            StreamType::Visit => line.event().into_iter().for_each(|event| self.visit(stream.id.into(), event)),
            StreamType::AdverseEvent => {
                line.event().into_iter().for_each(|event| self.adverse_event(stream.id.into(), event));
            }
            StreamType::Report => line.event().into_iter().for_each(|event| self.report(stream.id.into(), event)),
            _ => {}
        }
    }

    fn patient(&mut self, event: PatientEvent) {
        match event {
            PatientEvent::PatientRegistered(registered) => self.patient = Some(Both::new(registered)),
            PatientEvent::PatientAdmitted(_) | PatientEvent::ContactPreferencesSet(_) => {}
            PatientEvent::DemographicsCorrected(corrected) => {
                let Some(patient) = &mut self.patient else { return };
                patient.change(corrected.reason == *TRANSFER, |patient| {
                    corrected.changes.birth_date.apply(&mut patient.birth_date);
                    corrected.changes.sex.apply(&mut patient.sex);
                });
            }
            PatientEvent::ObservationRecorded(recorded) => self.observations.push(Observed {
                code: recorded.code,
                observed_at: recorded.observed_at,
                value: Both::new((recorded.value, recorded.unit)),
            }),
            PatientEvent::ObservationCorrected(corrected) => self.observation_corrected(&corrected),
        }
    }

    fn observation_corrected(&mut self, corrected: &ObservationCorrected) {
        let is_meant =
            |known: &&mut Observed| known.code == corrected.code && known.observed_at == corrected.observed_at;
        let Some(known) = self.observations.iter_mut().rev().find(is_meant) else { return };
        known.value.change(corrected.reason == *TRANSFER, |(value, unit)| {
            corrected.changes.value.apply(value);
            corrected.changes.unit.apply(unit);
        });
        corrected.changes.observed_at.apply(&mut known.observed_at);
    }

    fn consent(&mut self, event: &ConsentEvent) {
        match event {
            ConsentEvent::ConsentSigned(signed) => {
                self.signed_at = self.signed_at.or(Some(signed.signed_at));
                self.withdrawn = false;
            }
            ConsentEvent::ConsentWithdrawn(_) => self.withdrawn = true,
            _ => {}
        }
    }

    fn subject(&mut self, event: SubjectEvent, at: DateTime<Utc>) {
        let course = self.course.get_or_insert_default();
        let ended = |end, reason, detail| Some(Both::new(Ended { end, reason, detail, at }));
        match event {
            SubjectEvent::PatientScreened(screened) => {
                course.site_id = Some(screened.site_id);
                course.number = screened.subject_number;
            }
            SubjectEvent::PatientRescreened(again) => {
                let (site_id, number) = (Some(again.site_id), again.subject_number);
                *course = Course { site_id, number, ..Course::default() };
            }
            SubjectEvent::EligibilityRecorded(recorded) => course.assessments = recorded.assessments,
            SubjectEvent::ScreeningFailed(failed) => {
                course.failed = Some(failed.reasons.into_iter().filter_map(Prose::into_words).collect())
            }
            SubjectEvent::SubjectEnrolled(_) => course.enrolled_at = Some(at),
            SubjectEvent::SubjectRandomised(randomised) => self.randomised(randomised.arm.expose().cloned(), at),
            SubjectEvent::SubjectDiscontinued(discontinued) => {
                course.ended = ended(
                    SubjectEnd::Discontinued,
                    Some(discontinued.reason),
                    discontinued.detail.and_then(Prose::into_words),
                );
            }
            SubjectEvent::SubjectCompleted(_) => course.ended = ended(SubjectEnd::Completed, None, None),
            SubjectEvent::SubjectEndCorrected(corrected) => course.end_corrected(&corrected),
            SubjectEvent::SubjectUnblinded(_) => {}
        }
    }

    fn randomised(&mut self, arm: Option<String>, at: DateTime<Utc>) {
        let course = self.course.get_or_insert_default();
        course.randomised_at = Some(at);
        course.arm = arm;
    }

    fn visit(&mut self, id: VisitId, event: VisitEvent) {
        match event {
            VisitEvent::VisitAttended(attended) => drop(self.visits.insert(id, Both::new(attended))),
            VisitEvent::VisitCorrected(corrected) => {
                let Some(visit) = self.visits.get_mut(&id) else { return };
                visit.change(corrected.reason == *TRANSFER, |visit| {
                    corrected.changes.visit.apply(&mut visit.visit);
                    corrected.changes.visit_number.apply(&mut visit.visit_number);
                    corrected.changes.attended_on.apply(&mut visit.attended_on);
                });
            }
        }
    }

    fn adverse_event(&mut self, id: AdverseEventId, event: AdverseEventChange) {
        match event {
            AdverseEventChange::AdverseEventReported(reported) => {
                self.adverse_events.insert(id, Both::new(reported));
            }
            AdverseEventChange::AdverseEventUpdated(updated) => {
                let Some(known) = self.adverse_events.get_mut(&id) else { return };
                let changes = &updated.changes;
                known.change(updated.reason == *TRANSFER, |known| {
                    changes.term.apply(&mut known.term);
                    changes.reported_term.apply(&mut known.reported_term);
                    changes.severity.apply(&mut known.severity);
                    changes.ctcae_grade.apply(&mut known.ctcae_grade);
                    changes.serious.apply(&mut known.serious);
                    changes.relatedness.apply(&mut known.relatedness);
                    changes.onset.apply(&mut known.onset);
                    changes.ended.apply(&mut known.ended);
                    changes.outcome.apply(&mut known.outcome);
                });
            }
        }
    }

    fn report(&mut self, id: ReportId, event: ReportEvent) {
        match event {
            ReportEvent::ReportSubmitted(submitted) => drop(self.reports.insert(id, Both::new(submitted))),
            ReportEvent::ReportCorrected(corrected) => {
                let Some(report) = self.reports.get_mut(&id) else { return };
                report.change(corrected.reason == *TRANSFER, |report| {
                    for (item, answer) in &corrected.changes.answers {
                        match answer {
                            Some(answer) => drop(report.answers.insert(item.clone(), answer.clone())),
                            None => drop(report.answers.remove(item)),
                        }
                    }
                    corrected.changes.completed_at.apply(&mut report.completed_at);
                    corrected.changes.visit.apply(&mut report.visit);
                });
            }
        }
    }
}

impl Course {
    fn end_corrected(&mut self, corrected: &SubjectEndCorrected) {
        let Some(ended) = &mut self.ended else { return };
        let changes = &corrected.changes;
        ended.change(corrected.reason == *TRANSFER, |ended| {
            changes.end.apply(&mut ended.end);
            changes.discontinuation_reason.apply(&mut ended.reason);
            words_of(&changes.detail).apply(&mut ended.detail);
            changes.ended_at.apply(&mut ended.at);
        });
    }

    /// What was judged of a criterion.
    pub fn judgement(&self, code: &str) -> Option<bool> {
        let assessment = self.assessments.iter().find(|assessment| assessment.code == code)?;
        match assessment.result {
            CriterionResult::Met => Some(true),
            CriterionResult::NotMet => Some(false),
            CriterionResult::Unknown => None,
        }
    }
}

impl Line<'_> {
    /// The event, where its payload is one of this set.
    fn event<E: EventSet>(&self) -> Option<E> {
        E::decode(&self.event_type, self.schema_version, self.payload.get().as_bytes()).ok()
    }
}

/// What people wrote, as the transfer tells it.
fn words_of(change: &OptionalChange<Prose>) -> OptionalChange<String> {
    change.clone().and_then(Prose::into_words)
}
