//! Every row that was read is accounted for: taken, left out because it has no place or changes nothing, or rejected.

use std::collections::BTreeMap;

use super::source::Table;

/// One row of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// The table.
    pub table: Table,
    /// Which of the files that are read.
    pub file: u16,
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

impl std::fmt::Display for RowId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}", self.line)
    }
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
    /// Without a place in the system, or changing nothing.
    pub noted: u64,
    /// Not carried over because something is wrong.
    pub rejected: u64,
}

/// The accounts of one import.
#[derive(Debug, Default)]
pub struct Accounts {
    counts: BTreeMap<u16, Count>,
    rejected: Vec<Remark>,
    left_out: Vec<Remark>,
    notes: Vec<Remark>,
    corrected: Vec<Remark>,
    patterns: BTreeMap<(u16, String), Pattern>,
    remarks: Vec<String>,
}

impl Accounts {
    /// A row of a file was read.
    pub fn read(&mut self, file: u16) {
        self.counts.entry(file).or_default().read += 1;
    }

    /// A row was carried over.
    pub fn take(&mut self, row: RowId) {
        self.counts.entry(row.file).or_default().taken += 1;
    }

    /// A row has no place in the system, or changes nothing.
    pub fn leave_out(&mut self, row: RowId, subject: Option<&str>, reason: impl Into<String>) {
        self.counts.entry(row.file).or_default().noted += 1;
        self.left_out.push(Remark { row, subject: subject.map(str::to_owned), text: reason.into() });
    }

    /// A row was not carried over, because something is wrong.
    pub fn reject(&mut self, row: RowId, subject: Option<&str>, reason: impl Into<String>) {
        self.counts.entry(row.file).or_default().rejected += 1;
        self.rejected.push(Remark { row, subject: subject.map(str::to_owned), text: reason.into() });
    }

    /// A row was, or will be, carried over in another way than it stands there.
    pub fn note(&mut self, row: RowId, subject: Option<&str>, text: impl Into<String>) {
        self.notes.push(Remark { row, subject: subject.map(str::to_owned), text: text.into() });
    }

    /// A row, the first of those that make up a record, says otherwise than an earlier transfer did, and the record was
    /// corrected in these fields.
    pub fn correct(&mut self, row: RowId, subject: Option<&str>, fields: impl Into<String>) {
        self.corrected.push(Remark { row, subject: subject.map(str::to_owned), text: fields.into() });
    }

    /// Something that holds for many rows of a table alike; said once, with their number.
    pub fn pattern(&mut self, row: RowId, text: &str) {
        let key = (row.file, text.to_owned());
        let pattern = self.patterns.entry(key).or_insert(Pattern { rows: 0, first_line: row.line });
        pattern.rows += 1;
        pattern.first_line = pattern.first_line.min(row.line);
    }

    /// Something about the export as a whole, or about a file.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// The count of a file.
    pub fn count(&self, file: u16) -> Count {
        self.counts.get(&file).copied().unwrap_or_default()
    }

    /// All rows that were read.
    pub fn rows_read(&self) -> u64 {
        self.counts.values().map(|count| count.read).sum()
    }

    /// All rows whose fate is known.
    pub fn rows_settled(&self) -> u64 {
        self.counts.values().map(|count| count.taken + count.noted + count.rejected).sum()
    }

    /// Rows that were not carried over, in the order of tables and lines.
    pub fn rejected(&self) -> Vec<&Remark> {
        sorted(&self.rejected)
    }

    /// Rows that have no place or change nothing, in the order of tables and lines.
    pub fn left_out(&self) -> Vec<&Remark> {
        sorted(&self.left_out)
    }

    /// What is to be said of the export as a whole.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// What is to be said of rows that were carried over, in the order of tables and lines.
    pub fn notes(&self) -> Vec<&Remark> {
        sorted(&self.notes)
    }

    /// Rows by which something was corrected, in the order of tables and lines.
    pub fn corrected(&self) -> Vec<&Remark> {
        sorted(&self.corrected)
    }

    /// What holds for many rows alike.
    pub fn patterns(&self) -> impl Iterator<Item = (u16, &str, &Pattern)> {
        self.patterns.iter().map(|((file, text), pattern)| (*file, text.as_str(), pattern))
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
        let row = |line| RowId { table: Table::Ae, file: 1, line };
        for _ in 2..=5 {
            accounts.read(1);
        }
        accounts.take(row(2));
        accounts.reject(row(4), Some("S-2"), "no severity");
        accounts.reject(row(3), None, "no subject");
        accounts.leave_out(row(5), None, "no place");
        accounts.pattern(row(9), "zero");
        accounts.pattern(row(7), "zero");
        assert_eq!(accounts.count(1), Count { read: 4, taken: 1, noted: 1, rejected: 2 });
        assert_eq!(accounts.rows_settled(), accounts.rows_read());
        assert_eq!(accounts.rejected().iter().map(|remark| remark.row.line).collect::<Vec<_>>(), [3, 4]);
        let patterns: Vec<_> = accounts.patterns().collect();
        assert_eq!(patterns, [(1, "zero", &Pattern { rows: 2, first_line: 7 })]);
    }
}
