//! Tables of views come from their declarations, also when those change.

use event_store::views::{Column, ColumnKind, ColumnValue, ListQuery, ViewBatch, ViewRow, ViewSchema};
use sqlx::{Connection as _, PgConnection};
use testkit::appends::place;
use testkit::stores::TestStore;

const FIRST: ViewSchema = ViewSchema {
    name: "declared",
    version: 1,
    columns: &[Column { name: "status", kind: ColumnKind::Text }, Column { name: "count", kind: ColumnKind::Integer }],
    access_paths: &[&["status", "count"], &["count"]],
};

/// The same view with another column and other access paths.
const RAISED: ViewSchema = ViewSchema {
    name: "declared",
    version: 2,
    columns: &[Column { name: "count", kind: ColumnKind::Integer }, Column { name: "site", kind: ColumnKind::Uuid }],
    access_paths: &[&["site", "count"], &["count"]],
};

fn row(number: i64, columns: Vec<ColumnValue>) -> ViewRow {
    let document = serde_json::value::to_raw_value(&serde_json::json!({"number": number})).expect("JSON");
    ViewRow { key: format!("row-{number:03}"), document, columns, is_new: true }
}

fn batch(generation: i64, from: u64, upserts: Vec<ViewRow>) -> ViewBatch {
    let (from, to) = (place(from), place(from + upserts.len() as u64));
    let view = FIRST.name.to_owned();
    ViewBatch { view, generation, from, to, upserts, deletes: Vec::new() }
}

/// The indexes of the view's table, but for the one of its key.
async fn indexes(test: &TestStore) -> Vec<String> {
    let mut names: Vec<String> = if test.url.starts_with("sqlite:") {
        let sql =
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'view_declared' AND sql IS NOT NULL";
        sqlx::query_scalar(sql).fetch_all(&mut test.derived_file().await).await.expect("the file")
    } else {
        let sql = "SELECT indexrelid::regclass::text FROM pg_index
                   WHERE indrelid = 'view_declared'::regclass AND NOT indisprimary";
        let mut connection = PgConnection::connect(&test.url).await.expect("the database");
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("the catalogue")
    };
    names.sort();
    names
}

async fn listed(test: &TestStore, sort: &str) -> Vec<String> {
    let sort = Some((sort.to_owned(), event_store::views::Direction::Ascending));
    let query = ListQuery { sort, limit: 100, ..ListQuery::default() };
    test.store.views.list(FIRST.name, &query).await.expect("a page").rows.into_iter().map(|(key, _)| key).collect()
}

async fn a_raised_declaration_is_filled_beside_and_takes_its_place(test: TestStore) {
    let views = &test.store.views;
    let first = views.register(&FIRST).await.expect("registered");
    let rows = |columns: fn(i64) -> Vec<ColumnValue>| (0..10).map(|number| row(number, columns(number))).collect();
    let before = rows(|number| vec!["open".into(), ColumnValue::Integer(-number)]);
    views.commit(&[batch(first.generation, 0, before)]).await.expect("committed");
    assert_eq!(indexes(&test).await, ["view_declared_by_count", "view_declared_by_status_and_count"]);

    let generation = views.start_rebuild(&RAISED).await.expect("begun");
    let after = rows(|number| vec![ColumnValue::Integer(number), uuid::Uuid::from_u128(7).into()]);
    views.commit(&[batch(generation, 0, after)]).await.expect("committed");
    let descending: Vec<String> = (0..10).rev().map(|number| format!("row-{number:03}")).collect();
    assert_eq!(listed(&test, "count").await, descending, "the earlier one is read meanwhile");

    assert!(views.swap(FIRST.name, generation).await.expect("swapped"));
    views.sweep(FIRST.name).await.expect("swept");
    let ascending: Vec<String> = (0..10).map(|number| format!("row-{number:03}")).collect();
    assert_eq!(listed(&test, "count").await, ascending);
    assert_eq!(listed(&test, "site").await.len(), 10);
    assert_eq!(indexes(&test).await, ["view_declared_by_count", "view_declared_by_site_and_count"]);
    let query = ListQuery { sort: Some(("status".to_owned(), event_store::views::Direction::Ascending)), ..query() };
    views.list(FIRST.name, &query).await.expect_err("a column that is declared no longer");
}

fn query() -> ListQuery {
    ListQuery { limit: 10, ..ListQuery::default() }
}

testkit::on_both_engines!(a_raised_declaration_is_filled_beside_and_takes_its_place);
