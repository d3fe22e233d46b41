//! Everything that is listed, with what its parameters may hold.

use std::sync::LazyLock;

use authority::Area;
use events::guarded::Guarded;
use events::paths::Paths;
use view_schema::ColumnKind;
use views::{Collection, Comparison, DynTable, Scope};

use crate::allocation::Allocation;
use crate::declared::DOCUMENTS;

/// Every collection, as its view declares it.
pub static LISTINGS: LazyLock<Vec<Listing>> = LazyLock::new(|| views::tables().map(Listing::of).collect());

/// What the type of a view's documents says.
pub struct Document {
    /// The view's name.
    pub view: &'static str,
    /// The view's version, which changes with the documents.
    pub version: u32,
    /// Where the documents hold treatment allocation.
    pub allocation: Allocation,
    /// Where the documents hold personal data, sealed.
    pub personal: Paths,
    /// The words that columns can be, where these are known.
    pub words: &'static [(&'static str, &'static [&'static str])],
}

/// A collection that is a view.
pub struct Listing {
    /// The view's name.
    pub name: &'static str,
    /// How it is listed.
    pub collection: &'static Collection,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Where its documents hold treatment allocation.
    pub allocation: Allocation,
    /// Where its documents hold personal data, sealed.
    pub personal: Paths,
    /// What kind of thing it is.
    pub area: Area,
    /// What its documents belong to.
    pub scope: Scope,
}

/// A parameter that filters.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The column.
    pub column: &'static str,
    /// How the column is compared with it.
    pub comparison: Comparison,
    /// What the column holds.
    pub kind: ColumnKind,
    /// The words that it can be, where these are known.
    pub words: Option<&'static [&'static str]>,
}

impl Listing {
    /// The listing of this view.
    pub fn named(view: &str) -> Option<&'static Listing> {
        LISTINGS.iter().find(|listing| listing.name == view)
    }

    fn of(table: &dyn DynTable) -> Self {
        let (schema, collection) = (table.schema(), table.collection());
        let declared = declared(schema.name, schema.version);
        let words = |column| declared?.words.iter().find(|(name, _)| *name == column).map(|(_, words)| *words);
        let parameter = |filter: &views::Filter| {
            let column = schema.columns.iter().find(|column| column.name == filter.column)?;
            Some(Parameter {
                name: filter.parameter,
                column: filter.column,
                comparison: filter.comparison,
                kind: column.kind,
                words: words(filter.column),
            })
        };
        Self {
            name: schema.name,
            collection,
            parameters: collection.filters.iter().filter_map(parameter).collect(),
            allocation: declared.map_or(Allocation::EVERYTHING, |declared| declared.allocation),
            personal: declared.map_or(Guarded::EVERYTHING.personal, |declared| declared.personal),
            area: table.area(),
            scope: table.scope(),
        }
    }
}

fn declared(view: &str, version: u32) -> Option<&'static Document> {
    DOCUMENTS.iter().find(|document| document.view == view && document.version == version)
}

#[cfg(test)]
mod tests {
    use super::{LISTINGS, declared};

    #[test]
    fn every_filter_is_a_parameter_and_enums_know_their_words() {
        for listing in LISTINGS.iter() {
            assert_eq!(listing.parameters.len(), listing.collection.filters.len(), "{}", listing.name);
            let status = listing.parameters.iter().find(|parameter| parameter.name == "status");
            assert!(status.is_none_or(|status| status.words.is_some()), "{}: the words of `status`", listing.name);
        }
        let alerts = LISTINGS.iter().find(|listing| listing.name == "alerts").expect("the inbox");
        let severity = alerts.parameters.iter().find(|parameter| parameter.name == "severity").expect("a filter");
        assert_eq!(severity.words, Some(&["low", "medium", "high", "critical"][..]));
    }

    #[test]
    fn documents_of_every_view_are_declared_and_of_no_other_version() {
        for table in views::tables() {
            let schema = table.schema();
            assert!(declared(schema.name, schema.version).is_some(), "{}: run `cargo xtask codegen`", schema.name);
            assert!(declared(schema.name, schema.version + 1).is_none(), "{}", schema.name);
        }
    }
}
