//! What tables declare fits together, whoever writes the next one.

use std::collections::BTreeSet;

use view_schema::ColumnKind;
use views::{Comparison, DynTable, Place};

/// Words that a column cannot be called without being quoted.
const RESERVED: [&str; 9] = ["order", "group", "user", "key", "document", "generation", "position", "table", "end"];

fn columns(table: &dyn DynTable) -> BTreeSet<&'static str> {
    table.schema().columns.iter().map(|column| column.name).collect()
}

#[test]
fn names_are_used_once() {
    let tables: Vec<_> = views::tables().collect();
    let names: BTreeSet<_> = tables.iter().map(|table| table.schema().name).collect();
    let addresses: BTreeSet<_> = tables.iter().map(|table| table.collection().address).collect();
    assert_eq!((names.len(), addresses.len()), (tables.len(), tables.len()));
    for table in tables {
        let schema = table.schema();
        assert_eq!(columns(table).len(), schema.columns.len(), "{}: a column twice", schema.name);
        for name in columns(table).into_iter().chain([schema.name]) {
            let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(plain && !RESERVED.contains(&name), "{}: `{name}`", schema.name);
        }
    }
}

#[test]
fn lists_filter_and_sort_by_columns_that_are_there() {
    for table in views::tables() {
        let (collection, columns) = (table.collection(), columns(table));
        for filter in collection.filters {
            let column = table.schema().columns.iter().find(|column| column.name == filter.column);
            let column = column.unwrap_or_else(|| panic!("{}: no `{}`", collection.address, filter.column));
            let is_time = column.kind == ColumnKind::Time;
            let is_of_words = column.kind == ColumnKind::Words;
            assert_eq!(
                is_of_words,
                filter.comparison == Comparison::Words,
                "{}: `{}`",
                collection.address,
                column.name
            );
            let is_span = matches!(filter.comparison, Comparison::Since | Comparison::Until);
            assert_eq!(is_time, is_span, "{}: `{}`", collection.address, column.name);
        }
        assert!(collection.sorts.iter().all(|sort| columns.contains(sort.column)), "{}", collection.address);
        assert!(!collection.sorts.is_empty(), "{} has no order", collection.address);
        let scope = table.scope();
        for place in [scope.trial, scope.site, scope.patient].into_iter().flatten() {
            let Place::Column(column) = place else { continue };
            assert!(columns.contains(column), "{}: scoped by `{column}`", collection.address);
        }
    }
}

#[test]
fn an_index_begins_with_every_filter_and_serves_every_order() {
    for table in views::tables() {
        let (collection, paths) = (table.collection(), table.schema().access_paths);
        let columns = columns(table);
        assert!(paths.iter().all(|path| path.iter().all(|column| columns.contains(column))), "{}", collection.address);
        let distinct: BTreeSet<_> = paths.iter().collect();
        assert_eq!(distinct.len(), paths.len(), "{}: a path twice", collection.address);
        // Words are found by an index of their own.
        for filter in collection.filters.iter().filter(|filter| filter.comparison != Comparison::Words) {
            let begins = paths.iter().any(|path| path.first() == Some(&filter.column));
            assert!(begins, "{}: no index begins with `{}`", collection.address, filter.column);
        }
        for sort in collection.sorts.iter().map(|sort| sort.column) {
            let serves = paths.iter().any(|path| *path == [sort]);
            assert!(serves, "{}: no index is in the order of `{sort}`", collection.address);
        }
    }
}
