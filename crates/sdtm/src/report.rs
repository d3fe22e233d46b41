//! The report of rows that were not taken, and the table at the end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::accounts::{Accounts, Count, Remark};
use super::source::TableFile;
use client::console;

/// Kinds of reason that are told on the console; the report tells all.
const REASONS_SHOWN_MAX: usize = 12;
/// Corrections that are told on the console one by one; the report tells all.
const CORRECTIONS_SHOWN_MAX: usize = 20;

/// How a file is called in reports.
fn name_of(file: u16, files: &[TableFile]) -> String {
    files.get(usize::from(file)).map_or_else(String::new, TableFile::name)
}

/// Writes every row that was rejected, has no place (`noted`) or corrected something, and every note on others, with file
/// and line.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, accounts: &Accounts, files: &[TableFile]) -> io::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["file", "line", "subject", "outcome", "reason"])?;
    let of_rows = accounts.rejected().into_iter().map(|remark| ("rejected", remark));
    let of_rows = of_rows.chain(accounts.left_out().into_iter().map(|remark| ("noted", remark)));
    let of_rows = of_rows.chain(accounts.corrected().into_iter().map(|remark| ("corrected", remark)));
    for (outcome, remark) in of_rows.chain(accounts.notes().into_iter().map(|remark| ("note", remark))) {
        let (file, line) = (name_of(remark.row.file, files), remark.row.line.to_string());
        writer.write_record([&file, &line, remark.subject.as_deref().unwrap_or(""), outcome, &remark.text])?;
    }
    for (file, text, pattern) in accounts.patterns() {
        let text = format!("{} rows, the first at line {}: {text}", pattern.rows, pattern.first_line);
        writer.write_record([name_of(file, files).as_str(), "", "", "note", &text])?;
    }
    for remark in accounts.remarks() {
        writer.write_record(["", "", "", "note", remark])?;
    }
    writer.flush()
}

/// Rows read, taken, noted and rejected by file, and why, as text.
pub fn summary(accounts: &Accounts, files: &[TableFile]) -> String {
    let line = |name: String, count: Count| {
        let counts = [count.read, count.taken, count.noted, count.rejected].map(|count| count.to_string());
        [vec![name], counts.to_vec()].concat()
    };
    let mut rows = vec![["file", "read", "taken", "noted", "rejected"].map(str::to_owned).to_vec()];
    let mut total = Count::default();
    for (file, number) in files.iter().zip(0..) {
        let count = accounts.count(number);
        total.read += count.read;
        total.taken += count.taken;
        total.noted += count.noted;
        total.rejected += count.rejected;
        rows.push(line(file.name(), count));
    }
    rows.push(line("total".to_owned(), total));
    let mut text = console::table(&rows);
    text.push_str(&reasons("rejected", &accounts.rejected(), files));
    text.push_str(&reasons("noted", &accounts.left_out(), files));
    text.push_str(&corrections(&accounts.corrected(), files));
    for (file, pattern_text, pattern) in accounts.patterns() {
        text.push_str(&format!("note: {}, {} rows: {pattern_text}\n", name_of(file, files), pattern.rows));
    }
    for remark in accounts.remarks() {
        text.push_str(&format!("note: {remark}\n"));
    }
    let notes = accounts.notes().len();
    if notes > 0 {
        text.push_str(&format!("note: {notes} notes on single rows are in the report\n"));
    }
    text
}

/// What was corrected, row by row.
fn corrections(remarks: &[&Remark], files: &[TableFile]) -> String {
    let mut text = String::new();
    for remark in remarks.iter().take(CORRECTIONS_SHOWN_MAX) {
        let (file, subject) = (name_of(remark.row.file, files), remark.subject.as_deref().unwrap_or("the trial"));
        text.push_str(&format!("corrected: {file} line {}, {subject}: {}\n", remark.row.line, remark.text));
    }
    if let Some(more) = remarks.len().checked_sub(CORRECTIONS_SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("corrected: {more} more rows are in the report\n"));
    }
    text
}

/// Why rows were rejected or left out, most frequent first.
fn reasons(outcome: &str, remarks: &[&Remark], files: &[TableFile]) -> String {
    let mut reasons: BTreeMap<(u16, &str), (u64, u64)> = BTreeMap::new();
    for remark in remarks {
        let (count, _) = reasons.entry((remark.row.file, &remark.text)).or_insert((0, remark.row.line));
        *count += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let mut text = String::new();
    for ((file, reason), (count, line)) in reasons.iter().take(REASONS_SHOWN_MAX) {
        text.push_str(&format!("{outcome}: {} line {line}", name_of(*file, files)));
        if *count > 1 {
            text.push_str(&format!(" and {} more", count - 1));
        }
        text.push_str(&format!(": {reason}\n"));
    }
    if let Some(more) = reasons.len().checked_sub(REASONS_SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("{outcome}: {more} more reasons are in the report\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::accounts::RowId;
    use super::super::source::{Format, Table};
    use super::*;

    #[test]
    fn the_report_has_a_line_for_every_row_not_taken_and_every_note() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejected.csv");
        let files = [TableFile { table: Table::Ae, path: "AE.csv".into(), format: Format::Csv }];
        let mut accounts = Accounts::default();
        let row = |line| RowId { table: Table::Ae, file: 0, line };
        accounts.read(0);
        accounts.read(0);
        accounts.leave_out(row(4), None, "no place");
        accounts.reject(row(3), Some("S-1"), "AESEV is empty, \"severity\"");
        accounts.note(row(2), Some("S-1"), "AESTDTC `2014` is partial");
        accounts.correct(row(2), Some("S-1"), "severity");
        accounts.pattern(row(5), "zeros");
        write(&path, &accounts, &files).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(
            text,
            "file,line,subject,outcome,reason\n\
             AE.csv,3,S-1,rejected,\"AESEV is empty, \"\"severity\"\"\"\n\
             AE.csv,4,,noted,no place\n\
             AE.csv,2,S-1,corrected,severity\n\
             AE.csv,2,S-1,note,AESTDTC `2014` is partial\n\
             AE.csv,,,note,\"1 rows, the first at line 5: zeros\"\n"
        );
        let summary = summary(&accounts, &files);
        assert!(summary.contains("AE.csv     2      0      1         1\n"), "{summary}");
        assert!(summary.contains("rejected: AE.csv line 3: AESEV is empty"), "{summary}");
        assert!(summary.contains("corrected: AE.csv line 2, S-1: severity\n"), "{summary}");
    }
}
