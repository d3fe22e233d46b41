//! Tables as comma-separated values (RFC 4180).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::{Columns, Read, SourceError, hand_on};

/// What some programs put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a table; see [`super::read`].
pub fn read(path: &Path, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let failed = |source| SourceError::File(path.to_owned(), source);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    if file.fill_buf().map_err(failed)?.starts_with(BYTE_ORDER_MARK) {
        file.consume(BYTE_ORDER_MARK.len());
    }
    // Rows of another length are told of one by one.
    // A last line without an end gets one, so that every record ends on a line of its own.
    let lines = LineFeeds { inner: file, held: false }.chain(&b"\n"[..]);
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(lines);
    let not_csv = |error: csv::Error| SourceError::Csv(path.to_owned(), error);
    let columns = Columns::new(reader.byte_headers().map_err(not_csv)?.iter().map(text));
    let mut record = ByteRecord::new();
    let mut cells = Vec::new();
    while reader.read_byte_record(&mut record).map_err(not_csv)? {
        // The reader's own line of a record is that of the blank lines before it.
        let inside = record.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
        let line = reader.position().line().saturating_sub(inside + 1);
        cells.clear();
        cells.extend(record.iter().map(text));
        hand_on(line, &columns, &cells, each);
    }
    Ok(columns)
}

/// Text whose lines end with a line feed only: the CSV reader counts lines by line feeds, and
/// takes the one after a carriage return for the beginning of the next record.
struct LineFeeds<R> {
    inner: R,
    held: bool,
}

impl<R: BufRead> io::Read for LineFeeds<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written == 0 && !output.is_empty() {
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                // A carriage return at the very end ends nothing.
                return Ok(0);
            }
            let mut consumed = 0;
            while consumed < buffer.len() && written < output.len() {
                let byte = buffer[consumed];
                let returned = std::mem::take(&mut self.held);
                if returned && byte != b'\n' {
                    // It stood alone: the byte after it comes in the next turn.
                    output[written] = b'\r';
                    written += 1;
                    continue;
                }
                consumed += 1;
                if byte == b'\r' {
                    self.held = true;
                } else {
                    output[written] = byte;
                    written += 1;
                }
            }
            self.inner.consume(consumed);
        }
        Ok(written)
    }
}

/// The text of a cell. What is not UTF-8 is taken as ISO 8859-1, in which every byte is a letter.
fn text(cell: &[u8]) -> String {
    match std::str::from_utf8(cell) {
        Ok(text) => text.to_owned(),
        Err(_) => cell.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A line with its cells, or what is wrong with it.
    type Line = (u64, Result<Vec<Option<String>>, String>);

    fn rows(content: &[u8]) -> Vec<Line> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("written");
        let mut rows = Vec::new();
        let columns = read(file.path(), &mut |read| match read {
            Read::Row(row) => {
                let cells = ["USUBJID", "AETERM"].map(|column| row.get(column).map(str::to_owned));
                rows.push((row.line, Ok(cells.to_vec())));
            }
            Read::Broken { line, reason } => rows.push((line, Err(reason.to_owned()))),
        });
        columns.expect("a table");
        rows
    }

    fn cells(subject: &str, term: &str) -> Result<Vec<Option<String>>, String> {
        Ok([subject, term].map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).to_vec())
    }

    #[test]
    fn order_and_case_of_columns_do_not_matter() {
        assert_eq!(rows(b"aeterm,USUBJID\nRASH,S-1\n"), [(2, cells("S-1", "RASH"))]);
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_are_no_content() {
        assert_eq!(
            rows(b"\xef\xbb\xbfUSUBJID,AETERM\r\nS-1,RASH\r\nS-2, \r\n"),
            [(2, cells("S-1", "RASH")), (3, cells("S-2", ""))]
        );
    }

    #[test]
    fn a_row_is_named_by_its_first_line() {
        let content = b"USUBJID,AETERM\nS-1,\"RASH,\nON \"\"ARM\"\"\"\n\nS-2,COUGH\n";
        assert_eq!(rows(content), [(2, cells("S-1", "RASH,\nON \"ARM\"")), (5, cells("S-2", "COUGH"))]);
    }

    #[test]
    fn a_row_of_another_length_is_told_of() {
        let read = rows(b"USUBJID,AETERM\nS-1\nS-2,COUGH,DRY\nS-3,RASH");
        assert_eq!(
            read.iter().map(|(line, row)| (*line, row.is_ok())).collect::<Vec<_>>(),
            [(2, false), (3, false), (4, true)]
        );
    }

    #[test]
    fn a_file_without_content_has_no_rows() {
        assert_eq!(rows(b""), []);
        assert_eq!(rows(b"USUBJID,AETERM"), []);
    }

    #[test]
    fn other_encodings_are_read_as_western_european() {
        assert_eq!(rows(b"USUBJID,AETERM\nS-1,D\xc9J\xc0 VU\n"), [(2, cells("S-1", "DÉJÀ VU"))]);
    }
}
