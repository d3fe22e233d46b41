//! The report of rows that were not taken, and the table at the end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::accounts::{Accounts, Count};
use super::source::{Table, TableFile};
use client::console;

/// Kinds of reason that are told on the console; the report tells all.
const REASONS_SHOWN_MAX: usize = 12;

/// How a table's file is called in reports.
fn name_of(table: Table, files: &[TableFile]) -> String {
    let file = files.iter().find(|file| file.table == table);
    file.map_or_else(|| table.name().to_owned(), TableFile::name)
}

/// Writes every row that was not taken, and every note, with file and line.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, accounts: &Accounts, files: &[TableFile]) -> io::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["file", "line", "subject", "outcome", "reason"])?;
    let of_rows = accounts.rejected().into_iter().map(|remark| ("rejected", remark));
    for (outcome, remark) in of_rows.chain(accounts.notes().into_iter().map(|remark| ("note", remark))) {
        let (file, line) = (name_of(remark.row.table, files), remark.row.line.to_string());
        writer.write_record([&file, &line, remark.subject.as_deref().unwrap_or(""), outcome, &remark.text])?;
    }
    for (table, text, pattern) in accounts.patterns() {
        let text = format!("{} rows, the first at line {}: {text}", pattern.rows, pattern.first_line);
        writer.write_record([name_of(table, files).as_str(), "", "", "note", &text])?;
    }
    writer.flush()
}

/// Rows read, taken and rejected by file, and why rows were rejected, as text.
pub fn summary(accounts: &Accounts, files: &[TableFile]) -> String {
    let line = |name: String, count: Count| {
        [name, count.read.to_string(), count.taken.to_string(), count.rejected.to_string()].to_vec()
    };
    let mut rows = vec![["file", "read", "taken", "rejected"].map(str::to_owned).to_vec()];
    let mut total = Count::default();
    for file in files {
        let count = accounts.count(file.table);
        total.read += count.read;
        total.taken += count.taken;
        total.rejected += count.rejected;
        rows.push(line(file.name(), count));
    }
    rows.push(line("total".to_owned(), total));
    let mut text = console::table(&rows);
    text.push_str(&reasons(accounts, files));
    for (table, pattern_text, pattern) in accounts.patterns() {
        text.push_str(&format!("note: {}, {} rows: {pattern_text}\n", name_of(table, files), pattern.rows));
    }
    let notes = accounts.notes().len();
    if notes > 0 {
        text.push_str(&format!("note: {notes} notes on single rows are in the report\n"));
    }
    text
}

/// Why rows were rejected, most frequent first.
fn reasons(accounts: &Accounts, files: &[TableFile]) -> String {
    let mut reasons: BTreeMap<(Table, &str), (u64, u64)> = BTreeMap::new();
    for remark in accounts.rejected() {
        let (count, _) = reasons.entry((remark.row.table, &remark.text)).or_insert((0, remark.row.line));
        *count += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let mut text = String::new();
    for ((table, reason), (count, line)) in reasons.iter().take(REASONS_SHOWN_MAX) {
        text.push_str(&format!("rejected: {} line {line}", name_of(*table, files)));
        if *count > 1 {
            text.push_str(&format!(" and {} more", count - 1));
        }
        text.push_str(&format!(": {reason}\n"));
    }
    if let Some(more) = reasons.len().checked_sub(REASONS_SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("rejected: {more} more reasons are in the report\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::accounts::RowId;
    use super::super::source::Format;
    use super::*;

    #[test]
    fn the_report_has_a_line_for_every_row_not_taken_and_every_note() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejected.csv");
        let files = [TableFile { table: Table::Ae, path: "AE.csv".into(), format: Format::Csv }];
        let mut accounts = Accounts::default();
        let row = |line| RowId { table: Table::Ae, line };
        accounts.read(Table::Ae);
        accounts.reject(row(3), Some("S-1"), "AESEV is empty, \"severity\"");
        accounts.note(row(2), Some("S-1"), "AESTDTC `2014` is partial");
        accounts.pattern(row(5), "zeros");
        write(&path, &accounts, &files).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(
            text,
            "file,line,subject,outcome,reason\n\
             AE.csv,3,S-1,rejected,\"AESEV is empty, \"\"severity\"\"\"\n\
             AE.csv,2,S-1,note,AESTDTC `2014` is partial\n\
             AE.csv,,,note,\"1 rows, the first at line 5: zeros\"\n"
        );
        let summary = summary(&accounts, &files);
        assert!(summary.contains("AE.csv     1      0         1\n"), "{summary}");
        assert!(summary.contains("rejected: AE.csv line 3: AESEV is empty"), "{summary}");
    }
}
