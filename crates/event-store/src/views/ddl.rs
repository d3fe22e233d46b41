//! What a view's declaration becomes in SQL (docs/adr/0019).
//!
//! A column that is declared later is added, and an access path gets its index, when a generation
//! of the raised version is begun; what is declared no longer stays until that generation is read.

use view_schema::{Column, ColumnKind, ViewSchema};

use super::catalogue::table;
use super::{Dialect, ViewError};

/// Longest name that both engines keep whole, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// An index of a view.
pub struct Index {
    /// Its name.
    pub name: String,
    /// What it is of: its columns in the order in which they are read, or how words are found.
    pub of: String,
}

/// The statement that makes a view's table.
pub fn create_table(schema: &ViewSchema, dialect: Dialect) -> Result<String, ViewError> {
    let table = table(schema.name)?;
    let columns: String = schema.columns.iter().map(|column| format!(", {}", definition(column, dialect))).collect();
    Ok(match dialect {
        Dialect::Postgres => format!(
            "CREATE TABLE IF NOT EXISTS derived.{table} (generation bigint NOT NULL, key text COLLATE \"C\" NOT NULL,
                 document json NOT NULL{columns}, PRIMARY KEY (generation, key)) PARTITION BY LIST (generation)"
        ),
        Dialect::Sqlite => format!(
            "CREATE TABLE IF NOT EXISTS {table} (generation INTEGER NOT NULL, key TEXT NOT NULL,
                 document TEXT NOT NULL{columns}, PRIMARY KEY (generation, key)) STRICT"
        ),
    })
}

/// A column as it is declared.
pub fn definition(column: &Column, dialect: Dialect) -> String {
    let kind = match (dialect, column.kind) {
        (Dialect::Postgres, ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words) => "text COLLATE \"C\"",
        (Dialect::Postgres, ColumnKind::Uuid) => "uuid",
        (Dialect::Postgres, ColumnKind::Integer) => "bigint",
        (Dialect::Postgres, ColumnKind::Time) => "timestamptz",
        (Dialect::Postgres, ColumnKind::Boolean) => "boolean",
        (
            Dialect::Sqlite,
            ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Uuid | ColumnKind::Time | ColumnKind::Words,
        ) => "TEXT",
        (Dialect::Sqlite, ColumnKind::Integer | ColumnKind::Boolean) => "INTEGER",
    };
    format!("{} {kind}", column.name)
}

/// The indexes of a view: one for each access path; where none is declared, one for each column. Words are found by an index of
/// their own on PostgreSQL, by a table of their own on SQLite ([`words_of`]).
pub fn indexes(schema: &ViewSchema, dialect: Dialect) -> Result<Vec<Index>, ViewError> {
    let table = table(schema.name)?;
    let is_of_words = |column: &&Column| column.kind == ColumnKind::Words;
    let single: Vec<[&str; 1]> =
        schema.columns.iter().filter(|column| !is_of_words(column)).map(|column| [column.name]).collect();
    let paths: Vec<&[&str]> = match schema.access_paths {
        [] => single.iter().map(<[&str; 1]>::as_slice).collect(),
        declared => declared.to_vec(),
    };
    let index = |path: &[&str]| {
        let name = format!("{table}_by_{}", path.join("_and_"));
        if name.len() > NAME_BYTES_MAX {
            return Err(ViewError::Corrupt(format!("the name of index {name} is too long")));
        }
        let path = path.join(", ");
        // A partition holds one generation; SQLite's table holds all of them.
        let columns = match dialect {
            Dialect::Postgres => format!("({path}, key)"),
            Dialect::Sqlite => format!("(generation, {path}, key)"),
        };
        Ok(Index { name, of: columns })
    };
    let mut indexes = paths.into_iter().map(index).collect::<Result<Vec<_>, _>>()?;
    if dialect == Dialect::Postgres {
        indexes.extend(schema.columns.iter().filter(is_of_words).map(|column| Index {
            name: format!("{table}_by_{}", column.name),
            of: format!("USING gin ({})", vector(column.name)),
        }));
    }
    Ok(indexes)
}

/// How PostgreSQL looks at words: as they stand, whatever the language.
pub fn vector(column: &str) -> String {
    format!("to_tsvector('simple', coalesce({column}, ''))")
}

/// The table in which SQLite finds the words of a view.
pub fn words_table(table: &str) -> String {
    format!("{table}_fts")
}

/// The statements that make that table, and keep it as the view's own is, where a view has words.
pub fn words_of(schema: &ViewSchema) -> Result<Vec<String>, ViewError> {
    let Some(column) = schema.columns.iter().find(|column| column.kind == ColumnKind::Words) else {
        return Ok(Vec::new());
    };
    let (table, words) = (table(schema.name)?, column.name);
    let fts = words_table(&table);
    Ok(vec![
        format!("CREATE VIRTUAL TABLE IF NOT EXISTS {fts} USING fts5(words)"),
        format!(
            "CREATE TRIGGER IF NOT EXISTS {fts}_insert AFTER INSERT ON {table} BEGIN
                 INSERT INTO {fts} (rowid, words) VALUES (new.rowid, coalesce(new.{words}, ''));
             END"
        ),
        format!(
            "CREATE TRIGGER IF NOT EXISTS {fts}_update AFTER UPDATE OF {words} ON {table} BEGIN
                 UPDATE {fts} SET words = coalesce(new.{words}, '') WHERE rowid = new.rowid;
             END"
        ),
        format!(
            "CREATE TRIGGER IF NOT EXISTS {fts}_delete AFTER DELETE ON {table} BEGIN
                 DELETE FROM {fts} WHERE rowid = old.rowid;
             END"
        ),
    ])
}
