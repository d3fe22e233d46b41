//! Columns: each declared once, with its name, what it holds and where the document has it.

use std::fmt;

use chrono::{DateTime, Utc};
use events::identifier;
use serde::Serialize;
use uuid::Uuid;
use view_schema::{ColumnKind, ColumnValue};

/// A column of the documents `D`. The kind follows from the getter, so the two cannot differ.
#[derive(Clone, Copy)]
pub struct Column<D> {
    name: &'static str,
    get: Getter<D>,
}

#[derive(Clone, Copy)]
enum Getter<D> {
    Text(fn(&D) -> Option<String>),
    Identifier(fn(&D) -> Option<String>),
    Uuid(fn(&D) -> Option<Uuid>),
    Integer(fn(&D) -> Option<i64>),
    Time(fn(&D) -> Option<DateTime<Utc>>),
    Boolean(fn(&D) -> Option<bool>),
    Words(fn(&D) -> Option<String>),
}

impl<D> Column<D> {
    /// Its name and kind, as the storage makes it.
    pub const fn declared(&self) -> view_schema::Column {
        let kind = match self.get {
            Getter::Text(_) => ColumnKind::Text,
            Getter::Identifier(_) => ColumnKind::Identifier,
            Getter::Uuid(_) => ColumnKind::Uuid,
            Getter::Integer(_) => ColumnKind::Integer,
            Getter::Time(_) => ColumnKind::Time,
            Getter::Boolean(_) => ColumnKind::Boolean,
            Getter::Words(_) => ColumnKind::Words,
        };
        view_schema::Column { name: self.name, kind }
    }

    /// The document's value.
    pub fn value(&self, document: &D) -> ColumnValue {
        match self.get {
            Getter::Text(get) => get(document).into(),
            Getter::Identifier(get) => get(document).map(|name| identifier::key(&name)).into(),
            Getter::Uuid(get) => get(document).into(),
            Getter::Integer(get) => get(document).map_or(ColumnValue::Null, ColumnValue::Integer),
            Getter::Time(get) => get(document).into(),
            Getter::Boolean(get) => get(document).into(),
            Getter::Words(get) => get(document).map(|text| searched(&text)).into(),
        }
    }
}

/// A column of text: words, a day, or an enum's name (see [`name_of`]).
pub const fn text<D>(name: &'static str, get: fn(&D) -> Option<String>) -> Column<D> {
    Column { name, get: Getter::Text(get) }
}

/// A column of names that people type, such as subject numbers: those that look the same are the same
/// ([`identifier::key`]).
pub const fn named<D>(name: &'static str, get: fn(&D) -> Option<String>) -> Column<D> {
    Column { name, get: Getter::Identifier(get) }
}

/// A column of ids.
pub const fn uuid<D>(name: &'static str, get: fn(&D) -> Option<Uuid>) -> Column<D> {
    Column { name, get: Getter::Uuid(get) }
}

/// A column of whole numbers.
pub const fn integer<D>(name: &'static str, get: fn(&D) -> Option<i64>) -> Column<D> {
    Column { name, get: Getter::Integer(get) }
}

/// A column of times.
pub const fn time<D>(name: &'static str, get: fn(&D) -> Option<DateTime<Utc>>) -> Column<D> {
    Column { name, get: Getter::Time(get) }
}

/// A column of truths.
pub const fn boolean<D>(name: &'static str, get: fn(&D) -> Option<bool>) -> Column<D> {
    Column { name, get: Getter::Boolean(get) }
}

/// A column of words that are searched by how they begin.
pub const fn words<D>(name: &'static str, get: fn(&D) -> Option<String>) -> Column<D> {
    Column { name, get: Getter::Words(get) }
}

/// The words of a text as they are searched by: each once, in small letters and without marks above or below them.
pub fn searched(text: &str) -> String {
    let plain: String = identifier::plain_letters(text);
    let words = plain.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    let distinct: std::collections::BTreeSet<&str> = words.collect();
    distinct.into_iter().collect::<Vec<_>>().join(" ")
}

/// The name under which an enum without fields stands in a document.
///
/// # Panics
/// Where the value is not such an enum, which any test that folds the view shows.
pub fn name_of<T: Serialize>(value: &T) -> Option<String> {
    struct Name<'a, T>(&'a T);
    impl<T: Serialize> fmt::Display for Name<'_, T> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(formatter)
        }
    }
    Some(Name(value).to_string())
}
