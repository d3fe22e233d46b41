//! Filled-in questionnaires: rows of single answers put together to forms.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use domain::When;
use domain::epro::report::SubmitReport;
use events::trial::questionnaire::{Answer, Answers};

use super::super::accounts::RowId;
use super::super::dates::SdtmDate;
use super::super::rows::{QuestionnaireResult, QuestionnaireRow, Text};
use super::super::study::tidy;
use super::clinical::VisitDays;
use super::instruments::NoAnswer;
use super::subject::{Planner, Rank};
use super::{InstrumentPlan, Step};

/// What holds the rows of one visit's form together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FormKey {
    category: Text,
    visit: Option<Text>,
    evaluator: Option<Text>,
    timepoint: Option<Text>,
}

impl Planner<'_> {
    /// Plans the forms.
    pub fn forms(&mut self, rows: Vec<QuestionnaireRow>, visit_days: &VisitDays) {
        let mut forms: BTreeMap<FormKey, Vec<QuestionnaireRow>> = BTreeMap::new();
        for row in rows {
            let key = FormKey {
                category: row.category.clone(),
                visit: row.visit_key.clone(),
                evaluator: row.evaluator.clone(),
                timepoint: row.timepoint.clone(),
            };
            forms.entry(key).or_default().push(row);
        }
        for (key, rows) in forms {
            for (day, rows) in self.by_day(&key, rows, visit_days) {
                self.form(&key, day, rows);
            }
        }
    }

    /// The forms of a visit: one a day. An answer without a day of its own belongs to the others'.
    fn by_day(
        &mut self,
        key: &FormKey,
        rows: Vec<QuestionnaireRow>,
        visit_days: &VisitDays,
    ) -> BTreeMap<NaiveDate, Vec<(DateTime<Utc>, QuestionnaireRow)>> {
        let mut days: BTreeMap<NaiveDate, Vec<(DateTime<Utc>, QuestionnaireRow)>> = BTreeMap::new();
        let mut without_day = Vec::new();
        for row in rows {
            match row.date.as_ref().map(|text| SdtmDate::parse(text)) {
                Some(Err(error)) => self.reject(row.at, format!("QSDTC: {error}")),
                Some(Ok(date)) => match date.moment() {
                    Some(at) => days.entry(at.date_naive()).or_default().push((at, row)),
                    None => without_day.push(row),
                },
                None => without_day.push(row),
            }
        }
        let visit_day = key.visit.as_ref().and_then(|visit| visit_days.get(visit)).copied();
        let only_day = (days.len() == 1).then(|| days.values().flatten().map(|(at, _)| *at).max()).flatten();
        let taken = match (only_day, days.is_empty()) {
            (Some(at), _) => Some((at, "the other answers' day")),
            (None, true) => visit_day.map(|at| (at, "the visit's day")),
            (None, false) => None,
        };
        for row in without_day {
            let told = row.date.as_ref().map_or_else(|| "is empty".to_owned(), |text| format!("`{text}` tells no day"));
            match taken {
                Some((at, whose)) => {
                    self.note(row.at, format!("QSDTC {told}: {whose}, {}, is taken", at.date_naive()));
                    days.entry(at.date_naive()).or_default().push((at, row));
                }
                None => self.reject(row.at, format!("QSDTC {told}: the form has no date")),
            }
        }
        days
    }

    fn form(&mut self, key: &FormKey, day: NaiveDate, rows: Vec<(DateTime<Utc>, QuestionnaireRow)>) {
        let Some(instrument) = self.frame.instruments.get(&key.category).cloned() else {
            for (_, row) in &rows {
                self.reject(row.at, format!("`{}` cannot be an instrument: no item was answered", key.category));
            }
            return;
        };
        let mut answers = Answers::new();
        let mut lines: BTreeMap<&Text, (RowId, &QuestionnaireResult)> = BTreeMap::new();
        let mut sources = BTreeSet::new();
        let mut not_done = Vec::new();
        let mut unanswered = BTreeSet::new();
        for (_, row) in &rows {
            if let QuestionnaireResult::NotDone(_) = row.result {
                not_done.push(row);
                unanswered.insert(row.item.to_string());
                continue;
            }
            match answer(&instrument, row, &lines) {
                Ok(answer) => {
                    answers.insert(row.item.to_string(), answer);
                    lines.insert(&row.item, (row.at, &row.result));
                    sources.insert(row.at);
                }
                Err(NoAnswer::Wrong(reason)) => self.reject(row.at, reason),
                Err(NoAnswer::WithoutPlace(reason)) => self.leave_out(row.at, reason),
                Err(NoAnswer::Unanswered(reason)) => {
                    unanswered.insert(row.item.to_string());
                    self.leave_out(row.at, reason);
                }
            }
        }
        for row in not_done {
            self.not_done(row, &answers);
        }
        unanswered.retain(|item| !answers.contains_key(item));
        let (Some(completed_at), false) = (rows.iter().map(|(at, _)| *at).max(), answers.is_empty()) else { return };
        let visit = rows.iter().find_map(|(_, row)| row.visit.as_ref());
        let report = SubmitReport {
            subject_id: self.frame.subject(&self.subject),
            instrument: instrument.definition.instrument.clone(),
            questionnaire_version: Some(instrument.definition.version.clone()),
            answers,
            started_at: When::NOW,
            completed_at: When::at(completed_at),
            time_zone: None,
            device: None,
            visit: visit.map(|visit| tidy(visit)),
            historical: true,
        };
        let part = |text: &Option<Text>| text.as_ref().map_or("", |text| text).to_owned();
        let (visit, evaluator, timepoint) = (part(&key.visit), part(&key.evaluator), part(&key.timepoint));
        let form = vec![self.subject.to_string(), key.category.to_string(), visit, evaluator, timepoint];
        let report_id = self.frame.report(&form, day);
        let step = Step::new(sources.into_iter().collect(), report_id, &report);
        self.place(completed_at, Rank::Report, Step { unanswered, form, ..step });
    }

    /// An item that was not done is one without an answer, in a form that has others.
    fn not_done(&mut self, row: &QuestionnaireRow, answers: &Answers) {
        let why = match &row.result {
            QuestionnaireResult::NotDone(Some(why)) => format!("NOT DONE ({why})"),
            _ => "NOT DONE".to_owned(),
        };
        if answers.is_empty() {
            self.leave_out(row.at, format!("{why}: no item of the form was answered"));
        } else {
            self.note(row.at, format!("{why}: the form has no answer to the item"));
            self.cover(row.at);
        }
    }
}

fn answer(
    instrument: &InstrumentPlan,
    row: &QuestionnaireRow,
    lines: &BTreeMap<&Text, (RowId, &QuestionnaireResult)>,
) -> Result<Answer, NoAnswer> {
    match lines.get(&row.item) {
        Some((at, result)) if **result == row.result => Err(NoAnswer::WithoutPlace(format!("repeats {at}"))),
        Some((at, _)) => Err(NoAnswer::Wrong(format!("the item is answered otherwise at {at} of the same form"))),
        None => instrument.answer(&row.item, &row.result, row.derived),
    }
}
