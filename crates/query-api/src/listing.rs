//! Everything that is listed, with what its parameters may hold.

use std::sync::LazyLock;

use events::allocation::Allocation;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use service::openapi::tidied;
use view_schema::ColumnKind;
use views::{Collection, Comparison, DynTable};

/// Every collection, as its view declares it.
pub static LISTINGS: LazyLock<Vec<Listing>> = LazyLock::new(|| views::tables().map(Listing::of).collect());

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
    table: &'static dyn DynTable,
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
    pub words: Option<Vec<String>>,
}

impl Listing {
    fn of(table: &'static dyn DynTable) -> Self {
        let schema = document_schema(table);
        let columns = table.schema().columns;
        let parameter = |filter: &views::Filter| {
            let column = columns.iter().find(|column| column.name == filter.column)?;
            Some(Parameter {
                name: filter.parameter,
                column: filter.column,
                comparison: filter.comparison,
                kind: column.kind,
                words: words(&schema, filter.column),
            })
        };
        let collection = table.collection();
        Self {
            name: table.schema().name,
            collection,
            parameters: collection.filters.iter().filter_map(parameter).collect(),
            allocation: Allocation::of_schema(&schema),
            table,
        }
    }

    /// The schema of a document, with all that it refers to.
    #[cfg(test)]
    pub fn document_schema(&self) -> Value {
        document_schema(self.table)
    }

    /// The schema of a document, by reference to the generator's definitions.
    pub fn reference(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        self.table.document_schema(generator)
    }
}

fn document_schema(table: &dyn DynTable) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let reference = table.document_schema(&mut generator).to_value();
    tidied(json!({"$ref": reference["$ref"], "$defs": generator.take_definitions(true)}))
}

/// The words that a field of the document can be.
fn words(schema: &Value, field: &str) -> Option<Vec<String>> {
    let resolve = |schema: &'_ Value, root: &Value| -> Option<Value> {
        match schema["$ref"].as_str() {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).cloned(),
            None => Some(schema.clone()),
        }
    };
    let document = resolve(schema, schema)?;
    let field = resolve(&document["properties"][field], schema)?;
    field["enum"].as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::LISTINGS;

    #[test]
    fn every_filter_is_a_parameter_and_enums_know_their_words() {
        for listing in LISTINGS.iter() {
            assert_eq!(listing.parameters.len(), listing.collection.filters.len(), "{}", listing.name);
            let status = listing.parameters.iter().find(|parameter| parameter.name == "status");
            assert!(status.is_none_or(|status| status.words.is_some()), "{}: the words of `status`", listing.name);
        }
        let alerts = LISTINGS.iter().find(|listing| listing.name == "alerts").expect("the inbox");
        let severity = alerts.parameters.iter().find(|parameter| parameter.name == "severity").expect("a filter");
        assert_eq!(severity.words.as_deref(), Some(&["low", "medium", "high", "critical"].map(str::to_owned)[..]));
    }
}
