//! Every row that was read is accounted for: taken, or not taken and why.

use std::collections::BTreeMap;

use super::source::Table;

/// One row of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// The table.
    pub table: Table,
    /// The line on which it begins.
    pub line: u64,
}

/// What is to be said about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which row.
    pub row: RowId,
    /// The subject that it is about, where one is named.
    pub subject: Option<String>,
    /// What is to be said.
    pub text: String,
}

/// What holds for many rows of a table alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// How many rows.
    pub rows: u64,
    /// The line of the first.
    pub first_line: u64,
}

/// How many rows of a table were read, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Read from the file.
    pub read: u64,
    /// Carried over.
    pub taken: u64,
    /// Not carried over.
    pub rejected: u64,
}

/// The accounts of one import.
#[derive(Debug, Default)]
pub struct Accounts {
    counts: BTreeMap<Table, Count>,
    rejected: Vec<Remark>,
    notes: Vec<Remark>,
    patterns: BTreeMap<(Table, String), Pattern>,
}

impl Accounts {
    /// A row was read.
    pub fn read(&mut self, table: Table) {
        self.counts.entry(table).or_default().read += 1;
    }

    /// A row was carried over.
    pub fn take(&mut self, row: RowId) {
        self.counts.entry(row.table).or_default().taken += 1;
    }

    /// A row was not carried over.
    pub fn reject(&mut self, row: RowId, subject: Option<&str>, reason: impl Into<String>) {
        self.counts.entry(row.table).or_default().rejected += 1;
        self.rejected.push(Remark { row, subject: subject.map(str::to_owned), text: reason.into() });
    }

    /// A row was, or will be, carried over in another way than it stands there.
    pub fn note(&mut self, row: RowId, subject: Option<&str>, text: impl Into<String>) {
        self.notes.push(Remark { row, subject: subject.map(str::to_owned), text: text.into() });
    }

    /// Something that holds for many rows of a table alike; said once, with their number.
    pub fn pattern(&mut self, row: RowId, text: &str) {
        let key = (row.table, text.to_owned());
        let pattern = self.patterns.entry(key).or_insert(Pattern { rows: 0, first_line: row.line });
        pattern.rows += 1;
        pattern.first_line = pattern.first_line.min(row.line);
    }

    /// The count of a table.
    pub fn count(&self, table: Table) -> Count {
        self.counts.get(&table).copied().unwrap_or_default()
    }

    /// All rows that were read.
    pub fn rows_read(&self) -> u64 {
        self.counts.values().map(|count| count.read).sum()
    }

    /// All rows whose fate is known.
    pub fn rows_settled(&self) -> u64 {
        self.counts.values().map(|count| count.taken + count.rejected).sum()
    }

    /// Rows that were not carried over, in the order of tables and lines.
    pub fn rejected(&self) -> Vec<&Remark> {
        sorted(&self.rejected)
    }

    /// What is to be said of rows that were carried over, in the order of tables and lines.
    pub fn notes(&self) -> Vec<&Remark> {
        sorted(&self.notes)
    }

    /// What holds for many rows alike.
    pub fn patterns(&self) -> impl Iterator<Item = (Table, &str, &Pattern)> {
        self.patterns.iter().map(|((table, text), pattern)| (*table, text.as_str(), pattern))
    }
}

fn sorted(remarks: &[Remark]) -> Vec<&Remark> {
    let mut sorted: Vec<&Remark> = remarks.iter().collect();
    // Subjects are sent side by side: the order of arrival is by chance.
    sorted.sort_by(|one, other| (one.row, &one.text).cmp(&(other.row, &other.text)));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_counted_once_and_told_of_in_order() {
        let mut accounts = Accounts::default();
        let row = |line| RowId { table: Table::Ae, line };
        for _ in 2..=4 {
            accounts.read(Table::Ae);
        }
        accounts.take(row(2));
        accounts.reject(row(4), Some("S-2"), "no severity");
        accounts.reject(row(3), None, "no subject");
        accounts.pattern(row(9), "zero");
        accounts.pattern(row(7), "zero");
        assert_eq!(accounts.count(Table::Ae), Count { read: 3, taken: 1, rejected: 2 });
        assert_eq!(accounts.rows_settled(), accounts.rows_read());
        assert_eq!(accounts.rejected().iter().map(|remark| remark.row.line).collect::<Vec<_>>(), [3, 4]);
        let patterns: Vec<_> = accounts.patterns().collect();
        assert_eq!(patterns, [(Table::Ae, "zero", &Pattern { rows: 2, first_line: 7 })]);
    }
}
