//! The export as a whole: every row by what it means, and subjects with what belongs to them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::accounts::{Accounts, RowId};
use super::numbers::SdtmNumber;
use super::rows::{
    AdverseEventRow, ArmElement, CriterionRow, Demographics, Disposition, Parameter, PlannedVisit, QuestionnaireResult,
    QuestionnaireRow, SubjectVisit, Text, Texts,
};
use super::source::{Read, Row, Table};

/// A study's tables, read.
#[derive(Debug, Default)]
pub struct Study {
    /// `STUDYID`.
    pub id: Option<Text>,
    /// The trial's summary.
    pub parameters: Vec<Parameter>,
    /// The arms' elements.
    pub arm_elements: Vec<ArmElement>,
    /// The criteria.
    pub criteria: Vec<CriterionRow>,
    /// The planned visits.
    pub planned_visits: Vec<PlannedVisit>,
    /// The subjects by `USUBJID`.
    pub subjects: BTreeMap<Text, SubjectRows>,
    /// The instruments by `QSCAT`.
    pub instruments: BTreeMap<Text, InstrumentSeen>,
}

/// What belongs to one subject.
#[derive(Debug)]
pub struct SubjectRows {
    /// The subject.
    pub demographics: Demographics,
    /// Its dispositions and milestones.
    pub dispositions: Vec<Disposition>,
    /// Its visits.
    pub visits: Vec<SubjectVisit>,
    /// Its adverse events.
    pub adverse_events: Vec<AdverseEventRow>,
    /// Its answers to questionnaires.
    pub answers: Vec<QuestionnaireRow>,
}

/// What the answers tell of an instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstrumentSeen {
    /// The items that were answered, by `QSTESTCD`.
    pub items: BTreeMap<Text, ItemSeen>,
}

/// What the answers tell of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemSeen {
    /// Whether every answer is a number.
    pub numeric: bool,
    /// Whether every answer was computed from others.
    pub derived: bool,
}

/// Puts a study together, row by row.
#[derive(Debug, Default)]
pub struct Collector {
    /// What was put together.
    pub study: Study,
    /// What became of the rows.
    pub accounts: Accounts,
    texts: Texts,
}

impl Collector {
    /// Takes in what the reader found.
    pub fn take(&mut self, table: Table, read: Read<'_>) {
        self.accounts.read(table);
        match read {
            Read::Broken { line, reason } => self.accounts.reject(RowId { table, line }, None, reason),
            Read::Row(row) => {
                if let Err(reason) = self.take_row(table, row) {
                    let row_id = RowId { table, line: row.line };
                    self.accounts.reject(row_id, row.get("USUBJID"), reason);
                }
            }
        }
    }

    fn take_row(&mut self, table: Table, row: Row<'_>) -> Result<(), String> {
        self.check_study(row)?;
        match table {
            Table::Dm => self.take_demographics(row)?,
            Table::Ts => self.study.parameters.push(Parameter::read(row, &mut self.texts)),
            Table::Ta => self.study.arm_elements.push(ArmElement::read(row, &mut self.texts)),
            Table::Ti => self.study.criteria.push(CriterionRow::read(row, &mut self.texts)),
            Table::Tv => self.study.planned_visits.push(PlannedVisit::read(row, &mut self.texts)),
            Table::Ds => {
                let disposition = Disposition::read(row, &mut self.texts);
                self.subject(row)?.dispositions.push(disposition);
            }
            Table::Sv => {
                let visit = SubjectVisit::read(row, &mut self.texts);
                self.subject(row)?.visits.push(visit);
            }
            Table::Ae => {
                let adverse_event = AdverseEventRow::read(row, &mut self.texts);
                self.subject(row)?.adverse_events.push(adverse_event);
            }
            Table::Qs => self.take_answer(row)?,
        }
        Ok(())
    }

    /// The first row tells which study it is; rows of another one do not belong here.
    fn check_study(&mut self, row: Row<'_>) -> Result<(), String> {
        let Some(id) = row.get("STUDYID") else { return Ok(()) };
        match &self.study.id {
            None => self.study.id = Some(self.texts.keep(id)),
            Some(known) if **known != *id => {
                return Err(format!("the row is of study `{id}`, the export of `{known}`"));
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn take_demographics(&mut self, row: Row<'_>) -> Result<(), String> {
        let subject = self.texts.keep(row.get("USUBJID").ok_or("USUBJID is empty")?);
        let demographics = Demographics::read(row, subject.clone(), &mut self.texts);
        match self.study.subjects.entry(subject) {
            Entry::Occupied(taken) => {
                Err(format!("the subject stands at line {} already", taken.get().demographics.line))
            }
            Entry::Vacant(place) => {
                place.insert(SubjectRows {
                    demographics,
                    dispositions: Vec::new(),
                    visits: Vec::new(),
                    adverse_events: Vec::new(),
                    answers: Vec::new(),
                });
                Ok(())
            }
        }
    }

    fn subject(&mut self, row: Row<'_>) -> Result<&mut SubjectRows, String> {
        let subject = row.get("USUBJID").ok_or("USUBJID is empty")?;
        self.study.subjects.get_mut(subject).ok_or_else(|| format!("dm has no subject `{subject}`"))
    }

    fn take_answer(&mut self, row: Row<'_>) -> Result<(), String> {
        self.subject(row)?;
        let category = self.texts.keep(row.get("QSCAT").ok_or("QSCAT is empty: no instrument is named")?);
        let item = self.texts.keep(row.get("QSTESTCD").ok_or("QSTESTCD is empty: no item is named")?);
        let result = self.result(row);
        let answer = QuestionnaireRow::read(row, category, item, result, &mut self.texts);
        let numeric = match &answer.result {
            QuestionnaireResult::Number(_) => Some(true),
            QuestionnaireResult::Text(_) => Some(false),
            QuestionnaireResult::NotDone(_) | QuestionnaireResult::Nothing => None,
        };
        if let Some(numeric) = numeric {
            let items = &mut self.study.instruments.entry(answer.category.clone()).or_default().items;
            let seen = items.entry(answer.item.clone()).or_insert(ItemSeen { numeric, derived: answer.derived });
            seen.numeric &= numeric;
            seen.derived &= answer.derived;
        }
        self.subject(row)?.answers.push(answer);
        Ok(())
    }

    /// What an item was answered with: the standardised number, else the standardised or original text.
    fn result(&mut self, row: Row<'_>) -> QuestionnaireResult {
        let row_id = RowId { table: Table::Qs, line: row.line };
        let text = row.get("QSSTRESC").or_else(|| row.get("QSORRES")).filter(|text| *text != ".");
        if let Some(number) = row.get("QSSTRESN").and_then(SdtmNumber::parse) {
            match number {
                SdtmNumber::Exact(_) => {}
                SdtmNumber::Zero => {
                    self.accounts
                        .pattern(row_id, "QSSTRESN is 16^-65, as which SAS transport files write zero: read as 0");
                }
                SdtmNumber::Rounded(_) => self.accounts.pattern(row_id, "QSSTRESN is rounded to 15 significant digits"),
            }
            return QuestionnaireResult::Number(number.quantity());
        }
        let not_done = row.get("QSSTAT").is_some_and(|status| status.eq_ignore_ascii_case("NOT DONE"));
        match text {
            Some(text) => match SdtmNumber::parse(text) {
                Some(number) => {
                    self.accounts.pattern(row_id, "QSSTRESN is empty and QSSTRESC or QSORRES a number: that is taken");
                    QuestionnaireResult::Number(number.quantity())
                }
                None if not_done && text.eq_ignore_ascii_case("NOT DONE") => QuestionnaireResult::NotDone(None),
                None => QuestionnaireResult::Text(self.texts.keep(&tidy(text))),
            },
            None if not_done => QuestionnaireResult::NotDone(row.get("QSREASND").map(|why| self.texts.keep(why))),
            None => QuestionnaireResult::Nothing,
        }
    }
}

/// A text on one line, without control characters.
pub fn tidy(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::source::testing::with_row;
    use super::*;

    fn collect(rows: &[(Table, &[(&str, &str)])]) -> Collector {
        let mut collector = Collector::default();
        for ((table, cells), line) in rows.iter().zip(2..) {
            with_row(line, cells, |row| collector.take(*table, Read::Row(row)));
        }
        collector
    }

    fn reasons(collector: &Collector) -> Vec<(u64, &str)> {
        collector.accounts.rejected().iter().map(|remark| (remark.row.line, remark.text.as_str())).collect()
    }

    #[test]
    fn rows_that_point_nowhere_or_repeat_are_not_taken() {
        let collector = collect(&[
            (Table::Dm, &[("STUDYID", "T1"), ("USUBJID", "T1-01")]),
            (Table::Dm, &[("STUDYID", "T1"), ("USUBJID", "T1-01")]),
            (Table::Dm, &[("STUDYID", "T2"), ("USUBJID", "T2-01")]),
            (Table::Sv, &[("USUBJID", "T1-09"), ("VISITNUM", "1")]),
            (Table::Sv, &[("USUBJID", ""), ("VISITNUM", "1")]),
            (Table::Sv, &[("USUBJID", "T1-01"), ("VISITNUM", "1")]),
        ]);
        assert_eq!(
            reasons(&collector),
            [
                (3, "the subject stands at line 2 already"),
                (4, "the row is of study `T2`, the export of `T1`"),
                (5, "dm has no subject `T1-09`"),
                (6, "USUBJID is empty"),
            ]
        );
        assert_eq!(collector.study.subjects["T1-01"].visits.len(), 1);
        assert_eq!(collector.accounts.rows_read(), 6);
    }

    #[test]
    fn results_are_read_in_all_their_forms() {
        let dm: (Table, &[(&str, &str)]) = (Table::Dm, &[("USUBJID", "S")]);
        let result = |cells: &[(&str, &str)]| {
            let all = [&[("USUBJID", "S"), ("QSCAT", "C"), ("QSTESTCD", "I")], cells].concat();
            let mut collector = collect(&[dm, (Table::Qs, &all)]);
            let answer = collector.study.subjects.get_mut("S").and_then(|subject| subject.answers.pop());
            answer.expect("an answer").result
        };
        let number = |text: &str| QuestionnaireResult::Number(text.parse().expect("a quantity"));
        assert_eq!(result(&[("QSORRES", "MILD"), ("QSSTRESC", "1"), ("QSSTRESN", "1")]), number("1"));
        assert_eq!(
            result(&[("QSORRES", "ABSENT"), ("QSSTRESC", "0"), ("QSSTRESN", "5.397605346934028e-79")]),
            number("0")
        );
        assert_eq!(result(&[("QSSTRESC", "4"), ("QSSTRESN", "")]), number("4"));
        assert_eq!(
            result(&[("QSORRES", "a bit\nworse"), ("QSSTRESN", ".")]),
            QuestionnaireResult::Text("a bit worse".into())
        );
        assert_eq!(
            result(&[("QSSTAT", "NOT DONE"), ("QSREASND", "TIRED")]),
            QuestionnaireResult::NotDone(Some("TIRED".into()))
        );
        assert_eq!(result(&[]), QuestionnaireResult::Nothing);
    }

    #[test]
    fn an_item_is_numeric_if_every_answer_is() {
        let answer = |item: &'static str, result: &'static str| {
            [("USUBJID", "S"), ("QSCAT", "C"), ("QSTESTCD", item), ("QSSTRESC", result)]
        };
        let rows = [answer("A", "1"), answer("A", "2"), answer("B", "1"), answer("B", "severe")];
        let mut all: Vec<(Table, &[(&str, &str)])> = vec![(Table::Dm, &[("USUBJID", "S")])];
        all.extend(rows.iter().map(|cells| (Table::Qs, cells.as_slice())));
        let collector = collect(&all);
        let numeric: Vec<bool> = collector.study.instruments["C"].items.values().map(|item| item.numeric).collect();
        assert_eq!(numeric, [true, false]);
    }
}
