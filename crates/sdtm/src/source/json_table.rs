//! Tables as CDISC Dataset-JSON 1.1: one document, or one line a row.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Columns, Read, SourceError, hand_on};

/// A column of the description that stands before the rows.
#[derive(Deserialize)]
struct Column {
    name: String,
}

/// The first line of the line-by-line form, without what is not needed here.
#[derive(Deserialize)]
struct Description {
    columns: Vec<Column>,
}

/// Reads one document; see [`super::read`].
pub fn read_document(path: &Path, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let file = BufReader::new(File::open(path).map_err(|source| SourceError::File(path.to_owned(), source))?);
    let mut deserializer = serde_json::Deserializer::from_reader(without_mark(path, file)?);
    let read = Document { each }.deserialize(&mut deserializer);
    read.and_then(|columns| deserializer.end().map(|()| columns))
        .map_err(|source| SourceError::Json(path.to_owned(), source))
}

/// Reads the line-by-line form; see [`super::read`].
pub fn read_lines(path: &Path, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let failed = |source| SourceError::File(path.to_owned(), source);
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut file = without_mark(path, file)?;
    let (mut text, mut line) = (String::new(), 0);
    let mut columns: Option<Columns> = None;
    loop {
        text.clear();
        line += 1;
        if file.read_line(&mut text).map_err(failed)? == 0 {
            return Ok(columns.unwrap_or_default());
        }
        if text.trim().is_empty() {
            continue;
        }
        match &columns {
            None => {
                let description: Description =
                    serde_json::from_str(&text).map_err(|source| SourceError::Json(path.to_owned(), source))?;
                columns = Some(Columns::new(description.columns.iter().map(|column| &column.name)));
            }
            Some(columns) => match serde_json::from_str::<Vec<Value>>(&text) {
                Ok(values) => hand_on(line, columns, &values.into_iter().map(cell).collect::<Vec<_>>(), each),
                Err(error) => each(Read::Broken { line, reason: &format!("the line is not a JSON array: {error}") }),
            },
        }
    }
}

/// The dataset's name, as far as it is told before the rows.
pub fn dataset_name(path: &Path) -> Option<String> {
    let file = without_mark(path, BufReader::new(File::open(path).ok()?)).ok()?;
    let mut name = None;
    // The reader stops at the rows, which is no failure.
    drop(Name { name: &mut name }.deserialize(&mut serde_json::Deserializer::from_reader(file)));
    name
}

fn without_mark(path: &Path, mut file: BufReader<File>) -> Result<BufReader<File>, SourceError> {
    let buffer = file.fill_buf().map_err(|source| SourceError::File(path.to_owned(), source))?;
    if buffer.starts_with("\u{feff}".as_bytes()) {
        file.consume('\u{feff}'.len_utf8());
    }
    Ok(file)
}

fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        // SDTM writes flags as Y and N.
        Value::Bool(truth) => if truth { "Y" } else { "N" }.to_owned(),
        value @ (Value::Number(_) | Value::Array(_) | Value::Object(_)) => value.to_string(),
    }
}

/// Reads a document without holding its rows, if the columns stand before them.
struct Document<'each> {
    each: &'each mut dyn FnMut(Read<'_>),
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Columns;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Columns, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Columns;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a Dataset-JSON document with `columns` and `rows`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut columns: Option<Columns> = None;
        let mut early: Vec<Vec<Value>> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), &columns) {
                ("columns", _) => {
                    let described: Vec<Column> = map.next_value()?;
                    columns = Some(Columns::new(described.iter().map(|column| &column.name)));
                }
                ("rows", Some(columns)) => map.next_value_seed(Rows { columns, each: &mut *self.each })?,
                ("rows", None) => early = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let columns = columns.ok_or_else(|| serde::de::Error::missing_field("columns"))?;
        for (values, line) in early.into_iter().zip(1..) {
            hand_on(line, &columns, &values.into_iter().map(cell).collect::<Vec<_>>(), self.each);
        }
        Ok(columns)
    }
}

struct Rows<'rows> {
    columns: &'rows Columns,
    each: &'rows mut dyn FnMut(Read<'_>),
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("rows, each an array of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let mut line = 0;
        while let Some(row) = rows.next_element::<Value>()? {
            line += 1;
            match row {
                Value::Array(values) => {
                    hand_on(line, self.columns, &values.into_iter().map(cell).collect::<Vec<_>>(), self.each);
                }
                _ => (self.each)(Read::Broken { line, reason: "the row is not a JSON array" }),
            }
        }
        Ok(())
    }
}

/// Reads no further than the dataset's name.
struct Name<'name> {
    name: &'name mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a Dataset-JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => {
                    *self.name = Some(map.next_value()?);
                    return Ok(());
                }
                "rows" => return Ok(()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const COLUMNS: &str = r#""columns": [
        {"itemOID": "IT.SV.USUBJID", "name": "USUBJID", "label": "Unique Subject Identifier", "dataType": "string"},
        {"itemOID": "IT.SV.VISITNUM", "name": "VISITNUM", "label": "Visit Number", "dataType": "decimal"}]"#;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content.as_bytes()).expect("written");
        file
    }

    type Cells = (u64, Option<String>, Option<String>);

    fn collect(
        read: impl FnOnce(&mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError>,
    ) -> (Vec<Cells>, Vec<u64>, bool) {
        let (mut rows, mut broken) = (Vec::new(), Vec::new());
        let whole = read(&mut |read| match read {
            Read::Row(row) => {
                let cell = |name| row.get(name).map(str::to_owned);
                rows.push((row.line, cell("USUBJID"), cell("VISITNUM")));
            }
            Read::Broken { line, .. } => broken.push(line),
        });
        (rows, broken, whole.is_ok())
    }

    fn expected() -> Vec<Cells> {
        vec![(1, Some("S-1".to_owned()), Some("3.1".to_owned())), (2, Some("S-2".to_owned()), None)]
    }

    #[test]
    fn a_document_is_read_whatever_the_order_of_its_parts() {
        let rows = r#""rows": [["S-1", 3.1], ["S-2", null], ["S-3"], 7]"#;
        for parts in [format!("{COLUMNS}, {rows}"), format!("{COLUMNS}, {rows}, \"records\": 4")] {
            let file = file(&format!("\u{feff}{{\"datasetJSONVersion\": \"1.1.0\", \"name\": \"SV\", {parts}}}"));
            assert_eq!(collect(|each| read_document(file.path(), each)), (expected(), vec![3, 4], true));
            assert_eq!(dataset_name(file.path()).as_deref(), Some("SV"));
        }
        let file = file(&format!("{{\"rows\": [[\"S-1\", 3.1], [\"S-2\", null]], {COLUMNS}}}"));
        assert_eq!(collect(|each| read_document(file.path(), each)), (expected(), vec![], true));
        assert_eq!(dataset_name(file.path()), None);
    }

    #[test]
    fn a_document_that_breaks_off_keeps_what_came_before() {
        let file = file(&format!("{{{COLUMNS}, \"rows\": [[\"S-1\", 3.1], [\"S-2\", null], [\"S-"));
        assert_eq!(collect(|each| read_document(file.path(), each)), (expected(), vec![], false));
    }

    #[test]
    fn the_line_by_line_form_names_rows_by_their_line() {
        let columns = COLUMNS.replace('\n', "");
        let file =
            file(&format!("{{\"name\": \"SV\", {columns}}}\n[\"S-1\", 3.1]\n\n[\"S-2\", \nnull]\n[\"S-4\", null]\n"));
        let (rows, broken, whole) = collect(|each| read_lines(file.path(), each));
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 6]);
        assert_eq!((broken, whole), (vec![4, 5], true));
    }
}
