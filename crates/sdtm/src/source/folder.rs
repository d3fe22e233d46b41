//! Which files of a folder hold which tables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Format, Table, TableFile, file_name, json_table};

/// What a folder holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The tables, in the order in which they are read.
    pub tables: Vec<TableFile>,
    /// Tables for which there is no file.
    pub missing: Vec<Table>,
    /// Files that are not read, with the reason.
    pub ignored: Vec<(PathBuf, String)>,
}

/// Looks for the tables in a folder.
///
/// # Errors
/// Where the folder cannot be read.
pub fn find(folder: &Path) -> io::Result<Found> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    // The folder's own order is by chance.
    paths.sort();
    let mut found = Found::default();
    let mut tables: BTreeMap<Table, TableFile> = BTreeMap::new();
    for path in paths {
        let Some(format) = format(&path) else { continue };
        let Some(table) = table(&path, format) else {
            found.ignored.push((path, "not imported by this version".to_owned()));
            continue;
        };
        match tables.get(&table) {
            Some(taken) => found.ignored.push((path, format!("{} is read in its place", taken.name()))),
            None => drop(tables.insert(table, TableFile { table, path, format })),
        }
    }
    found.missing = Table::ALL.into_iter().filter(|table| !tables.contains_key(table)).collect();
    found.tables = tables.into_values().collect();
    Ok(found)
}

fn format(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::DatasetJson),
        "ndjson" => Some(Format::DatasetNdjson),
        _ => None,
    }
}

/// The table that a file holds: by the file's name, else by the name that the dataset gives itself.
fn table(path: &Path, format: Format) -> Option<Table> {
    let named = |name: &str| Table::ALL.into_iter().find(|table| name.eq_ignore_ascii_case(table.name()));
    let name = file_name(path);
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    named(stem).or_else(|| match format {
        Format::Csv => None,
        Format::DatasetJson | Format::DatasetNdjson => named(&json_table::dataset_name(path)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_name_in_any_case_and_by_content() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [
            ("DM.CSV", "USUBJID"),
            ("dm.json", "{}"),
            ("study_ae.json", r#"{"name": "AE", "columns": [], "rows": []}"#),
            ("ex.csv", ""),
            ("README.md", ""),
        ] {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
        let found = find(folder.path()).expect("a folder");
        let names: Vec<(Table, String)> = found.tables.iter().map(|file| (file.table, file.name())).collect();
        assert_eq!(names, [(Table::Dm, "DM.CSV".to_owned()), (Table::Ae, "study_ae.json".to_owned())]);
        let ignored: Vec<String> = found.ignored.iter().map(|(path, _)| file_name(path)).collect();
        assert_eq!(ignored, ["dm.json", "ex.csv"]);
        assert_eq!(found.missing.len(), 7);
        assert!(find(&folder.path().join("nowhere")).is_err());
    }
}
