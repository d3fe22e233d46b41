//! The rows of an export by what their columns mean.

use std::collections::HashSet;
use std::sync::Arc;

use super::accounts::RowId;
use super::source::{Row, Table};

/// A text that many rows share.
pub type Text = Arc<str>;

/// Keeps one copy of every text: exports say the same few things in a million rows.
#[derive(Debug, Default)]
pub struct Texts {
    known: HashSet<Text>,
}

impl Texts {
    /// The one copy of a text.
    pub fn keep(&mut self, text: &str) -> Text {
        match self.known.get(text) {
            Some(known) => known.clone(),
            None => {
                let text = Text::from(text);
                self.known.insert(text.clone());
                text
            }
        }
    }

    fn cell(&mut self, row: Row<'_>, column: &str) -> Option<Text> {
        row.get(column).map(|cell| self.keep(cell))
    }
}

/// A subject (DM).
#[derive(Clone, Debug)]
pub struct Demographics {
    /// Where it stands.
    pub line: u64,
    /// `USUBJID`.
    pub subject: Text,
    /// `SUBJID`.
    pub number: Option<Text>,
    /// `SITEID`.
    pub site: Option<Text>,
    /// `COUNTRY`.
    pub country: Option<Text>,
    /// `RFICDTC`.
    pub consent: Option<Text>,
    /// `DMDTC`.
    pub collected: Option<Text>,
    /// `RFSTDTC`.
    pub first_dose: Option<Text>,
    /// `RFENDTC`.
    pub reference_end: Option<Text>,
    /// `BRTHDTC`.
    pub birth: Option<Text>,
    /// `AGE`.
    pub age: Option<Text>,
    /// `AGEU`.
    pub age_unit: Option<Text>,
    /// `SEX`.
    pub sex: Option<Text>,
    /// `ARMCD`.
    pub arm_code: Option<Text>,
    /// `ARM`.
    pub arm_name: Option<Text>,
    /// `ARMNRS`.
    pub arm_null_reason: Option<Text>,
    /// `ACTARMCD`.
    pub actual_arm_code: Option<Text>,
    /// `DTHDTC`.
    pub death: Option<Text>,
    /// `DTHFL`.
    pub died: bool,
}

/// A disposition or milestone (DS).
#[derive(Clone, Debug)]
pub struct Disposition {
    /// Where it stands.
    pub line: u64,
    /// `DSDECOD`.
    pub decoded: Option<Text>,
    /// `DSTERM`.
    pub term: Option<Text>,
    /// `DSCAT`.
    pub category: Option<Text>,
    /// `DSSCAT`.
    pub subcategory: Option<Text>,
    /// `DSSTDTC`, else `DSDTC`.
    pub date: Option<Text>,
}

/// An attended visit (SV).
#[derive(Clone, Debug)]
pub struct SubjectVisit {
    /// Where it stands.
    pub line: u64,
    /// `VISITNUM`.
    pub number: Option<Text>,
    /// `VISIT`.
    pub name: Option<Text>,
    /// `SVSTDTC`.
    pub start: Option<Text>,
    /// `SVENDTC`.
    pub end: Option<Text>,
    /// `SVOCCUR` or `SVPRESP` say that it did not take place.
    pub missed: bool,
}

/// An adverse event (AE).
#[derive(Clone, Debug)]
pub struct AdverseEventRow {
    /// Where it stands.
    pub line: u64,
    /// `AESEQ`.
    pub sequence: Option<Text>,
    /// `AEDECOD`.
    pub decoded: Option<Text>,
    /// `AETERM`.
    pub term: Option<Text>,
    /// `AESEV`.
    pub severity: Option<Text>,
    /// `AETOXGR`.
    pub grade: Option<Text>,
    /// `AESER`.
    pub serious: Option<Text>,
    /// The criteria of seriousness that are met, such as `AESHOSP`.
    pub criteria: Vec<&'static str>,
    /// `AEREL`.
    pub relatedness: Option<Text>,
    /// `AEOUT`.
    pub outcome: Option<Text>,
    /// `AESTDTC`.
    pub onset: Option<Text>,
    /// `AEENDTC`.
    pub ended: Option<Text>,
    /// `AEDTC`.
    pub collected: Option<Text>,
}

/// An answer to one item of a questionnaire (QS).
#[derive(Clone, Debug)]
pub struct QuestionnaireRow {
    /// Where it stands.
    pub line: u64,
    /// `QSCAT`.
    pub category: Text,
    /// `QSTESTCD`.
    pub item: Text,
    /// The result.
    pub result: QuestionnaireResult,
    /// `QSDRVFL`: computed from other items.
    pub derived: bool,
    /// `VISITNUM`, else `VISIT`: what holds the items of a form together.
    pub visit_key: Option<Text>,
    /// `VISIT`.
    pub visit: Option<Text>,
    /// `QSEVAL`: who judged, where several do.
    pub evaluator: Option<Text>,
    /// `QSDTC`.
    pub date: Option<Text>,
}

/// The result of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionnaireResult {
    /// A number.
    Number(events::values::Quantity),
    /// A code or free text.
    Text(Text),
    /// The item was not done, with the reason where there is one.
    NotDone(Option<Text>),
    /// The row says nothing.
    Nothing,
}

/// A parameter of the trial's summary (TS).
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Where it stands.
    pub line: u64,
    /// `TSPARMCD`.
    pub code: Option<Text>,
    /// `TSVAL` with its continuations.
    pub value: Option<String>,
}

/// An element of an arm (TA).
#[derive(Clone, Debug)]
pub struct ArmElement {
    /// Where it stands.
    pub line: u64,
    /// `ARMCD`.
    pub code: Option<Text>,
    /// `ARM`.
    pub name: Option<Text>,
}

/// An eligibility criterion (TI).
#[derive(Clone, Debug)]
pub struct CriterionRow {
    /// Where it stands.
    pub line: u64,
    /// `IETESTCD`.
    pub code: Option<Text>,
    /// `IETEST`.
    pub text: Option<Text>,
    /// `IECAT`.
    pub category: Option<Text>,
    /// `TIVERS`.
    pub version: Option<Text>,
}

/// A planned visit (TV).
#[derive(Clone, Debug)]
pub struct PlannedVisit {
    /// Where it stands.
    pub line: u64,
    /// `VISITNUM`.
    pub number: Option<Text>,
    /// `VISIT`.
    pub name: Option<Text>,
}

macro_rules! row_ids {
    ($($row:ident in $table:ident),+ $(,)?) => {$(
        impl $row {
            /// The row's identity in the accounts.
            pub const fn id(&self) -> RowId {
                RowId { table: Table::$table, line: self.line }
            }
        }
    )+};
}

row_ids! {
    Demographics in Dm,
    Disposition in Ds,
    SubjectVisit in Sv,
    AdverseEventRow in Ae,
    QuestionnaireRow in Qs,
    Parameter in Ts,
    ArmElement in Ta,
    CriterionRow in Ti,
    PlannedVisit in Tv,
}

fn is_yes(row: Row<'_>, column: &str) -> bool {
    row.get(column).is_some_and(|cell| cell.eq_ignore_ascii_case("Y"))
}

fn is_no(row: Row<'_>, column: &str) -> bool {
    row.get(column).is_some_and(|cell| cell.eq_ignore_ascii_case("N"))
}

impl Demographics {
    /// Reads a row of DM.
    pub fn read(row: Row<'_>, subject: Text, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self {
            line: row.line,
            subject,
            number: cell("SUBJID"),
            site: cell("SITEID"),
            country: cell("COUNTRY"),
            consent: cell("RFICDTC"),
            collected: cell("DMDTC"),
            first_dose: cell("RFSTDTC"),
            reference_end: cell("RFENDTC"),
            birth: cell("BRTHDTC"),
            age: cell("AGE"),
            age_unit: cell("AGEU"),
            sex: cell("SEX"),
            arm_code: cell("ARMCD"),
            arm_name: cell("ARM"),
            arm_null_reason: cell("ARMNRS"),
            actual_arm_code: cell("ACTARMCD"),
            death: cell("DTHDTC"),
            died: is_yes(row, "DTHFL"),
        }
    }
}

impl Disposition {
    /// Reads a row of DS.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self {
            line: row.line,
            decoded: cell("DSDECOD"),
            term: cell("DSTERM"),
            category: cell("DSCAT"),
            subcategory: cell("DSSCAT"),
            date: cell("DSSTDTC").or_else(|| cell("DSDTC")),
        }
    }
}

impl SubjectVisit {
    /// Reads a row of SV.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self {
            line: row.line,
            number: cell("VISITNUM"),
            name: cell("VISIT"),
            start: cell("SVSTDTC"),
            end: cell("SVENDTC"),
            missed: is_no(row, "SVOCCUR"),
        }
    }
}

impl AdverseEventRow {
    /// The columns of single criteria of seriousness (ICH E2A, II.B).
    const CRITERIA: [&'static str; 6] = ["AESCONG", "AESDISAB", "AESDTH", "AESHOSP", "AESLIFE", "AESMIE"];

    /// Reads a row of AE.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self {
            line: row.line,
            sequence: cell("AESEQ"),
            decoded: cell("AEDECOD"),
            term: cell("AETERM"),
            severity: cell("AESEV"),
            grade: cell("AETOXGR"),
            serious: cell("AESER"),
            criteria: Self::CRITERIA.into_iter().filter(|column| is_yes(row, column)).collect(),
            relatedness: cell("AEREL"),
            outcome: cell("AEOUT"),
            onset: cell("AESTDTC"),
            ended: cell("AEENDTC"),
            collected: cell("AEDTC"),
        }
    }
}

impl QuestionnaireRow {
    /// Reads a row of QS whose instrument, item and result are known.
    pub fn read(row: Row<'_>, category: Text, item: Text, result: QuestionnaireResult, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        let visit = cell("VISIT");
        Self {
            line: row.line,
            category,
            item,
            result,
            derived: is_yes(row, "QSDRVFL"),
            visit_key: cell("VISITNUM").or_else(|| visit.clone()),
            visit,
            evaluator: cell("QSEVAL"),
            date: cell("QSDTC"),
        }
    }
}

impl Parameter {
    /// Reads a row of TS.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        // A value of more than 200 characters goes on in TSVAL1, TSVAL2 and so on.
        let parts = (0..10).map_while(|part| match part {
            0 => row.get("TSVAL"),
            part => row.get(&format!("TSVAL{part}")),
        });
        let value: String = parts.collect::<Vec<_>>().join(" ");
        Self { line: row.line, code: texts.cell(row, "TSPARMCD"), value: (!value.is_empty()).then_some(value) }
    }
}

impl ArmElement {
    /// Reads a row of TA.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        Self { line: row.line, code: texts.cell(row, "ARMCD"), name: texts.cell(row, "ARM") }
    }
}

impl CriterionRow {
    /// Reads a row of TI.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self {
            line: row.line,
            code: cell("IETESTCD"),
            text: cell("IETEST"),
            category: cell("IECAT"),
            version: cell("TIVERS"),
        }
    }
}

impl PlannedVisit {
    /// Reads a row of TV.
    pub fn read(row: Row<'_>, texts: &mut Texts) -> Self {
        Self { line: row.line, number: texts.cell(row, "VISITNUM"), name: texts.cell(row, "VISIT") }
    }
}
