//! Tables as CDISC Dataset-JSON: one document (1.1, or 1.0 with its data within `clinicalData`), or one line a row.
//! Rows may be arrays or objects.

use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Columns, Read, SourceError, hand_on, text};

/// A column of the description that stands before the rows.
#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(alias = "type", rename = "dataType")]
    data_type: Option<String>,
}

/// The first line of the line-by-line form, without what is not needed here.
#[derive(Deserialize)]
struct Description {
    columns: Vec<Column>,
    name: Option<String>,
    records: Option<u64>,
}

/// Reads one document; see [`super::read`].
pub fn read_document(path: &Path, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let text::Text { text, remark } = text::read(path).map_err(|source| SourceError::File(path.to_owned(), source))?;
    let mut document = Document::new(each);
    document.columns.remarks.extend(remark);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let read = Part(&mut document).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.and_then(|()| document.finish()).map_err(|source| SourceError::Json(path.to_owned(), source))?;
    document.whole(path)
}

/// Reads the line-by-line form; see [`super::read`].
pub fn read_lines(path: &Path, each: &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError> {
    let text::Text { text, remark } = text::read(path).map_err(|source| SourceError::File(path.to_owned(), source))?;
    let mut document = Document::new(each);
    document.columns.remarks.extend(remark);
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        if !document.described {
            let failed = |source| SourceError::Json(path.to_owned(), source);
            match serde_json::from_str::<Description>(line) {
                Ok(description) => {
                    document.describe(description.columns);
                    document.columns.dataset = description.name;
                    document.records = description.records;
                    continue;
                }
                // Objects without a description: each names its own columns.
                Err(error) => {
                    let row: Map<String, Value> = serde_json::from_str(line).map_err(|_| failed(error))?;
                    document.describe_by(&[Value::Object(row)]);
                }
            }
        }
        match serde_json::from_str(line) {
            Ok(row) => document.row(number, row),
            Err(error) => document.broken(number, &format!("the line is no JSON: {error}")),
        }
    }
    document.whole(path)
}

/// A dataset, as far as it is read.
struct Document<'each> {
    columns: Columns,
    described: bool,
    records: Option<u64>,
    found: u64,
    /// Rows that came before the columns.
    early: Vec<Value>,
    datasets: u32,
    each: &'each mut dyn FnMut(Read<'_>),
}

impl<'each> Document<'each> {
    fn new(each: &'each mut dyn FnMut(Read<'_>)) -> Self {
        let columns = Columns::default();
        Self { columns, described: false, records: None, found: 0, early: Vec::new(), datasets: 0, each }
    }

    fn describe(&mut self, described: Vec<Column>) {
        let untyped = described.iter().filter(|column| column.data_type.is_none());
        let untyped: Vec<&str> = untyped.map(|column| column.name.as_str()).collect();
        let mut columns = Columns::new(described.iter().map(|column| &column.name));
        if !untyped.is_empty() {
            columns.remarks.push(format!("columns without a dataType: {}", untyped.join(", ")));
        }
        self.set(columns);
    }

    /// Columns as the rows, objects all, name them.
    fn describe_by(&mut self, rows: &[Value]) {
        let mut names: Vec<&String> = Vec::new();
        for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        self.set(Columns::new(names));
    }

    fn set(&mut self, columns: Columns) {
        let (dataset, mut remarks) = (self.columns.dataset.take(), std::mem::take(&mut self.columns.remarks));
        remarks.extend(columns.remarks);
        self.columns = Columns { dataset, remarks, ..columns };
        self.described = true;
    }

    fn broken(&mut self, line: u64, reason: &str) {
        (self.each)(Read::Broken { line, reason });
    }

    fn row(&mut self, line: u64, row: Value) {
        self.found += 1;
        let cells: Vec<String> = match row {
            Value::Array(values) => values.into_iter().map(cell).collect(),
            Value::Object(fields) => {
                let mut fields: Map<String, Value> =
                    fields.into_iter().map(|(name, value)| (name.trim().to_uppercase(), value)).collect();
                let cells = self.columns.names.iter().map(|name| fields.remove(name).map_or_else(String::new, cell));
                let cells = cells.collect();
                if let Some(name) = fields.keys().next() {
                    return self.broken(line, &format!("the dataset has no column {name}"));
                }
                cells
            }
            _ => return self.broken(line, "the row is neither a JSON array nor an object"),
        };
        hand_on(line, &self.columns, &cells, self.each);
    }

    /// Hands on rows that stood before the columns.
    fn finish(&mut self) -> Result<(), serde_json::Error> {
        let early = std::mem::take(&mut self.early);
        if !self.described {
            if early.is_empty() || !early.iter().all(Value::is_object) {
                return Err(serde_json::Error::missing_field("columns"));
            }
            self.describe_by(&early);
        }
        for (row, line) in early.into_iter().zip(1..) {
            self.row(line, row);
        }
        if self.datasets > 1 {
            let text = format!("holds {} datasets: the first is read", self.datasets);
            self.columns.remarks.push(text);
        }
        Ok(())
    }

    /// The columns, if as many rows came as were announced.
    fn whole(mut self, path: &Path) -> Result<Columns, SourceError> {
        match self.records {
            Some(announced) if announced > self.found => {
                Err(SourceError::CutOff { path: path.to_owned(), announced, found: self.found })
            }
            Some(announced) if announced < self.found => {
                let text = format!("announces {announced} records and holds {}", self.found);
                self.columns.remarks.push(text);
                Ok(self.columns)
            }
            _ => Ok(self.columns),
        }
    }
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

/// Reads a document, or what of it holds the dataset, without holding the rows if the columns stand before them.
struct Part<'document, 'each>(&'document mut Document<'each>);

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a Dataset-JSON document with `columns` and `rows`, or rows that are objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        Rows(self.0).visit_seq(rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let document = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "columns" | "items" => {
                    let described = map.next_value()?;
                    document.describe(described);
                }
                "rows" | "itemData" => map.next_value_seed(Rows(&mut *document))?,
                "name" => document.columns.dataset = map.next_value::<Option<String>>()?,
                "records" => document.records = map.next_value::<Option<u64>>()?,
                // Dataset-JSON 1.0.
                "clinicalData" | "referenceData" => map.next_value_seed(Part(&mut *document))?,
                "itemGroupData" => map.next_value_seed(Groups(&mut *document))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The datasets of Dataset-JSON 1.0, by their ids; there is one in a file.
struct Groups<'document, 'each>(&'document mut Document<'each>);

impl<'de> DeserializeSeed<'de> for Groups<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Groups<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("datasets by their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            self.0.datasets += 1;
            if self.0.datasets == 1 {
                map.next_value_seed(Part(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Rows<'document, 'each>(&'document mut Document<'each>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("rows, each an array of values or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let mut line = 0;
        while let Some(row) = rows.next_element::<Value>()? {
            line += 1;
            if self.0.described {
                self.0.row(line, row);
            } else {
                self.0.early.push(row);
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
    type Reader = fn(&Path, &mut dyn FnMut(Read<'_>)) -> Result<Columns, SourceError>;

    fn collect(reader: Reader, content: &str) -> (Vec<Cells>, Vec<u64>, Result<Columns, SourceError>) {
        let (mut rows, mut broken) = (Vec::new(), Vec::new());
        let file = file(content);
        let whole = reader(file.path(), &mut |read| match read {
            Read::Row(row) => {
                let cell = |name| row.get(name).map(str::to_owned);
                rows.push((row.line, cell("USUBJID"), cell("VISITNUM")));
            }
            Read::Broken { line, .. } => broken.push(line),
        });
        (rows, broken, whole)
    }

    fn expected() -> Vec<Cells> {
        vec![(1, Some("S-1".to_owned()), Some("3.1".to_owned())), (2, Some("S-2".to_owned()), None)]
    }

    #[test]
    fn a_document_is_read_whatever_the_order_of_its_parts() {
        let rows = r#""rows": [["S-1", 3.1], ["S-2", null], ["S-3"], 7]"#;
        for parts in [format!("{COLUMNS}, {rows}"), format!("{COLUMNS}, {rows}, \"records\": 4")] {
            let text = format!("\u{feff}{{\"datasetJSONVersion\": \"1.1.0\", \"name\": \"SV\", {parts}}}");
            let (rows, broken, columns) = collect(read_document, &text);
            assert_eq!((rows, broken), (expected(), vec![3, 4]));
            assert_eq!(columns.expect("whole").dataset.as_deref(), Some("SV"));
        }
        let text = format!("{{\"rows\": [[\"S-1\", 3.1], [\"S-2\", null]], {COLUMNS}}}");
        let (rows, broken, columns) = collect(read_document, &text);
        assert_eq!((rows, broken, columns.is_ok()), (expected(), vec![], true));
    }

    #[test]
    fn rows_may_be_objects_with_or_without_a_description() {
        let objects = r#"[{"USUBJID": "S-1", "visitnum": 3.1}, {"USUBJID": "S-2", "VISITNUM": null}]"#;
        let described = format!("{{{COLUMNS}, \"rows\": {objects}}}");
        for text in [objects.to_owned(), described, format!("{{\"rows\": {objects}}}")] {
            let (rows, broken, columns) = collect(read_document, &text);
            assert!(columns.is_ok(), "{columns:?}");
            assert_eq!((rows, broken), (expected(), vec![]), "{text}");
        }
        let lines = "{\"USUBJID\": \"S-1\", \"VISITNUM\": 3.1}\n{\"USUBJID\": \"S-2\"}\n";
        assert_eq!(collect(read_lines, lines).0, expected());
    }

    #[test]
    fn the_older_form_is_read() {
        let text = r#"{"datasetJSONVersion": "1.0.0", "clinicalData": {"studyOID": "T", "itemGroupData": {"IG.SV": {
            "records": 2, "name": "SV", "items": [{"OID": "ITEMGROUPDATASEQ", "name": "ITEMGROUPDATASEQ", "type": "integer"},
            {"OID": "U", "name": "USUBJID", "type": "string"}, {"OID": "V", "name": "VISITNUM", "type": "decimal"}],
            "itemData": [[1, "S-1", 3.1], [2, "S-2", null]]}}}}"#;
        let (rows, broken, columns) = collect(read_document, text);
        let columns = columns.expect("whole");
        assert_eq!((rows, broken), (expected(), vec![]));
        assert_eq!((columns.dataset.as_deref(), columns.remarks.as_slice()), (Some("SV"), [].as_slice()));
    }

    #[test]
    fn what_was_cut_off_keeps_what_came_before_and_is_told_of() {
        let broken_off = format!("{{{COLUMNS}, \"rows\": [[\"S-1\", 3.1], [\"S-2\", null], [\"S-");
        let (rows, _, whole) = collect(read_document, &broken_off);
        assert!(matches!(whole, Err(SourceError::Json(..))), "{whole:?}");
        assert_eq!(rows, expected());
        let fewer = format!("{{\"records\": 72, {COLUMNS}, \"rows\": [[\"S-1\", 3.1], [\"S-2\", null]]}}");
        let without = format!("{{\"records\": 1, {COLUMNS}}}");
        for (text, expected) in [(fewer, (72, 2)), (without, (1, 0))] {
            match collect(read_document, &text).2 {
                Err(SourceError::CutOff { announced, found, .. }) => assert_eq!((announced, found), expected),
                other => panic!("{other:?}"),
            }
        }
        let columns = COLUMNS.replace('\n', "");
        let lines = format!("{{\"records\": 3, {columns}}}\n[\"S-1\", 3.1]\n[\"S-2\", nu");
        let (rows, broken, whole) = collect(read_lines, &lines);
        assert_eq!((rows.len(), broken), (1, vec![3]));
        assert!(matches!(whole, Err(SourceError::CutOff { .. })), "{whole:?}");
    }

    #[test]
    fn the_line_by_line_form_names_rows_by_their_line() {
        let columns = COLUMNS.replace('\n', "");
        let text = format!("{{\"name\": \"SV\", {columns}}}\n[\"S-1\", 3.1]\n\n[\"S-2\", \nnull]\n[\"S-4\", null]\n");
        let (rows, broken, whole) = collect(read_lines, &text);
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 6]);
        assert!(whole.is_ok());
        assert_eq!(broken, vec![4, 5]);
    }

    #[test]
    fn a_column_without_a_type_is_told_of() {
        let text = r#"{"columns": [{"name": "USUBJID"}, {"name": "VISITNUM", "dataType": "integer"}], "rows": []}"#;
        let columns = collect(read_document, text).2.expect("whole");
        assert_eq!(columns.remarks, ["columns without a dataType: USUBJID"]);
    }
}
