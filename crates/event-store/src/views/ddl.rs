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
    /// Its columns, in the order in which they are read.
    pub columns: String,
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
        (Dialect::Postgres, ColumnKind::Text | ColumnKind::Identifier) => "text COLLATE \"C\"",
        (Dialect::Postgres, ColumnKind::Uuid) => "uuid",
        (Dialect::Postgres, ColumnKind::Integer) => "bigint",
        (Dialect::Postgres, ColumnKind::Time) => "timestamptz",
        (Dialect::Postgres, ColumnKind::Boolean) => "boolean",
        (Dialect::Sqlite, ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Uuid | ColumnKind::Time) => "TEXT",
        (Dialect::Sqlite, ColumnKind::Integer | ColumnKind::Boolean) => "INTEGER",
    };
    format!("{} {kind}", column.name)
}

/// The indexes of a view: one for each access path; where none is declared, one for each column.
pub fn indexes(schema: &ViewSchema, dialect: Dialect) -> Result<Vec<Index>, ViewError> {
    let table = table(schema.name)?;
    let single: Vec<[&str; 1]> = schema.columns.iter().map(|column| [column.name]).collect();
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
            Dialect::Postgres => format!("{path}, key"),
            Dialect::Sqlite => format!("generation, {path}, key"),
        };
        Ok(Index { name, columns })
    };
    paths.into_iter().map(index).collect()
}
