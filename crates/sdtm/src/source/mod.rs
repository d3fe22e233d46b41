//! Reading the tables of an export, one row after the other.

mod csv_table;
mod folder;
mod json_table;
mod missing;
mod text;
mod xpt_table;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use folder::{Found, find};

/// A table that the importer reads. The order is the one in which they are read: who takes part
/// must be known before what happened to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Demographics.
    Dm,
    /// Trial summary.
    Ts,
    /// Trial arms.
    Ta,
    /// Inclusion and exclusion criteria.
    Ti,
    /// Planned visits.
    Tv,
    /// Disposition.
    Ds,
    /// Criteria that a subject did not meet.
    Ie,
    /// Subject visits.
    Sv,
    /// Adverse events.
    Ae,
    /// Questionnaires.
    Qs,
    /// Vital signs.
    Vs,
}

impl Table {
    /// All of them, in the order in which they are read.
    pub const ALL: [Table; 11] = [
        Table::Dm,
        Table::Ts,
        Table::Ta,
        Table::Ti,
        Table::Tv,
        Table::Ds,
        Table::Ie,
        Table::Sv,
        Table::Ae,
        Table::Qs,
        Table::Vs,
    ];

    /// The domain's abbreviation in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Ts => "ts",
            Table::Ta => "ta",
            Table::Ti => "ti",
            Table::Tv => "tv",
            Table::Dm => "dm",
            Table::Ds => "ds",
            Table::Ie => "ie",
            Table::Sv => "sv",
            Table::Ae => "ae",
            Table::Qs => "qs",
            Table::Vs => "vs",
        }
    }

    /// The table of a domain's abbreviation, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| name.eq_ignore_ascii_case(table.name()))
    }

    /// The columns that are read; what stands in others is not imported.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Table::Dm => &[
                "SUBJID", "SITEID", "COUNTRY", "RFICDTC", "DMDTC", "RFSTDTC", "RFENDTC", "BRTHDTC", "AGE", "AGEU",
                "SEX", "ARMCD", "ARM", "ARMNRS", "ACTARMCD", "DTHDTC", "DTHFL",
            ],
            Table::Ts => &["TSSEQ", "TSPARMCD", "TSPARM", "TSVAL"],
            Table::Ta => &["ARMCD", "ARM"],
            Table::Ti => &["IETESTCD", "IETEST", "IECAT", "TIVERS"],
            Table::Tv => &["VISITNUM", "VISIT"],
            Table::Ds => &["DSSEQ", "DSDECOD", "DSTERM", "DSCAT", "DSSCAT", "EPOCH", "DSSTDTC", "DSDTC"],
            Table::Ie => &["IESEQ", "IETESTCD", "IETEST", "IECAT", "IEORRES", "IESTRESC"],
            Table::Sv => &["VISITNUM", "VISIT", "SVSTDTC", "SVENDTC", "SVOCCUR"],
            Table::Ae => &[
                "AESEQ", "AESPID", "AEDECOD", "AETERM", "AESEV", "AETOXGR", "AESER", "AESCONG", "AESDISAB", "AESDTH",
                "AESHOSP", "AESLIFE", "AESMIE", "AEREL", "AEOUT", "AESTDTC", "AEENDTC", "AEDTC",
            ],
            Table::Qs => &[
                "QSSEQ", "QSCAT", "QSTESTCD", "QSTEST", "QSORRES", "QSSTRESC", "QSSTRESN", "QSSTAT", "QSREASND",
                "QSDRVFL", "VISITNUM", "VISIT", "QSEVAL", "QSTPTNUM", "QSTPT", "QSDTC",
            ],
            Table::Vs => &[
                "VSSEQ", "VSTESTCD", "VSTEST", "VSORRES", "VSORRESU", "VSSTRESC", "VSSTRESN", "VSSTRESU", "VSSTAT",
                "VSREASND", "VSDTC",
            ],
        }
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Separated values.
    Csv,
    /// CDISC Dataset-JSON, one document.
    DatasetJson,
    /// CDISC Dataset-JSON 1.1, one line a row.
    DatasetNdjson,
    /// SAS transport file: the dataset of this number in it, from 0.
    Xpt(usize),
}

/// The file of a table, or of a part of it: a domain may be split into several (SDTMIG 3.4, section 4.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// Which table.
    pub table: Table,
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
}

impl TableFile {
    /// The file's name, for reports.
    pub fn name(&self) -> String {
        file_name(&self.path)
    }
}

/// The last part of a path, as text.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The columns of a table, by name in upper case.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    index: HashMap<String, usize>,
    /// The names, in order.
    pub names: Vec<String>,
    /// The name that the dataset gives itself.
    pub dataset: Option<String>,
    /// What is to be said of the file as a whole.
    pub remarks: Vec<String>,
}

impl Columns {
    /// Columns of these names, in order. Of a name that repeats the first column counts.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut columns = Self::default();
        for name in names {
            let name = name.as_ref().trim().to_uppercase();
            if columns.index.contains_key(&name) && !name.is_empty() {
                columns.remarks.push(format!("the column {name} stands there twice: the first is read"));
            }
            columns.index.entry(name.clone()).or_insert(columns.names.len());
            columns.names.push(name);
        }
        columns
    }
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'table> {
    /// The line on which it begins; in one Dataset-JSON document or transport file its number among the rows.
    pub line: u64,
    columns: &'table Columns,
    cells: &'table [String],
}

impl<'table> Row<'table> {
    /// The cell of a column without blanks around it; nothing where it is empty, holds a word for a missing value, or
    /// there is no such column.
    pub fn get(&self, column: &str) -> Option<&'table str> {
        let cell = self.cells.get(*self.columns.index.get(column)?)?.trim();
        (!missing::is_missing(column, cell)).then_some(cell)
    }

    /// Columns of `wanted` in which a word stands for a missing value, with the word.
    pub fn missing_words<'names>(
        &self,
        wanted: &'names [&'names str],
    ) -> impl Iterator<Item = (&'names str, &'table str)> {
        wanted.iter().filter_map(|column| {
            let cell = self.cells.get(*self.columns.index.get(*column)?)?.trim();
            (!cell.is_empty() && missing::is_missing(column, cell)).then_some((*column, cell))
        })
    }

    /// Whether nothing stands in any cell.
    pub fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim().is_empty())
    }
}

/// What the reader found at a line.
#[derive(Clone, Copy, Debug)]
pub enum Read<'table> {
    /// A row.
    Row(Row<'table>),
    /// Something that is no row of the table.
    Broken {
        /// Where.
        line: u64,
        /// What is wrong.
        reason: &'table str,
    },
}

/// Why a table cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("{0} cannot be read")]
    File(PathBuf, #[source] std::io::Error),
    /// The file is not what its name says.
    #[error("{0} is not CSV")]
    Csv(PathBuf, #[source] csv::Error),
    /// The file is not what its name says, or breaks off.
    #[error("{0} is not Dataset-JSON, or breaks off")]
    Json(PathBuf, #[source] serde_json::Error),
    /// The file is not what its name says, or breaks off.
    #[error("{0} is no SAS transport file, or breaks off")]
    Xpt(PathBuf, #[source] sas_xport::sas::xport::XportError),
    /// The file ends within a row.
    #[error("{0} breaks off within a row: the file was cut off")]
    XptCutOff(PathBuf),
    /// A quote that is not closed, or closes where it cannot.
    #[error("{path} is not CSV: {what}")]
    Quotes {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong.
        what: String,
    },
    /// The dataset announces more rows than it holds.
    #[error("{path}: the dataset announces {announced} records and holds {found}: the file was cut off")]
    CutOff {
        /// The file.
        path: PathBuf,
        /// How many rows it should hold.
        announced: u64,
        /// How many it holds.
        found: u64,
    },
}

/// Reads a table and hands on each row.
///
/// # Errors
/// [`SourceError`] where the file cannot be read to its end; rows before that were handed on.
pub fn read(file: &TableFile, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    match file.format {
        Format::Csv => csv_table::read(&file.path, each),
        Format::DatasetJson => json_table::read_document(&file.path, each),
        Format::DatasetNdjson => json_table::read_lines(&file.path, each),
        Format::Xpt(member) => xpt_table::read(&file.path, member, each),
    }
}

/// Hands on a row whose cells are as many as the columns, and says of any other what is wrong.
fn hand_on(line: u64, columns: &Columns, cells: &[String], each: &mut dyn FnMut(Read<'_>)) {
    if cells.len() == columns.names.len() {
        return each(Read::Row(Row { line, columns, cells }));
    }
    let reason = format!("the row has {} cells where the table has {} columns", cells.len(), columns.names.len());
    each(Read::Broken { line, reason: &reason });
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A row made of names and cells.
    pub fn with_row<T>(line: u64, cells: &[(&str, &str)], then: impl FnOnce(Row<'_>) -> T) -> T {
        let columns = Columns::new(cells.iter().map(|(name, _)| *name));
        let cells: Vec<String> = cells.iter().map(|(_, cell)| (*cell).to_owned()).collect();
        then(Row { line, columns: &columns, cells: &cells })
    }
}
