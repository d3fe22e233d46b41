//! What is declared of documents beside how they come about: where they are kept, how they are listed.

use authority::Area;
use events::envelope::References;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;
use view_schema::ViewSchema;

use crate::column::Column;

/// Documents by key, with the columns by which they are found. Tables, lists and the
/// description of the interface are made from this.
pub trait Table: Send + Sync + 'static {
    /// What is kept under a key. Its schema's name is its name in the interface. No field of it is called as
    /// what every document of a view tells beside it: see [`Standing`](crate::Standing).
    type Document: Serialize + DeserializeOwned + JsonSchema + Send;
    /// The name of the table, and of the view for operators.
    const NAME: &'static str;
    /// Raised whenever document, fold or columns change; the view is then rebuilt.
    const VERSION: u32 = 1;
    /// The columns by which documents can be filtered and sorted.
    const COLUMNS: &'static [Column<Self::Document>];
    /// The columns of each index: those that a list filters by, then the one that it sorts by.
    const ACCESS_PATHS: &'static [&'static [&'static str]];
    /// How they are listed.
    const COLLECTION: Collection;
    /// What kind of thing it is: which roles read it.
    const AREA: Area;
    /// What a document belongs to.
    const SCOPE: Scope;
}

/// A collection in the interface.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// The name in the address, such as `adverse-events`.
    pub address: &'static str,
    /// What one document is: a noun without an apostrophe.
    pub summary: &'static str,
    /// Parameters that filter by a column.
    pub filters: &'static [Filter],
    /// What can be sorted by. The first of them is the order of who asks for none.
    pub sorts: &'static [Sort],
}

impl Collection {
    /// The collection under this address, of documents that are called so; see the fields.
    pub const fn new(
        address: &'static str,
        summary: &'static str,
        filters: &'static [Filter],
        sorts: &'static [Sort],
    ) -> Self {
        Self { address, summary, filters, sorts }
    }

    /// The order of who asks for none, as in the parameter `sort`.
    pub fn order(&self) -> String {
        self.sorts.first().map(Sort::as_first).unwrap_or_default()
    }
}

/// What a list can be sorted by.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// Its name in the parameter `sort`; with a leading `-` the greatest comes first.
    pub parameter: &'static str,
    /// The column.
    pub column: &'static str,
    /// Whether the greatest comes first where it is the order of who asks for none.
    pub is_descending: bool,
    /// What it means, where the name does not tell.
    pub meaning: Option<&'static str>,
}

impl Sort {
    /// By the column that is called so, smallest first.
    pub const fn by(column: &'static str) -> Self {
        Self { parameter: column, column, is_descending: false, meaning: None }
    }

    /// By the column that is called so, greatest first.
    pub const fn by_greatest(column: &'static str) -> Self {
        Self { is_descending: true, ..Self::by(column) }
    }

    /// The column is another one than the parameter's name.
    #[must_use]
    pub const fn called(self, parameter: &'static str) -> Self {
        Self { parameter, ..self }
    }

    /// Says what it means: a sentence without its end.
    #[must_use]
    pub const fn meaning(self, meaning: &'static str) -> Self {
        Self { meaning: Some(meaning), ..self }
    }

    /// As in the parameter `sort`.
    pub fn as_first(&self) -> String {
        format!("{}{}", if self.is_descending { "-" } else { "" }, self.parameter)
    }
}

/// A parameter that filters.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// The parameter's name.
    pub parameter: &'static str,
    /// The column.
    pub column: &'static str,
    /// How the column is compared with the parameter.
    pub comparison: Comparison,
    /// What it means, where the name does not tell: a sentence without its end.
    pub meaning: Option<&'static str>,
}

impl Filter {
    /// Says what it means: a sentence without its end.
    #[must_use]
    pub const fn meaning(self, meaning: &'static str) -> Self {
        Self { meaning: Some(meaning), ..self }
    }
}

/// How a column is compared with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal; to any of several values where it is text or an id.
    Equal,
    /// A time: that time or later.
    Since,
    /// A time: that time or earlier.
    Until,
    /// Words: some word begins as each of those that are given.
    Words,
}

/// The parameter holds what the column must be equal to.
pub const fn equal(parameter: &'static str, column: &'static str) -> Filter {
    Filter { parameter, column, comparison: Comparison::Equal, meaning: None }
}

/// The parameter that is called as the column holds what it must be equal to.
pub const fn is(column: &'static str) -> Filter {
    equal(column, column)
}

/// The parameter `since` holds the earliest time.
pub const fn since(column: &'static str) -> Filter {
    Filter { parameter: "since", column, comparison: Comparison::Since, meaning: None }
}

/// The parameter `until` holds the latest time.
pub const fn until(column: &'static str) -> Filter {
    Filter { parameter: "until", column, comparison: Comparison::Until, meaning: None }
}

/// The parameter holds how words begin that the column must have.
pub const fn search(parameter: &'static str, column: &'static str) -> Filter {
    Filter { parameter, column, comparison: Comparison::Words, meaning: None }
}

/// Filters by trial.
pub const TRIAL: Filter = is("trial_id");
/// Filters by site.
pub const SITE: Filter = is("site_id");
/// Filters by patient.
pub const PATIENT: Filter = is("patient_id");
/// Filters by subject.
pub const SUBJECT: Filter = is("subject_id");
/// Filters by status.
pub const STATUS: Filter = is("status");

/// What a document belongs to: who has a right in a trial, at a site or on a patient has it on the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Where its trial stands.
    pub trial: Option<Place>,
    /// Where its site stands.
    pub site: Option<Place>,
    /// Where its patient stands.
    pub patient: Option<Place>,
}

impl Scope {
    /// What a document is about.
    pub fn about(self, key: &str, fields: &Value) -> References {
        let id = |place: Option<Place>| match place? {
            Place::Key => Uuid::try_parse(key).ok(),
            Place::Column(column) => fields[column].as_str().and_then(|id| Uuid::try_parse(id).ok()),
        };
        References {
            trial_id: id(self.trial).map(Into::into),
            site_id: id(self.site).map(Into::into),
            patient_id: id(self.patient).map(Into::into),
        }
    }
}

/// Where a row tells what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the key.
    Key,
    /// It is in the column.
    Column(&'static str),
}

impl Scope {
    /// Belongs to the installation as a whole.
    pub const INSTALLATION: Scope = Scope { trial: None, site: None, patient: None };
    /// Belongs to a patient in a trial at a site, by the columns that are called so.
    pub const SUBJECT: Scope = Scope {
        trial: Some(Place::Column("trial_id")),
        site: Some(Place::Column("site_id")),
        patient: Some(Place::Column("patient_id")),
    };
}

/// A table without its type.
pub trait DynTable: Send + Sync + 'static {
    /// Its name, version, columns and access paths.
    fn schema(&self) -> &'static ViewSchema;

    /// How it is listed.
    fn collection(&self) -> &'static Collection;

    /// What kind of thing it is.
    fn area(&self) -> Area;

    /// What a document belongs to.
    fn scope(&self) -> Scope;

    /// The schema of a document, by reference to the generator's definitions.
    fn document_schema(&self, generator: &mut SchemaGenerator) -> Schema;
}
