//! Tables as SAS transport files (XPORT, version 5 and 8).

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use encoding_rs::WINDOWS_1252;
use sas_xport::sas::xport::{XportDataset, XportReader, XportValue};

use super::{Columns, Read, SourceError, hand_on};

/// Reads the dataset of this number; see [`super::read`].
pub fn read(path: &Path, member: usize, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let not_xpt = |error: sas_xport::sas::xport::XportError| SourceError::Xpt(path.to_owned(), error);
    let mut dataset = open(path)?;
    for _ in 0..member {
        dataset = match dataset {
            Some(mut dataset) => {
                dataset.skip_to_end().map_err(not_xpt)?;
                dataset.next_dataset().map_err(not_xpt)?
            }
            None => break,
        };
    }
    let Some(mut dataset) = dataset else { return Ok(Columns::default()) };
    let schema = dataset.schema();
    let row_length: usize = schema.variables().iter().map(|variable| usize::from(variable.value_length())).sum();
    let mut columns = Columns::new(schema.variables().iter().map(|variable| variable.full_name()));
    columns.dataset = Some(schema.dataset_name().trim().to_owned());
    let mut line = 0;
    let mut cells = Vec::new();
    while let Some(record) = dataset.next_record().map_err(not_xpt)? {
        line += 1;
        cells.clear();
        cells.extend(record.iter().map(cell));
        hand_on(line, &columns, &cells, each);
    }
    if breaks_off(path, member, row_length).map_err(|source| SourceError::File(path.to_owned(), source))? {
        return Err(SourceError::XptCutOff(path.to_owned()));
    }
    Ok(columns)
}

/// Length of the records that a transport file is made of (SAS technical note TS-140).
const RECORD: usize = 80;

/// Whether the dataset's last row is cut off. The rows stand one behind the other, and blanks fill the last record: the
/// library takes what is left of a row for such blanks.
fn breaks_off(path: &Path, member: usize, row_length: usize) -> std::io::Result<bool> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut record, mut observations) = (Vec::with_capacity(RECORD), 0);
    // What stands behind the last whole row, and whether the rows of the dataset have begun.
    let (mut rest, mut inside) = (Vec::new(), false);
    loop {
        record.clear();
        let length = file.by_ref().take(RECORD as u64).read_to_end(&mut record)?;
        let is_header = record.starts_with(b"HEADER RECORD*******");
        if length == 0 || (inside && is_header) {
            return Ok(inside && rest.iter().any(|byte| *byte != b' '));
        }
        if length < RECORD {
            return Ok(true);
        }
        if inside {
            rest.extend_from_slice(&record);
            rest.drain(..rest.len() - rest.len() % row_length.max(1));
        } else if is_header && record[20..].starts_with(b"OBS") {
            inside = observations == member;
            observations += 1;
        }
    }
}

/// How many datasets the file holds.
///
/// # Errors
/// [`SourceError`] where it is no transport file.
pub fn members(path: &Path) -> Result<usize, SourceError> {
    let not_xpt = |error| SourceError::Xpt(path.to_owned(), error);
    let (mut count, mut dataset) = (0, open(path)?);
    while let Some(mut current) = dataset {
        count += 1;
        current.skip_to_end().map_err(not_xpt)?;
        dataset = current.next_dataset().map_err(not_xpt)?;
    }
    Ok(count)
}

fn open(path: &Path) -> Result<Option<XportDataset<BufReader<File>>>, SourceError> {
    let file = File::open(path).map_err(|source| SourceError::File(path.to_owned(), source))?;
    let mut options = XportReader::<BufReader<File>>::options();
    let reader = options.add_fallback_encoding(WINDOWS_1252).from_file(file);
    reader.and_then(XportReader::next_dataset).map_err(|error| SourceError::Xpt(path.to_owned(), error))
}

fn cell(value: &XportValue<'_>) -> String {
    match value {
        XportValue::Character(text) => text.clone().into_owned(),
        // Any of SAS's missing values.
        XportValue::Number(number) if number.is_nan() => String::new(),
        XportValue::Number(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use sas_xport::sas::SasVariableType;
    use sas_xport::sas::xport::{XportMetadata, XportSchema, XportVariable, XportWriter};

    use super::*;

    fn variable(name: &str, length: Option<u16>) -> sas_xport::sas::xport::XportVariableBuilder {
        let mut variable = XportVariable::builder();
        let kind = if length.is_some() { SasVariableType::Character } else { SasVariableType::Numeric };
        variable.short_name(name).value_type(kind).value_length(length.unwrap_or(8));
        variable
    }

    fn written(rows: &[(&str, f64, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let schema = XportSchema::builder()
            .dataset_name("AE")
            .add_variable(variable("USUBJID", Some(12)))
            .add_variable(variable("AESEQ", None))
            .add_variable(variable("AETERM", Some(30)))
            .try_build()
            .expect("a schema");
        let metadata = XportMetadata::builder().build();
        let writer = XportWriter::from_file(file.reopen().expect("open"), metadata).expect("a writer");
        let mut writer = writer.write_schema(schema).expect("written");
        for (subject, sequence, term) in rows {
            let record = [XportValue::from(*subject), XportValue::from(*sequence), XportValue::from(*term)];
            writer.write_record(&record).expect("written");
        }
        writer.finish().expect("written");
        file
    }

    #[test]
    fn a_transport_file_is_read_with_its_numbers_and_what_is_missing() {
        let file = written(&[("S-1", 1.0, "Rash"), ("S-2", 36.6, ""), ("S-3", f64::NAN, "Cough")]);
        let mut rows = Vec::new();
        let columns = read(file.path(), 0, &mut |read| match read {
            Read::Row(row) => {
                let cells = ["USUBJID", "AESEQ", "AETERM"].map(|column| row.get(column).unwrap_or("").to_owned());
                rows.push((row.line, cells.join(" ")));
            }
            Read::Broken { line, reason } => rows.push((line, reason.to_owned())),
        });
        assert_eq!(columns.expect("a table").dataset.as_deref(), Some("AE"));
        let expected = [(1, "S-1 1 Rash"), (2, "S-2 36.6 "), (3, "S-3  Cough")];
        assert_eq!(rows, expected.map(|(line, row)| (line, row.to_owned())));
        assert_eq!(members(file.path()).expect("a file"), 1);
    }

    /// Several datasets stand in a file one behind the other.
    #[test]
    fn each_dataset_of_a_file_is_read() {
        let (one, other) = (written(&[("S-1", 1.0, "Rash")]), written(&[("S-2", 2.0, "Cough"), ("S-3", 3.0, "Fever")]));
        let mut bytes = std::fs::read(one.path()).expect("read");
        let second = std::fs::read(other.path()).expect("read");
        let begins = second.windows(20).skip(80).position(|bytes| bytes == b"HEADER RECORD*******").expect("a member");
        bytes.extend_from_slice(&second[begins + 80..]);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        assert_eq!(members(file.path()).expect("a file"), 2);
        let rows = |member| {
            let mut rows = 0;
            read(file.path(), member, &mut |_| rows += 1).expect("a dataset");
            rows
        };
        assert_eq!((rows(0), rows(1)), (1, 2));
    }

    #[test]
    fn a_file_that_is_cut_off_is_told() {
        let file = written(&[("S-1", 1.0, "Rash"), ("S-2", 2.0, "Cough"), ("S-3", 3.0, "Fever")]);
        let whole = std::fs::read(file.path()).expect("read");
        let read_all = |length: usize| {
            std::fs::write(file.path(), &whole[..length]).expect("written");
            read(file.path(), 0, &mut |_| {})
        };
        read_all(whole.len()).expect("it is whole");
        // Within a record of the file, and at the end of one that ends within a row.
        for length in [whole.len() - 10, whole.len() - 80] {
            let cut = read_all(length);
            assert!(matches!(cut, Err(SourceError::XptCutOff(_) | SourceError::Xpt(..))), "{length}: {cut:?}");
        }
    }

    #[test]
    fn what_is_no_transport_file_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "**COMPRESSED** **COMPRESSED**").expect("written");
        assert!(matches!(members(file.path()), Err(SourceError::Xpt(..))));
    }
}
