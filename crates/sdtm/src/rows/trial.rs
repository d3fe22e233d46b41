//! The rows of the trial's design.

use super::{RowId, Text, Texts};
use crate::source::Row;

/// A parameter of the trial's summary (TS).
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Where it stands.
    pub at: RowId,
    /// `TSPARMCD`.
    pub code: Option<Text>,
    /// `TSVAL` with its continuations.
    pub value: Option<String>,
}

/// An element of an arm (TA).
#[derive(Clone, Debug)]
pub struct ArmElement {
    /// Where it stands.
    pub at: RowId,
    /// `ARMCD`.
    pub code: Option<Text>,
    /// `ARM`.
    pub name: Option<Text>,
}

/// An eligibility criterion (TI).
#[derive(Clone, Debug)]
pub struct CriterionRow {
    /// Where it stands.
    pub at: RowId,
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
    pub at: RowId,
    /// `VISITNUM`.
    pub number: Option<Text>,
    /// `VISIT`.
    pub name: Option<Text>,
}

impl Parameter {
    /// Reads a row of TS.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        // A value of more than 200 characters goes on in TSVAL1, TSVAL2 and so on.
        let parts = (0..10).map_while(|part| match part {
            0 => row.get("TSVAL"),
            part => row.get(&format!("TSVAL{part}")),
        });
        let value: String = parts.collect::<Vec<_>>().join(" ");
        Self { at, code: texts.cell(row, "TSPARMCD"), value: (!value.is_empty()).then_some(value) }
    }
}

impl ArmElement {
    /// Reads a row of TA.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        Self { at, code: texts.shown(row, "ARMCD"), name: texts.cell(row, "ARM") }
    }
}

impl CriterionRow {
    /// Reads a row of TI.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        let version = texts.number(row, "TIVERS");
        let mut cell = |column| texts.cell(row, column);
        Self { at, code: cell("IETESTCD"), text: cell("IETEST"), category: cell("IECAT"), version }
    }
}

impl PlannedVisit {
    /// Reads a row of TV.
    pub fn read(row: Row<'_>, at: RowId, texts: &mut Texts) -> Self {
        Self { at, number: texts.number(row, "VISITNUM"), name: texts.cell(row, "VISIT") }
    }
}
