//! The export as a whole: every row by what it means, and subjects with what belongs to them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use events::identifier;

use super::accounts::{Accounts, RowId};
use super::numbers::{self, SdtmNumber};
use super::rows::{
    AdverseEventRow, ArmElement, CriterionRow, Demographics, Disposition, ExceptionRow, MeasurementRow, Parameter,
    PlannedVisit, QuestionnaireResult, QuestionnaireRow, SubjectVisit, Text, Texts,
};
use super::source::{Columns, Read, Row, Table};

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
    /// The tables that were read, with the columns that any of their files has.
    pub columns: BTreeMap<Table, BTreeSet<String>>,
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
    /// Criteria that it did not meet.
    pub exceptions: Vec<ExceptionRow>,
    /// What was measured of it.
    pub measurements: Vec<MeasurementRow>,
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
    /// Whether any is.
    pub any_number: bool,
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
    /// Takes in what the reader found in the file of this number.
    pub fn take(&mut self, table: Table, file: u16, read: Read<'_>) {
        self.accounts.read(file);
        match read {
            Read::Broken { line, reason } => self.accounts.reject(RowId { table, file, line }, None, reason),
            Read::Row(row) => {
                let at = RowId { table, file, line: row.line };
                if row.is_blank() {
                    return self.accounts.leave_out(at, None, "the row is empty");
                }
                for (column, word) in row.missing_words(table.columns()) {
                    self.accounts.pattern(at, &format!("{column}: `{word}` is read as missing"));
                }
                if let Err(reason) = self.take_row(at, row) {
                    self.accounts.reject(at, row.get("USUBJID"), reason);
                }
            }
        }
    }

    /// Takes in which columns a file has; tells of those that are not imported.
    pub fn take_columns(&mut self, table: Table, name: &str, columns: Columns) {
        let of_every_row = ["STUDYID", "DOMAIN", "USUBJID"];
        let is_read = |column: &&String| {
            let continued =
                column.strip_prefix("TSVAL").is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            continued || table.columns().iter().chain(&of_every_row).any(|known| known == column) || column.is_empty()
        };
        let others: Vec<&str> = columns.names.iter().filter(|name| !is_read(name)).map(String::as_str).collect();
        if !others.is_empty() {
            self.accounts.remark(format!("{name}: columns that are not imported: {}", others.join(", ")));
        }
        for remark in &columns.remarks {
            self.accounts.remark(format!("{name}: {remark}"));
        }
        self.study.columns.entry(table).or_default().extend(columns.names);
    }

    fn take_row(&mut self, at: RowId, row: Row<'_>) -> Result<(), String> {
        self.check_study(row)?;
        let texts = &mut self.texts;
        match at.table {
            Table::Dm => self.take_demographics(at, row)?,
            Table::Ts => self.study.parameters.push(Parameter::read(row, at, texts)),
            Table::Ta => self.study.arm_elements.push(ArmElement::read(row, at, texts)),
            Table::Ti => self.study.criteria.push(CriterionRow::read(row, at, texts)),
            Table::Tv => self.study.planned_visits.push(PlannedVisit::read(row, at, texts)),
            Table::Ds => {
                let disposition = Disposition::read(row, at, texts);
                self.subject(row)?.dispositions.push(disposition);
            }
            Table::Ie => {
                let exception = ExceptionRow::read(row, at, texts);
                self.subject(row)?.exceptions.push(exception);
            }
            Table::Sv => {
                let visit = SubjectVisit::read(row, at, texts);
                self.subject(row)?.visits.push(visit);
            }
            Table::Ae => {
                let adverse_event = AdverseEventRow::read(row, at, texts);
                self.subject(row)?.adverse_events.push(adverse_event);
            }
            Table::Vs => {
                let measurement = MeasurementRow::read(row, at, texts);
                self.subject(row)?.measurements.push(measurement);
            }
            Table::Qs => self.take_answer(at, row)?,
        }
        Ok(())
    }

    /// The first row tells which study it is; rows of another one do not belong here.
    fn check_study(&mut self, row: Row<'_>) -> Result<(), String> {
        let Some(id) = row.get("STUDYID").map(numbers::shown) else { return Ok(()) };
        match &self.study.id {
            None => self.study.id = Some(self.texts.keep(id)),
            Some(known) if !identifier::same(known, id) => {
                return Err(format!("the row is of study `{id}`, the export of `{known}`"));
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn take_demographics(&mut self, at: RowId, row: Row<'_>) -> Result<(), String> {
        let subject = self.texts.keep(subject_id(row)?);
        let demographics = Demographics::read(row, at, subject.clone(), &mut self.texts);
        match self.study.subjects.entry(self.texts.keep(&identifier::key(&subject))) {
            Entry::Occupied(taken) => Err(format!("the subject stands at {} already", taken.get().demographics.at)),
            Entry::Vacant(place) => {
                place.insert(SubjectRows {
                    demographics,
                    dispositions: Vec::new(),
                    visits: Vec::new(),
                    adverse_events: Vec::new(),
                    answers: Vec::new(),
                    exceptions: Vec::new(),
                    measurements: Vec::new(),
                });
                Ok(())
            }
        }
    }

    fn subject(&mut self, row: Row<'_>) -> Result<&mut SubjectRows, String> {
        let subject = subject_id(row)?;
        self.study
            .subjects
            .get_mut(identifier::key(subject).as_str())
            .ok_or_else(|| format!("dm has no subject `{subject}`"))
    }

    fn take_answer(&mut self, at: RowId, row: Row<'_>) -> Result<(), String> {
        self.subject(row)?;
        let category = self.texts.keep(row.get("QSCAT").ok_or("QSCAT is empty: no instrument is named")?);
        let item = self.texts.keep(row.get("QSTESTCD").ok_or("QSTESTCD is empty: no item is named")?);
        let result = self.result(at, row);
        let answer = QuestionnaireRow::read(row, at, category, item, result, &mut self.texts);
        let numeric = match &answer.result {
            QuestionnaireResult::Number(_) => Some(true),
            QuestionnaireResult::Text(_) => Some(false),
            QuestionnaireResult::NotDone(_) | QuestionnaireResult::Nothing => None,
        };
        if let Some(numeric) = numeric {
            let items = &mut self.study.instruments.entry(answer.category.clone()).or_default().items;
            let derived = answer.derived;
            let seen = items.entry(answer.item.clone()).or_insert(ItemSeen { numeric, any_number: numeric, derived });
            seen.numeric &= numeric;
            seen.any_number |= numeric;
            seen.derived &= answer.derived;
        }
        self.subject(row)?.answers.push(answer);
        Ok(())
    }

    /// What an item was answered with: the standardised number, else the standardised or original text.
    fn result(&mut self, at: RowId, row: Row<'_>) -> QuestionnaireResult {
        let text = row.get("QSSTRESC").or_else(|| row.get("QSORRES"));
        if let Some(number) = row.get("QSSTRESN").and_then(SdtmNumber::parse) {
            match number {
                SdtmNumber::Exact(_) => {}
                SdtmNumber::Zero => {
                    self.accounts.pattern(at, "QSSTRESN is 16^-65, as which SAS transport files write zero: read as 0");
                }
                SdtmNumber::Rounded(_) => self.accounts.pattern(at, "QSSTRESN is rounded to 15 significant digits"),
            }
            return QuestionnaireResult::Number(number.quantity());
        }
        let not_done = row.get("QSSTAT").is_some_and(|status| status.eq_ignore_ascii_case("NOT DONE"));
        match text {
            Some(text) => match SdtmNumber::parse(text) {
                Some(number) => {
                    self.accounts.pattern(at, "QSSTRESN is empty and QSSTRESC or QSORRES a number: that is taken");
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

fn subject_id<'row>(row: Row<'row>) -> Result<&'row str, String> {
    let subject = row.get("USUBJID").ok_or("USUBJID is empty")?;
    Ok(numbers::shown(subject))
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
            with_row(line, cells, |row| collector.take(*table, *table as u16, Read::Row(row)));
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
        assert_eq!(collector.study.subjects["t1-01"].visits.len(), 1);
        assert_eq!(collector.accounts.rows_read(), 6);
    }

    #[test]
    fn results_are_read_in_all_their_forms() {
        let dm: (Table, &[(&str, &str)]) = (Table::Dm, &[("USUBJID", "S")]);
        let result = |cells: &[(&str, &str)]| {
            let all = [&[("USUBJID", "S"), ("QSCAT", "C"), ("QSTESTCD", "I")], cells].concat();
            let mut collector = collect(&[dm, (Table::Qs, &all)]);
            let answer = collector.study.subjects.get_mut("s").and_then(|subject| subject.answers.pop());
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
