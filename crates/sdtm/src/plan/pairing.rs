//! Which of what a transfer tells is which of what is known.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use domain::epro::report::SubmitReport;
use domain::safety::adverse_event::ReportAdverseEvent;
use domain::visit::RecordVisit;
use events::epro::report::ReportSubmitted;
use events::ids::{AdverseEventId, ReportId, VisitId};
use events::safety::adverse_event::AdverseEventReported;
use events::visit::VisitAttended;

use super::known::Both;

/// Whether one of the transfer, by its id and content, is a known one.
type Rule<'rule, I, P, K> = &'rule dyn Fn((I, &P), (I, &K)) -> bool;

/// The known ones that those of a transfer are, in their order, and those that none is.
#[derive(Debug, PartialEq, Eq)]
pub struct Pairs<I: Ord> {
    /// For each of the transfer the known one, where there is one.
    pub of: Vec<Option<I>>,
    /// Known ones of which the transfer says nothing.
    pub left: BTreeSet<I>,
}

/// Pairs by the first rule, then what is left by the next.
fn pair<I: Ord + Copy, P, K: Clone>(
    planned: &[(I, &P)],
    known: &BTreeMap<I, Both<K>>,
    rules: &[Rule<'_, I, P, K>],
) -> Pairs<I> {
    let mut pairs = Pairs { of: vec![None; planned.len()], left: known.keys().copied().collect() };
    for rule in rules {
        for ((id, content), pair) in planned.iter().zip(&mut pairs.of).filter(|(_, pair)| pair.is_none()) {
            let is_it = |known_id: &&I| rule((*id, content), (**known_id, &known[*known_id].told));
            *pair = pairs.left.iter().find(is_it).copied();
            if let Some(known_id) = pair {
                pairs.left.remove(known_id);
            }
        }
    }
    pairs
}

/// Adverse events: by words and onset, first with the same number, since numbers may be given anew; then by the number where
/// the words or the onset are the same; then by the number alone, and what is left by its words.
pub fn adverse_events(
    planned: &[(AdverseEventId, &ReportAdverseEvent)],
    known: &BTreeMap<AdverseEventId, Both<AdverseEventReported>>,
) -> Pairs<AdverseEventId> {
    let words = |one: &ReportAdverseEvent, other: &AdverseEventReported| {
        one.term == other.term
            || one
                .reported_term
                .as_deref()
                .is_some_and(|words| other.reported_term.as_ref().is_some_and(|other| other == words))
    };
    pair(
        planned,
        known,
        &[
            &|(id, one), (known_id, other)| id == known_id && words(one, other) && one.onset == other.onset,
            &|(_, one), (_, other)| words(one, other) && one.onset == other.onset,
            &|(id, one), (known_id, other)| id == known_id && words(one, other),
            &|(id, one), (known_id, other)| id == known_id && one.onset.is_some() && one.onset == other.onset,
            &|(id, _), (known_id, _)| id == known_id,
            &|(_, one), (_, other)| words(one, other),
        ],
    )
}

/// Visits: by number and day, else by the number, or the name of one without.
pub fn visits(planned: &[(VisitId, &RecordVisit)], known: &BTreeMap<VisitId, Both<VisitAttended>>) -> Pairs<VisitId> {
    pair(
        planned,
        known,
        &[&|(id, _), (known_id, _)| id == known_id, &|(_, one), (_, other)| match one.visit_number {
            Some(number) => other.visit_number == Some(number),
            None => one.visit == other.visit,
        }],
    )
}

/// A form of a transfer.
pub struct PlannedForm<'plan> {
    /// What it says.
    pub body: &'plan SubmitReport,
    /// The id that it would have, had it been filled in on that day.
    pub on: &'plan dyn Fn(NaiveDate) -> ReportId,
}

/// Forms: by instrument, visit, evaluator, time point and day; else by all but the day, which may have been corrected; else
/// by instrument and visit.
pub fn reports(
    planned: &[(ReportId, &PlannedForm<'_>)],
    known: &BTreeMap<ReportId, Both<ReportSubmitted>>,
) -> Pairs<ReportId> {
    let same_visit = |one: &SubmitReport, other: &ReportSubmitted| {
        one.visit.is_some() && (&one.instrument, &one.visit) == (&other.instrument, &other.visit)
    };
    pair(
        planned,
        known,
        &[
            &|(id, _), (known_id, _)| id == known_id,
            &|(_, one), (known_id, _)| (one.on)(known[&known_id].first.completed_at.date_naive()) == known_id,
            &|(_, one), (_, other)| same_visit(one.body, other),
        ],
    )
}
