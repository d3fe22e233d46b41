//! The rows of an export by what their columns mean.

mod trial;

use std::collections::HashSet;
use std::sync::Arc;

use super::accounts::RowId;
use super::numbers;
use super::source::Row;

pub use trial::{ArmElement, CriterionRow, Parameter, PlannedVisit};

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

    /// The cell of an identifier or whole number, which some programs write with `.0`.
    fn shown(&mut self, row: Row<'_>, column: &str) -> Option<Text> {
        row.get(column).map(|cell| self.keep(numbers::shown(cell)))
    }

    /// The cell of a number by which rows are compared.
    fn number(&mut self, row: Row<'_>, column: &str) -> Option<Text> {
        row.get(column).map(|cell| self.keep(&numbers::key(cell)))
    }
}

/// A subject (DM).
#[derive(Clone, Debug)]
pub struct Demographics {
    /// Where it stands.
    pub at: RowId,
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
    pub at: RowId,
    /// `DSDECOD`.
    pub decoded: Option<Text>,
    /// `DSTERM`.
    pub term: Option<Text>,
    /// `DSCAT`.
    pub category: Option<Text>,
    /// `DSSCAT`.
    pub subcategory: Option<Text>,
    /// `EPOCH`: the part of the trial that the row is about.
    pub epoch: Option<Text>,
    /// `DSSTDTC`, else `DSDTC`.
    pub date: Option<Text>,
}

/// An attended visit (SV).
#[derive(Clone, Debug)]
pub struct SubjectVisit {
    /// Where it stands.
    pub at: RowId,
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
    pub at: RowId,
    /// `AESEQ`.
    pub sequence: Option<Text>,
    /// `AESPID`: the sponsor's own number, which stays where sequence numbers are given anew.
    pub sponsor_id: Option<Text>,
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

/// A criterion that a subject did not meet (IE).
#[derive(Clone, Debug)]
pub struct ExceptionRow {
    /// Where it stands.
    pub at: RowId,
    /// `IETESTCD`.
    pub code: Option<Text>,
    /// `IETEST`.
    pub text: Option<Text>,
    /// `IESTRESC`, else `IEORRES`: whether the criterion is true of the subject.
    pub result: Option<Text>,
}

/// A measurement (VS).
#[derive(Clone, Debug)]
pub struct MeasurementRow {
    /// Where it stands.
    pub at: RowId,
    /// `VSTESTCD`.
    pub code: Option<Text>,
    /// `VSSTRESN`.
    pub number: Option<Text>,
    /// `VSSTRESC`, else `VSORRES`.
    pub text: Option<Text>,
    /// `VSSTRESU`; that of the original result where there is no standardised one.
    pub unit: Option<Text>,
    /// `VSSTAT` is NOT DONE.
    pub not_done: bool,
    /// `VSDTC`.
    pub date: Option<Text>,
}

/// An answer to one item of a questionnaire (QS).
#[derive(Clone, Debug)]
pub struct QuestionnaireRow {
    /// Where it stands.
    pub at: RowId,
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
    /// `QSTPTNUM`, else `QSTPT`: which of several forms of a visit.
    pub timepoint: Option<Text>,
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

/// Whether a flag is set: SDTM writes `Y`, other programs what they have for it.
fn is_yes(row: Row<'_>, column: &str) -> bool {
    const YES: [&str; 4] = ["Y", "YES", "TRUE", "1"];
    row.get(column).is_some_and(|cell| YES.iter().any(|yes| numbers::shown(cell).eq_ignore_ascii_case(yes)))
}

fn is_no(row: Row<'_>, column: &str) -> bool {
    row.get(column).is_some_and(|cell| cell.eq_ignore_ascii_case("N"))
}

impl Demographics {
    /// Reads a row of DM.
    pub fn read(row: Row<'_>, at: RowId, subject: Text, texts: &mut Texts) -> Self {
        let (number, site) = (texts.shown(row, "SUBJID"), texts.shown(row, "SITEID"));
        let (arm_code, actual_arm_code) = (texts.shown(row, "ARMCD"), texts.shown(row, "ACTARMCD"));
        let mut cell = |column| texts.cell(row, column);
        Self {
            at,
            subject,
            number,
            site,
            country: cell("COUNTRY"),
            consent: cell("RFICDTC"),
            collected: cell("DMDTC"),
            first_dose: cell("RFSTDTC"),
            reference_end: cell("RFENDTC"),
            birth: cell("BRTHDTC"),
            age: cell("AGE"),
            age_unit: cell("AGEU"),
            sex: cell("SEX"),
            arm_code,
            arm_name: cell("ARM"),
            arm_null_reason: cell("ARMNRS"),
            actual_arm_code,
            death: cell("DTHDTC"),
            died: is_yes(row, "DTHFL"),
        }
    }
}

impl Disposition {
    /// Reads a row of DS.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self {
            at,
            decoded: cell("DSDECOD"),
            term: cell("DSTERM"),
            category: cell("DSCAT"),
            subcategory: cell("DSSCAT"),
            epoch: cell("EPOCH"),
            date: cell("DSSTDTC").or_else(|| cell("DSDTC")),
        }
    }
}

impl SubjectVisit {
    /// Reads a row of SV.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        let number = texts.number(row, "VISITNUM");
        let mut cell = |column| texts.cell(row, column);
        Self {
            at,
            number,
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
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        let (sequence, sponsor_id) = (texts.number(row, "AESEQ"), texts.shown(row, "AESPID"));
        let mut cell = |column| texts.cell(row, column);
        Self {
            at,
            sequence,
            sponsor_id,
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

impl ExceptionRow {
    /// Reads a row of IE.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        Self { at, code: cell("IETESTCD"), text: cell("IETEST"), result: cell("IESTRESC").or_else(|| cell("IEORRES")) }
    }
}

impl MeasurementRow {
    /// Reads a row of VS.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        let mut cell = |column| texts.cell(row, column);
        let standardised = cell("VSSTRESN").or_else(|| cell("VSSTRESC"));
        Self {
            at,
            code: cell("VSTESTCD"),
            number: cell("VSSTRESN"),
            text: cell("VSSTRESC").or_else(|| cell("VSORRES")),
            unit: if standardised.is_some() { cell("VSSTRESU") } else { cell("VSORRESU") },
            not_done: row.get("VSSTAT").is_some_and(|status| status.eq_ignore_ascii_case("NOT DONE")),
            date: cell("VSDTC"),
        }
    }
}

impl QuestionnaireRow {
    /// Reads a row of QS whose instrument, item and result are known.
    pub fn read(
        row: Row<'_>,
        at: RowId,
        category: Text,
        item: Text,
        result: QuestionnaireResult,
        texts: &mut Texts,
    ) -> Self {
        let (number, timepoint) = (texts.number(row, "VISITNUM"), texts.number(row, "QSTPTNUM"));
        let mut cell = |column| texts.cell(row, column);
        let visit = cell("VISIT");
        Self {
            at,
            category,
            item,
            result,
            derived: is_yes(row, "QSDRVFL"),
            visit_key: number.or_else(|| visit.clone()),
            visit,
            evaluator: cell("QSEVAL"),
            timepoint: timepoint.or_else(|| cell("QSTPT")),
            date: cell("QSDTC"),
        }
    }
}
