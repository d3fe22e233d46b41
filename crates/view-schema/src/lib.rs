//! What the rows of a view are made of.
//!
//! A vocabulary of its own, so that `views` can declare tables without knowing
//! the storage, and the storage can make them without knowing any view.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// Text.
    Text,
    /// Text that people type to name something, in the form in which such names are compared.
    Identifier,
    /// A UUID.
    Uuid,
    /// A whole number.
    Integer,
    /// A time in UTC.
    Time,
    /// True or false.
    Boolean,
    /// Words that are searched by how they begin, with blanks between them ([`words`]).
    Words,
}

/// A column by which a view can be filtered and sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the table and in queries.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What a view is made of; its tables are made from it.
#[derive(Clone, Copy, Debug)]
pub struct ViewSchema {
    /// The view's name, such as `trial_enrolment`.
    pub name: &'static str,
    /// Raised whenever document or fold change; the projector then rebuilds.
    pub version: u32,
    /// Its columns.
    pub columns: &'static [Column],
    /// The columns of each index, in the order in which they are read; the key follows by itself.
    pub access_paths: &'static [&'static [&'static str]],
}

/// A row to write.
#[derive(Clone, Debug)]
pub struct ViewRow {
    /// What names the document.
    pub key: String,
    /// The document (JSON).
    pub document: Box<RawValue>,
    /// The columns' values, in the schema's order.
    pub columns: Vec<ColumnValue>,
    /// Whether the generation is known to have no such document where the batch begins: it is stored for less then.
    pub is_new: bool,
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnValue {
    /// Text.
    Text(String),
    /// A UUID.
    Uuid(Uuid),
    /// A whole number.
    Integer(i64),
    /// A time in UTC.
    Time(DateTime<Utc>),
    /// True or false.
    Boolean(bool),
    /// No value.
    Null,
}

impl<T: Into<ColumnValue>> From<Option<T>> for ColumnValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(ColumnValue::Null, Into::into)
    }
}

impl From<String> for ColumnValue {
    fn from(value: String) -> Self {
        ColumnValue::Text(value)
    }
}

impl From<&str> for ColumnValue {
    fn from(value: &str) -> Self {
        ColumnValue::Text(value.to_owned())
    }
}

impl From<Uuid> for ColumnValue {
    fn from(value: Uuid) -> Self {
        ColumnValue::Uuid(value)
    }
}

impl From<DateTime<Utc>> for ColumnValue {
    fn from(value: DateTime<Utc>) -> Self {
        ColumnValue::Time(value)
    }
}

impl From<u32> for ColumnValue {
    fn from(value: u32) -> Self {
        ColumnValue::Integer(value.into())
    }
}

impl From<bool> for ColumnValue {
    fn from(value: bool) -> Self {
        ColumnValue::Boolean(value)
    }
}
