//! Visits, observations, adverse events and forms in a later transfer.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use domain::When;
use domain::commands::AnyCommand;
use domain::enrolment::eligibility::AGE;
use domain::epro::report::{CorrectReport, SubmitReport};
use domain::patient::{CorrectObservation, RecordObservation};
use domain::safety::adverse_event::{ReportAdverseEvent, UpdateAdverseEvent};
use domain::visit::{CorrectVisit, RecordVisit};
use events::epro::report::ReportSubmitted;
use events::ids::{AdverseEventId, PatientId, ReportId, VisitId, derive_id};
use events::safety::adverse_event::AdverseEventReported;
use events::trial::questionnaire::Answer;
use events::values::Prose;

use super::super::source::Table;
use super::Step;
use super::known::{Both, TRANSFER};
use super::pairing::{self, PlannedForm};
use super::reconcile::{Transfer, changed, replaced, was_read};

impl Transfer<'_> {
    /// Everything of which a subject has many.
    pub(super) fn records(&mut self, steps: Vec<Step>) {
        let (mut observations, mut visits, mut adverse_events, mut reports) = (vec![], vec![], vec![], vec![]);
        for step in steps {
            match step.command.clone() {
                AnyCommand::RecordObservation { target, body } => observations.push((step, target, body)),
                AnyCommand::RecordVisit { target, body } => visits.push((step, target, body)),
                AnyCommand::ReportAdverseEvent { target, body } => adverse_events.push((step, target, body)),
                AnyCommand::SubmitReport { target, body } => reports.push((step, target, body)),
                _ => self.steps.push(step),
            }
        }
        self.observations(observations);
        self.visits(visits);
        self.adverse_events(adverse_events);
        self.reports(reports);
    }

    fn observations(&mut self, planned: Vec<(Step, PatientId, RecordObservation)>) {
        let known = &self.known.observations;
        let mut free: Vec<usize> = (0..known.len()).collect();
        // There is one age, of the day of consent, which may have been corrected.
        let at = |index: usize, body: &RecordObservation| {
            known[index].code == body.code
                && (body.code == AGE || Some(known[index].observed_at) == body.observed_at.instant())
        };
        let mut others = Vec::new();
        for (step, target, body) in planned {
            let value = (body.value.clone(), body.unit.clone());
            let same = |index: &usize| {
                at(*index, &body) && (known[*index].value.told == value || known[*index].value.now == value)
            };
            match free.iter().position(same) {
                Some(place) => drop(free.swap_remove(place)),
                None => others.push((step, target, body)),
            }
        }
        for (step, target, body) in others {
            let Some(place) = free.iter().position(|index| at(*index, &body)) else {
                self.steps.push(step);
                continue;
            };
            // A correction reaches the latest recorded one of a code and time.
            let latest = (0..known.len()).rev().find(|index| at(*index, &body));
            let index = free.swap_remove(place);
            if latest == Some(index) {
                self.correct_observation(step, target, &body, index);
            } else {
                let text = "one of several measurements of the same test and time changed: none can be told apart";
                self.fail(&step, text);
            }
        }
        let table = |code: &str| if code == AGE { Table::Dm } else { Table::Vs };
        let gone =
            free.iter().filter(|index| known[**index].code != AGE && was_read(self.frame, table(&known[**index].code)));
        let gone: Vec<String> =
            gone.map(|index| format!("{} of {}", known[*index].code, known[*index].observed_at.date_naive())).collect();
        self.kept("observations", &gone);
    }

    fn correct_observation(&mut self, step: Step, target: PatientId, body: &RecordObservation, index: usize) {
        let known = &self.known.observations[index];
        let ((told_value, told_unit), (value, unit)) = (&known.value.told, &known.value.now);
        let has_units = ["VSSTRESU", "VSORRESU"].iter().any(|column| self.frame.has_column(Table::Vs, column));
        let correction = CorrectObservation {
            code: body.code.clone(),
            observed_at: When::at(known.observed_at),
            value: replaced(&body.value, told_value, value),
            unit: changed(&body.unit, told_unit, unit, has_units),
            observed_at_corrected: When::NOW,
            reason: TRANSFER.to_owned(),
            occurred_at: When::NOW,
        };
        if !(correction.value.is_none() && correction.unit.is_none()) {
            self.correct(step.rows, target, &correction);
        }
    }

    /// What an earlier transfer told and this one does not.
    fn kept(&mut self, what: &str, gone: &[String]) {
        if !gone.is_empty() {
            self.note(format!(
                "{what} of an earlier transfer that are not in this one, and are kept: {}",
                gone.join("; ")
            ));
        }
    }

    fn visits(&mut self, planned: Vec<(Step, VisitId, RecordVisit)>) {
        let content: Vec<_> = planned.iter().map(|(_, id, body)| (*id, body)).collect();
        let pairs = pairing::visits(&content, &self.known.visits);
        for ((mut step, id, body), pair) in planned.into_iter().zip(pairs.of) {
            let Some((known_id, known)) = pair.and_then(|id| Some((id, self.known.visits.get(&id)?))) else {
                if self.known.visits.contains_key(&id) {
                    let uuid = id.uuid();
                    let parts = [uuid.as_bytes().as_slice(), body.attended_on.as_str().as_bytes()];
                    step.command = (VisitId::from(derive_id("sdtm-visit", &parts)), body).into();
                }
                self.steps.push(step);
                continue;
            };
            let correction = CorrectVisit {
                visit: step.told("visit", replaced(&body.visit, &known.told.visit, &known.now.visit)),
                visit_number: changed(
                    &body.visit_number,
                    &known.told.visit_number,
                    &known.now.visit_number,
                    self.frame.has_column(Table::Sv, "VISITNUM"),
                ),
                attended_on: replaced(&body.attended_on, &known.told.attended_on, &known.now.attended_on),
                reason: TRANSFER.to_owned(),
                occurred_at: When::NOW,
            };
            let is_same = correction.visit.is_none() && correction.visit_number.is_none();
            if !(is_same && correction.attended_on.is_none()) {
                self.correct(step.rows, known_id, &correction);
            }
        }
        let gone = pairs.left.iter().filter_map(|id| self.known.visits.get(id));
        let gone: Vec<String> = gone.map(|known| format!("{} of {}", known.now.visit, known.now.attended_on)).collect();
        if was_read(self.frame, Table::Sv) {
            self.kept("visits", &gone);
        }
    }

    fn adverse_events(&mut self, planned: Vec<(Step, AdverseEventId, ReportAdverseEvent)>) {
        let content: Vec<_> = planned.iter().map(|(_, id, body)| (*id, body)).collect();
        let pairs = pairing::adverse_events(&content, &self.known.adverse_events);
        for ((mut step, id, body), pair) in planned.into_iter().zip(pairs.of) {
            let Some((known_id, known)) = pair.and_then(|id| Some((id, self.known.adverse_events.get(&id)?))) else {
                if self.known.adverse_events.contains_key(&id) {
                    // Its number was another one's before.
                    let onset = body.onset.as_ref().map_or("", |onset| onset.as_str());
                    let words = body.reported_term.as_ref().unwrap_or(&body.term);
                    let uuid = id.uuid();
                    let parts = [uuid.as_bytes().as_slice(), words.as_bytes(), onset.as_bytes()];
                    step.command = (AdverseEventId::from(derive_id("sdtm-adverse-event", &parts)), body).into();
                }
                self.steps.push(step);
                continue;
            };
            let update = self.update(&step, &body, known);
            let changes = [
                update.term.is_none(),
                update.reported_term.is_none(),
                update.severity.is_none(),
                update.ctcae_grade.is_none(),
                update.serious.is_none(),
                update.relatedness.is_none(),
                update.onset.is_none(),
                update.ended.is_none(),
                update.outcome.is_none(),
            ];
            if changes.contains(&false) {
                self.correct(step.rows, known_id, &update);
            }
        }
        let gone = pairs.left.iter().filter_map(|id| self.known.adverse_events.get(id));
        let gone: Vec<String> = gone.filter(|known| known.now.historical).map(|known| known.now.term.clone()).collect();
        if was_read(self.frame, Table::Ae) {
            self.kept("adverse events", &gone);
        }
    }

    fn update(&self, step: &Step, body: &ReportAdverseEvent, known: &Both<AdverseEventReported>) -> UpdateAdverseEvent {
        let (told, now) = (&known.told, &known.now);
        let term = replaced(&body.term, &told.term, &now.term);
        let has = |column: &str| self.frame.has_column(Table::Ae, column);
        let words = |told: &Option<Prose>| told.clone().and_then(Prose::into_words);
        UpdateAdverseEvent {
            // Without a decoded term before, the reporter's words stood for it, as they do now.
            term: if told.reported_term.is_none() { term } else { step.told("term", term) },
            reported_term: changed(&body.reported_term, &words(&told.reported_term), &words(&now.reported_term), false),
            severity: step.told("severity", replaced(&body.severity, &told.severity, &now.severity)),
            ctcae_grade: changed(&body.ctcae_grade, &told.ctcae_grade, &now.ctcae_grade, has("AETOXGR")),
            serious: step.told("serious", replaced(&body.serious, &told.serious, &now.serious)),
            relatedness: changed(&body.relatedness, &told.relatedness, &now.relatedness, has("AEREL")),
            onset: changed(&body.onset, &told.onset, &now.onset, has("AESTDTC")),
            ended: changed(&body.ended, &told.ended, &now.ended, has("AEENDTC")),
            outcome: changed(&body.outcome, &told.outcome, &now.outcome, has("AEOUT")),
            reason: TRANSFER.to_owned(),
            historical: now.historical,
            occurred_at: When::NOW,
        }
    }

    fn reports(&mut self, planned: Vec<(Step, ReportId, SubmitReport)>) {
        let frame = self.frame;
        let on: Vec<_> =
            planned.iter().map(|(step, _, _)| move |day: NaiveDate| frame.report(&step.form, day)).collect();
        let forms: Vec<_> =
            planned.iter().zip(&on).map(|((_, id, body), on)| (*id, PlannedForm { body, on })).collect();
        let content: Vec<_> = forms.iter().map(|(id, form)| (*id, form)).collect();
        let pairs = pairing::reports(&content, &self.known.reports);
        for ((step, _, body), pair) in planned.into_iter().zip(pairs.of) {
            let Some((known_id, known)) = pair.and_then(|id| Some((id, self.known.reports.get(&id)?))) else {
                self.steps.push(step);
                continue;
            };
            let day = |time: DateTime<Utc>| time.date_naive();
            let told = body.completed_at.instant();
            let moved = told
                .filter(|told| day(*told) != day(known.told.completed_at) && day(*told) != day(known.now.completed_at));
            let has_visits = self.frame.has_column(Table::Qs, "VISIT");
            let visit = changed(&body.visit, &known.told.visit, &known.now.visit, has_visits);
            let answers = self.answers(&step, &body, known);
            if !answers.is_empty() || moved.is_some() || !visit.is_none() {
                let correction = CorrectReport {
                    answers,
                    started_at: When::NOW,
                    completed_at: moved.into(),
                    visit,
                    reason: TRANSFER.to_owned(),
                    historical: known.now.historical,
                    occurred_at: When::NOW,
                };
                self.correct(step.rows, known_id, &correction);
            }
        }
        let gone = pairs.left.iter().filter_map(|id| self.known.reports.get(id)).filter(|known| known.now.historical);
        let gone: Vec<String> =
            gone.map(|known| format!("{} of {}", known.now.instrument, known.now.completed_at.date_naive())).collect();
        if was_read(self.frame, Table::Qs) {
            self.kept("forms", &gone);
        }
    }

    /// The answers that this transfer says otherwise than the one before, and than what stands there.
    fn answers(
        &mut self,
        step: &Step,
        body: &SubmitReport,
        known: &Both<ReportSubmitted>,
    ) -> BTreeMap<String, Option<Answer>> {
        let mut answers = BTreeMap::new();
        for (item, answer) in &body.answers {
            let told = known.told.answers.get(item);
            if !told.is_some_and(|told| is_same(told, answer)) && known.now.answers.get(item) != Some(answer) {
                answers.insert(item.clone(), Some(answer.clone()));
            }
        }
        let taken_away = step.unanswered.iter().filter(|item| known.told.answers.contains_key(*item));
        for item in taken_away.filter(|item| known.now.answers.contains_key(*item)) {
            answers.insert(item.clone(), None);
        }
        let is_gone = |item: &&String| !body.answers.contains_key(*item) && !step.unanswered.contains(*item);
        let gone: Vec<&str> = known.told.answers.keys().filter(is_gone).map(String::as_str).collect();
        if !gone.is_empty() {
            let (instrument, day) = (&body.instrument, known.now.completed_at.date_naive());
            self.note(format!(
                "{instrument} of {day}: answers to {} are not in this transfer, and are kept",
                gone.join(", ")
            ));
        }
        answers
    }
}

/// Whether two answers say the same: what was a number may be written as text since another answer is one.
fn is_same(one: &Answer, other: &Answer) -> bool {
    let text = |answer: &Answer| match answer {
        Answer::Number(number) => number.to_string(),
        Answer::Text(text) => text.expose().unwrap_or_default().to_owned(),
    };
    one == other || text(one) == text(other)
}
