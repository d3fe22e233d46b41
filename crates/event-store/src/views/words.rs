//! Searching a column of words: by how they begin, on each engine in its own tongue.

use super::ColumnValue;
use super::ddl::{vector, words_table};
use super::query::Dialect;

/// What is bound for the words that are wanted, where there are any.
pub fn begun(wanted: &ColumnValue, dialect: Dialect) -> Option<ColumnValue> {
    let ColumnValue::Text(text) = wanted else { return None };
    // Letters and digits alone: whatever else stands there would be a language of its own.
    let plain = |word: &str| word.chars().filter(|character| character.is_alphanumeric()).collect::<String>();
    let words = text.split_whitespace().map(plain).filter(|word| !word.is_empty());
    let (begun, between) = match dialect {
        Dialect::Postgres => (words.map(|word| format!("'{word}':*")).collect::<Vec<_>>(), " & "),
        Dialect::Sqlite => (words.map(|word| format!("\"{word}\"*")).collect::<Vec<_>>(), " "),
    };
    (!begun.is_empty()).then(|| ColumnValue::Text(begun.join(between)))
}

/// Only rows in which some word begins as each of those that are bound; where none is, no row.
pub fn condition(dialect: Dialect, view: &str, column: &str, bound: Option<&str>) -> String {
    let Some(bound) = bound else { return " AND 1 = 0".to_owned() };
    match dialect {
        Dialect::Postgres => format!(" AND {} @@ to_tsquery('simple', {bound})", vector(column)),
        Dialect::Sqlite => {
            let fts = words_table(&format!("view_{view}"));
            format!(" AND rowid IN (SELECT rowid FROM {fts} WHERE {fts} MATCH {bound})")
        }
    }
}
