//! Which files of a folder hold which tables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Columns, Format, Read, Table, TableFile, file_name, read, xpt_table};

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

/// Files that say something about others.
const ABOUT_OTHERS: [&str; 3] = ["readme", "license", "licence"];
/// Datasets of observations, which may be split: `qsph` is a part of QS. Those of the trial's design are not.
const SPLIT: [Table; 6] = [Table::Ds, Table::Ie, Table::Sv, Table::Ae, Table::Qs, Table::Vs];

/// Looks for the tables in a folder.
///
/// # Errors
/// Where the folder cannot be read.
pub fn find(folder: &Path) -> io::Result<Found> {
    let (mut paths, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = file_name(&path).to_lowercase();
        let about = name.ends_with(".md") || ABOUT_OTHERS.iter().any(|about| name.starts_with(about));
        if path.is_dir() && !name.starts_with('.') {
            folders.push((path, "not imported: a folder in the folder is not looked into".to_owned()));
        } else if path.is_file() && !name.starts_with('.') && !about {
            paths.push(path);
        }
    }
    folders.sort();
    // The folder's own order is by chance.
    paths.sort();
    let mut found = Found { ignored: folders, ..Found::default() };
    let mut stems: BTreeMap<String, String> = BTreeMap::new();
    for path in paths {
        let Some(formats) = formats(&path) else {
            let kind = path.extension().map_or_else(String::new, |kind| format!(".{} ", kind.to_string_lossy()));
            found.ignored.push((path, format!("not imported: this version does not read {kind}files")));
            continue;
        };
        let stem = stem(&path).to_lowercase();
        if let Some(earlier) = stems.get(&stem) {
            found.ignored.push((path, format!("not imported: {earlier} is read in its place")));
            continue;
        }
        for format in formats {
            let look = Look::at(&path, format);
            match look.table(&path) {
                Some(table) => {
                    stems.insert(stem.clone(), file_name(&path));
                    found.tables.push(TableFile { table, path: path.clone(), format });
                }
                None => found.ignored.push((path.clone(), look.why_not(&path))),
            }
        }
    }
    found.tables.sort_by(|one, other| (one.table, &one.path).cmp(&(other.table, &other.path)));
    let holds = |table: &Table| found.tables.iter().any(|file| file.table == *table);
    found.missing = Table::ALL.into_iter().filter(|table| !holds(table)).collect();
    Ok(found)
}

/// How a file is written, once for each dataset in it.
fn formats(path: &Path) -> Option<Vec<Format>> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "csv" | "tsv" => Some(vec![Format::Csv]),
        "json" => Some(vec![Format::DatasetJson]),
        "ndjson" => Some(vec![Format::DatasetNdjson]),
        // One that cannot be read is told of when it is.
        "xpt" => Some((0..xpt_table::members(path).unwrap_or(1).max(1)).map(Format::Xpt).collect()),
        _ => None,
    }
}

fn stem(path: &Path) -> String {
    let name = file_name(path);
    name.rsplit_once('.').map_or(name.clone(), |(stem, _)| stem.to_owned())
}

/// What a first look at a dataset tells.
#[derive(Default)]
struct Look {
    columns: Columns,
    rows: u64,
    /// `DOMAIN` of the first row that has one.
    domain: Option<String>,
    readable: bool,
}

impl Look {
    fn at(path: &Path, format: Format) -> Self {
        let mut look = Self::default();
        let file = TableFile { table: Table::Dm, path: path.to_owned(), format };
        let whole = read(&file, &mut |read| {
            look.rows += 1;
            if let (Read::Row(row), None) = (read, &look.domain) {
                look.domain = row.get("DOMAIN").or_else(|| row.get("RDOMAIN")).map(str::to_uppercase);
            }
        });
        look.readable = whole.is_ok();
        look.columns = whole.unwrap_or_default();
        look
    }

    /// The table: as the rows say, else by the name of the dataset or file.
    fn table(&self, path: &Path) -> Option<Table> {
        let has = |column: &str| self.columns.names.iter().any(|name| name == column);
        if has("RDOMAIN") {
            return None;
        }
        if let Some(domain) = &self.domain {
            return Table::named(domain);
        }
        let names = [Some(stem(path)), self.columns.dataset.clone()];
        let names: Vec<String> = names.into_iter().flatten().map(|name| name.to_uppercase()).collect();
        let whole = names.iter().find_map(|name| Table::named(name));
        whole.or_else(|| names.iter().find_map(|name| self.part(name)))
    }

    /// The table of which a name such as `QSPH` or `study_ae` names a part, where columns of it are there.
    fn part(&self, name: &str) -> Option<Table> {
        let words: Vec<&str> = name.split(|character: char| !character.is_ascii_alphanumeric()).collect();
        if let Some(table) = words.iter().find_map(|word| Table::named(word)) {
            return Some(table);
        }
        let table = Table::named(name.get(..2)?).filter(|table| SPLIT.contains(table) && name.len() <= 8)?;
        let prefix = table.name().to_uppercase();
        let own = |column: &String| column.len() > 4 && column.starts_with(&prefix);
        self.columns.names.iter().any(own).then_some(table)
    }

    fn why_not(&self, path: &Path) -> String {
        if !self.readable || self.columns.names.is_empty() {
            return "not imported: it holds no dataset that can be read".to_owned();
        }
        let rows = self.rows;
        if self.columns.names.iter().any(|name| name == "RDOMAIN") {
            let of = self.domain.clone().unwrap_or_else(|| "?".to_owned());
            return format!("not imported, {rows} rows: this version has no place for data related to records of {of}");
        }
        let domain = self.domain.clone().unwrap_or_else(|| stem(path).to_uppercase());
        format!("not imported, {rows} rows: this version has no place for the domain {domain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(files: &[(&str, &str)]) -> Found {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
        find(folder.path()).expect("a folder")
    }

    fn names(found: &Found) -> Vec<(Table, String)> {
        found.tables.iter().map(|file| (file.table, file.name())).collect()
    }

    #[test]
    fn files_are_told_apart_by_name_in_any_case_and_by_content() {
        let found = look(&[
            ("DM.CSV", "USUBJID"),
            ("dm.json", "{}"),
            ("study_ae.json", r#"{"name": "AE", "columns": [{"name": "AETERM"}], "rows": []}"#),
            ("ex.csv", "USUBJID\nS-1\nS-2\n"),
            ("suppae.csv", "RDOMAIN,USUBJID\nAE,S-1\n"),
            ("lb.dsjc", "?"),
            ("README.md", ""),
        ]);
        assert_eq!(names(&found), [(Table::Dm, "DM.CSV".to_owned()), (Table::Ae, "study_ae.json".to_owned())]);
        let ignored = found.ignored.iter().map(|(path, why)| format!("{}: {why}", file_name(path)));
        assert_eq!(
            ignored.collect::<Vec<_>>(),
            [
                "dm.json: not imported: DM.CSV is read in its place",
                "ex.csv: not imported, 2 rows: this version has no place for the domain EX",
                "lb.dsjc: not imported: this version does not read .dsjc files",
                "suppae.csv: not imported, 1 rows: this version has no place for data related to records of AE",
            ]
        );
        assert_eq!(found.missing.len(), 9);
        assert!(find(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn every_part_of_a_split_domain_is_found() {
        let dataset =
            |name: &str, columns: &str| format!(r#"{{"name": "{name}", "columns": [{columns}], "rows": []}}"#);
        let found = look(&[
            ("qsph.csv", "USUBJID,QSTESTCD\nS-1,PHQ0101\n"),
            ("answers.csv", "DOMAIN,USUBJID\nQS,S-1\n"),
            ("one.json", &dataset("QS", r#"{"name": "QSTESTCD"}"#)),
            ("two.json", &dataset("QSCO", r#"{"name": "QSTESTCD"}"#)),
            ("ae_ophtha.csv", "USUBJID,AETERM\n"),
            ("dsmb.csv", "MEMBER\nA\n"),
            ("target.csv", "VALUE\n1\n"),
        ]);
        let expected = [
            (Table::Ae, "ae_ophtha.csv"),
            (Table::Qs, "answers.csv"),
            (Table::Qs, "one.json"),
            (Table::Qs, "qsph.csv"),
            (Table::Qs, "two.json"),
        ];
        assert_eq!(names(&found), expected.map(|(table, name)| (table, name.to_owned())));
    }
}
