//! Reading the tables of an export, one row after the other.

mod csv_table;
mod folder;
mod json_table;

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
    /// Subject visits.
    Sv,
    /// Adverse events.
    Ae,
    /// Questionnaires.
    Qs,
}

impl Table {
    /// All of them, in the order in which they are read.
    pub const ALL: [Table; 9] =
        [Table::Dm, Table::Ts, Table::Ta, Table::Ti, Table::Tv, Table::Ds, Table::Sv, Table::Ae, Table::Qs];

    /// The domain's abbreviation in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Ts => "ts",
            Table::Ta => "ta",
            Table::Ti => "ti",
            Table::Tv => "tv",
            Table::Dm => "dm",
            Table::Ds => "ds",
            Table::Sv => "sv",
            Table::Ae => "ae",
            Table::Qs => "qs",
        }
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// CDISC Dataset-JSON 1.1, one document.
    DatasetJson,
    /// CDISC Dataset-JSON 1.1, one line a row.
    DatasetNdjson,
}

/// The file of a table.
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
    count: usize,
}

impl Columns {
    /// Columns of these names, in order. Of a name that repeats the first column counts.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut columns = Self::default();
        for name in names {
            let name = name.as_ref().trim().to_uppercase();
            columns.index.entry(name).or_insert(columns.count);
            columns.count += 1;
        }
        columns
    }
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'table> {
    /// The line on which it begins; in one Dataset-JSON document its number among `rows`.
    pub line: u64,
    columns: &'table Columns,
    cells: &'table [String],
}

impl<'table> Row<'table> {
    /// The cell of a column without blanks around it; nothing where it is empty or missing.
    pub fn get(&self, column: &str) -> Option<&'table str> {
        let cell = self.cells.get(*self.columns.index.get(column)?)?.trim();
        (!cell.is_empty()).then_some(cell)
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
    /// The file is not what its name says.
    #[error("{0} is not Dataset-JSON 1.1")]
    Json(PathBuf, #[source] serde_json::Error),
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
    }
}

/// Hands on a row whose cells are as many as the columns, and says of any other what is wrong.
fn hand_on(line: u64, columns: &Columns, cells: &[String], each: &mut dyn FnMut(Read<'_>)) {
    if cells.len() == columns.count {
        return each(Read::Row(Row { line, columns, cells }));
    }
    let reason = format!("the row has {} cells where the table has {} columns", cells.len(), columns.count);
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
