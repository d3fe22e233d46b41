//! What the crates promise each other and no compiler checks.

use std::collections::BTreeSet;

use event_store::views::ViewSchema;
use projector::VIEWS;
use query_api::RESOURCES;

#[test]
fn every_resource_reads_a_view_by_columns_that_it_has() {
    let schemas: Vec<&ViewSchema> = VIEWS.iter().map(|view| view.schema()).chain([&saga::SCHEMA]).collect();
    for resource in RESOURCES {
        let schema = schemas.iter().find(|schema| schema.name == resource.view);
        let schema = schema.unwrap_or_else(|| panic!("{}: there is no view `{}`", resource.collection, resource.view));
        let columns: BTreeSet<&str> = schema.columns.iter().map(|column| column.name).collect();
        let named = resource.filters.iter().map(|filter| filter.column).chain(resource.sorts.iter().copied());
        for column in named {
            assert!(columns.contains(column), "{}: `{}` has no column `{column}`", resource.collection, schema.name);
        }
    }
}
