//! Tables as separated values (RFC 4180 and its relatives).

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use super::{Columns, Read, SourceError, hand_on, missing, text};

/// What can stand between cells.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads a table; see [`super::read`].
pub fn read(path: &Path, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let text::Text { mut text, remark } =
        text::read(path).map_err(|source| SourceError::File(path.to_owned(), source))?;
    // A last line without an end gets one, so that every record ends on a line of its own.
    text.push('\n');
    let separator = separator(&text);
    let mut reader = ReaderBuilder::new().flexible(true).delimiter(separator).from_reader(text.as_bytes());
    let not_csv = |error: csv::Error| SourceError::Csv(path.to_owned(), error);
    let mut columns = Columns::new(reader.headers().map_err(not_csv)?);
    columns.remarks.extend(remark);
    if separator != b',' {
        columns.remarks.push(format!("cells are separated by `{}`", char::from(separator).escape_default()));
    }
    let decimal_commas: Vec<bool> =
        columns.names.iter().map(|name| separator == b';' && missing::is_numeric(name)).collect();
    let mut record = StringRecord::new();
    let mut cells = Vec::new();
    while reader.read_record(&mut record).map_err(not_csv)? {
        // The reader's own line of a record is that of the blank lines before it.
        let inside = record.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n').count() as u64;
        let line = reader.position().line().saturating_sub(inside + 1);
        cells.clear();
        cells.extend(record.iter().map(str::to_owned));
        // Separators behind the last column say nothing.
        while cells.len() > columns.names.len() && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
            cells.pop();
        }
        for (cell, _) in cells.iter_mut().zip(&decimal_commas).filter(|(_, decimal_comma)| **decimal_comma) {
            *cell = cell.replace(',', ".");
        }
        hand_on(line, &columns, &cells, each);
    }
    match misplaced_quote(&text, separator) {
        Some(what) => Err(SourceError::Quotes { path: path.to_owned(), what }),
        None => Ok(columns),
    }
}

/// Where a quote makes one cell of several rows: it is not closed before the file ends, or it closes in the middle of a
/// text some lines later. The reader takes both without a word.
fn misplaced_quote(text: &str, separator: u8) -> Option<String> {
    let (mut line, mut begun) = (1_u64, None);
    let mut at_cell = true;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, begun) {
            (b'"', None) if at_cell => begun = Some(line),
            (b'"', Some(since)) => {
                if bytes.peek() == Some(&b'"') {
                    bytes.next();
                } else {
                    begun = None;
                    let ends = bytes.peek().is_none_or(|next| *next == separator || next.is_ascii_whitespace());
                    if !ends && since < line {
                        return Some(format!(
                            "the quote that begins a cell at line {since} closes within a text at line {line}"
                        ));
                    }
                }
            }
            _ => {}
        }
        at_cell = begun.is_none() && (byte == separator || byte == b'\n' || byte == b'\r');
        line += u64::from(byte == b'\n');
    }
    begun.map(|since| format!("the quote that begins a cell at line {since} is not closed"))
}

/// What separates the names of the columns: whichever stands there most often outside quotes.
fn separator(text: &str) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut quoted = false;
    for byte in text.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            byte if !quoted => {
                if let Some(place) = SEPARATORS.iter().position(|separator| *separator == byte) {
                    counts[place] += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    counts.iter().position(|count| *count == most).map_or(b',', |place| SEPARATORS[place])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A line with its cells, or what is wrong with it.
    type Line = (u64, Result<Vec<Option<String>>, String>);

    fn table(content: &[u8]) -> (Vec<Line>, Vec<String>) {
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
        (rows, columns.expect("a table").remarks)
    }

    fn rows(content: &[u8]) -> Vec<Line> {
        table(content).0
    }

    fn cells(subject: &str, term: &str) -> Result<Vec<Option<String>>, String> {
        Ok([subject, term].map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).to_vec())
    }

    #[test]
    fn a_quote_that_swallows_rows_is_told() {
        let read_all = |content: &str| {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(content.as_bytes()).expect("written");
            read(file.path(), &mut |_| {}).map(drop).map_err(|error| error.to_string())
        };
        let open = read_all("A,B\n1,\"x\n2,y\n3,z\n").expect_err("it is not closed");
        assert!(open.ends_with("the quote that begins a cell at line 2 is not closed"), "{open}");
        let within = read_all("A,B\n1,\"x\n2,y\n3,he said \"no\" to it\n").expect_err("it closes in a text");
        assert!(within.ends_with("at line 2 closes within a text at line 4"), "{within}");
        for good in ["A,B\n1,\"x, \"\"y\"\"\"\n", "A,B\n1,\"two\nlines\"\n2,5\" tall\n", "A,B\r\n\"1\",\"\"\r\n"] {
            read_all(good).expect(good);
        }
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
        assert_eq!(rows(b"USUBJID,AETERM\rS-1,RASH\r"), [(2, cells("S-1", "RASH"))]);
    }

    #[test]
    fn a_row_is_named_by_its_first_line() {
        let content = b"USUBJID,AETERM\nS-1,\"RASH,\nON \"\"ARM\"\"\"\n\nS-2,COUGH\n";
        assert_eq!(rows(content), [(2, cells("S-1", "RASH,\nON \"ARM\"")), (5, cells("S-2", "COUGH"))]);
    }

    #[test]
    fn a_row_of_another_length_is_told_of() {
        let read = rows(b"USUBJID,AETERM\nS-1\nS-2,COUGH,DRY\nS-3,RASH,,\nS-4,RASH");
        assert_eq!(
            read.iter().map(|(line, row)| (*line, row.is_ok())).collect::<Vec<_>>(),
            [(2, false), (3, false), (4, true), (5, true)]
        );
    }

    #[test]
    fn a_file_without_content_has_no_rows() {
        assert_eq!(rows(b""), []);
        assert_eq!(rows(b"USUBJID,AETERM"), []);
    }

    #[test]
    fn cells_are_separated_as_the_first_line_says() {
        for (separator, shown) in [(";", ";"), ("\t", "\\t"), ("|", "|")] {
            let content = format!("USUBJID{separator}AETERM\nS-1{separator}\"A, B\"\n");
            let (rows, remarks) = table(content.as_bytes());
            assert_eq!(rows, [(2, cells("S-1", "A, B"))], "{separator}");
            assert_eq!(remarks, [format!("cells are separated by `{shown}`")]);
        }
    }

    #[test]
    fn a_decimal_comma_is_one_where_semicolons_separate() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"VISITNUM;AETERM\n3,1;3,1\n").expect("written");
        let mut cells = Vec::new();
        let each = &mut |read: Read<'_>| {
            if let Read::Row(row) = read {
                cells.extend(["VISITNUM", "AETERM"].map(|column| row.get(column).map(str::to_owned)));
            }
        };
        read(file.path(), each).expect("a table");
        assert_eq!(cells, [Some("3.1".to_owned()), Some("3,1".to_owned())]);
    }

    #[test]
    fn a_column_that_repeats_is_told_of() {
        let (rows, remarks) = table(b"USUBJID,AETERM,aeterm\nS-1,RASH,COUGH\n");
        assert_eq!(rows, [(2, cells("S-1", "RASH"))]);
        assert_eq!(remarks, ["the column AETERM stands there twice: the first is read"]);
    }
}
