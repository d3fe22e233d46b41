//! The casebook of a subject: which reports and visits are on record, so that one that is sent twice is known.

use chrono::{DateTime, Utc};
use decider::Aggregate;
use events::enrolment::casebook::{CasebookEvent, ReportFiled, VisitFiled};
use events::identifier;
use events::ids::{CasebookId, ReportId, VisitId};
use events::values::{PartialDate, Quantity};
use serde::{Deserialize, Serialize};

/// A subject's casebook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Casebook {
    reports: Vec<(ReportId, ReportMark)>,
    visits: Vec<(VisitId, VisitMark)>,
}

/// What tells a report from the others of its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReportMark {
    instrument: String,
    started_at: Option<DateTime<Utc>>,
    completed_at: DateTime<Utc>,
    visit: Option<String>,
}

/// What tells a visit from the others of its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct VisitMark {
    visit: String,
    visit_number: Option<Quantity>,
    attended_on: PartialDate,
}

impl ReportMark {
    fn of(filed: &ReportFiled) -> Self {
        Self {
            instrument: identifier::key(&filed.instrument),
            started_at: filed.started_at,
            completed_at: filed.completed_at,
            visit: filed.visit.as_deref().map(identifier::key),
        }
    }
}

impl VisitMark {
    fn of(filed: &VisitFiled) -> Self {
        Self {
            visit: identifier::key(&filed.visit),
            visit_number: filed.visit_number,
            attended_on: filed.attended_on.clone(),
        }
    }
}

impl Casebook {
    /// Another report that says the same of instrument, times and visit.
    pub fn report_like(&self, filed: &ReportFiled) -> Option<ReportId> {
        let mark = ReportMark::of(filed);
        let mut others = self.reports.iter().filter(|(report_id, _)| *report_id != filed.report_id);
        others.find(|(_, known)| *known == mark).map(|(report_id, _)| *report_id)
    }

    /// Another visit of the same name on the same day. Numbers tell them apart only where both have one.
    pub fn visit_like(&self, filed: &VisitFiled) -> Option<VisitId> {
        let mark = VisitMark::of(filed);
        let is_like = |known: &VisitMark| {
            let numbers = known.visit_number.zip(mark.visit_number);
            (&known.visit, &known.attended_on) == (&mark.visit, &mark.attended_on)
                && numbers.is_none_or(|(known, filed)| known == filed)
        };
        let mut others = self.visits.iter().filter(|(visit_id, _)| *visit_id != filed.visit_id);
        others.find(|(_, known)| is_like(known)).map(|(visit_id, _)| *visit_id)
    }
}

/// Files a mark under an id, in the place of the one that stood there.
fn file<I: PartialEq, M>(marks: &mut Vec<(I, M)>, id: I, mark: M) {
    match marks.iter_mut().find(|(known_id, _)| *known_id == id) {
        Some((_, known)) => *known = mark,
        None => marks.push((id, mark)),
    }
}

impl Aggregate for Casebook {
    type Id = CasebookId;
    type Event = CasebookEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(mut self, event: &CasebookEvent, _occurred_at: DateTime<Utc>) -> Self {
        match event {
            CasebookEvent::ReportFiled(filed) => file(&mut self.reports, filed.report_id, ReportMark::of(filed)),
            CasebookEvent::VisitFiled(filed) => file(&mut self.visits, filed.visit_id, VisitMark::of(filed)),
        }
        self
    }
}
