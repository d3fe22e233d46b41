//! Lists keep their speed: every page of every list is a stretch of an index, however deep it lies.

use event_store::views::{
    ColumnKind, ColumnValue, Cursor, Dialect, Direction, Filter, FilterOp, ListQuery, ListSql, QueryError, ViewError,
    ViewSchema,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use testkit::stores::TestStore;

use crate::doubles::view;

const ROWS: u32 = 20_000;
const PAGE: u32 = 20;

/// The database behind a store.
enum Engine {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Engine {
    async fn of(test: &TestStore) -> Self {
        if test.url.starts_with("postgres") {
            let mut connection = PgConnection::connect(&test.url).await.expect("a connection");
            // As every connection of the program is.
            let setting = sqlx::raw_sql("SET enable_bitmapscan = off").execute(&mut connection).await;
            setting.expect("a setting");
            Engine::Postgres(connection)
        } else {
            Engine::Sqlite(test.derived_file().await)
        }
    }

    async fn run(&mut self, sql: String) {
        match self {
            Engine::Postgres(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop),
            Engine::Sqlite(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop),
        }
        .expect("a statement");
    }

    /// Fills a view: every tenth row has no values.
    async fn fill(&mut self, schema: &ViewSchema, rows: u32) {
        let is_postgres = matches!(self, Engine::Postgres(_));
        // Columns do not follow from each other: the planner counts on that.
        let value = |(place, kind): (usize, ColumnKind)| match (kind, is_postgres) {
            (ColumnKind::Text | ColumnKind::Identifier, _) => format!("'v' || (n / {} % 50)", 20 + 13 * place),
            (ColumnKind::Uuid, true) => {
                format!("('00000000-0000-4000-8000-' || lpad((n / {} % 20)::text, 12, '0'))::uuid", 1 + 19 * place)
            }
            (ColumnKind::Uuid, false) => {
                format!("printf('00000000-0000-4000-8000-%012d', n / {} % 20)", 1 + 19 * place)
            }
            (ColumnKind::Integer, _) => "n % 1000".to_owned(),
            (ColumnKind::Time, true) => "timestamptz '2026-01-01' + n * interval '1 second'".to_owned(),
            (ColumnKind::Time, false) => {
                "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n, 'unixepoch')".to_owned()
            }
            (ColumnKind::Boolean, true) => "n % 2 = 0".to_owned(),
            (ColumnKind::Boolean, false) => "n % 2".to_owned(),
            (ColumnKind::Words, _) => "'word' || n".to_owned(),
        };
        let columns = schema.columns.iter();
        let names: String = columns.clone().map(|column| format!(", {}", column.name)).collect();
        let given = columns.enumerate().map(|(place, column)| value((place, column.kind)));
        let values: String = given.map(|value| format!(", CASE WHEN n % 10 = 0 THEN NULL ELSE {value} END")).collect();
        let (table, series) = (
            schema.name,
            match is_postgres {
                true => format!("generate_series(1, {rows}) AS series(n)"),
                false => format!(
                    "(WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {rows})
                  SELECT n FROM series)"
                ),
            },
        );
        // Keys in an order of their own.
        self.run(format!(
            "INSERT INTO view_{table} (generation, key, document{names})
             SELECT 1, 'k' || ((n * 7919) % 100003), '\"d\"'{values} FROM {series}"
        ))
        .await;
        self.run(format!("ANALYZE view_{table}")).await;
    }

    /// Fails where a page is more than a stretch of an index.
    async fn check(&mut self, schema: &ViewSchema, query: &ListQuery, what: &str) {
        let columns: Vec<_> = schema.columns.iter().map(|column| (column.name.to_owned(), column.kind)).collect();
        match self {
            Engine::Postgres(connection) => {
                let list = ListSql::build(schema.name, &columns, query, Dialect::Postgres).expect("a list");
                let sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) {}", list.sql);
                let mut explain = sqlx::query_scalar(AssertSqlSafe(sql)).bind(schema.name);
                for value in list.values {
                    explain = match value {
                        ColumnValue::Text(text) => explain.bind(text),
                        ColumnValue::Uuid(id) => explain.bind(id),
                        ColumnValue::Integer(number) => explain.bind(number),
                        ColumnValue::Time(time) => explain.bind(time),
                        ColumnValue::Boolean(truth) => explain.bind(truth),
                        ColumnValue::Null => explain.bind(None::<String>),
                    };
                }
                let plan: Value = explain.fetch_one(connection).await.expect("a plan");
                let read = rows_read(&plan[0]["Plan"], what);
                let combinations: usize = query.filters.iter().map(|filter| filter.values.len()).product();
                let allowed = f64::from(3 * query.limit) * combinations as f64;
                assert!(read <= allowed, "{what}: {read} rows read for {}: {plan:#}", query.limit);
            }
            Engine::Sqlite(connection) => {
                let list = ListSql::build(schema.name, &columns, query, Dialect::Sqlite).expect("a list");
                // What is bound does not change the plan.
                let sql = format!("EXPLAIN QUERY PLAN {}", list.sql);
                let plan: Vec<(i64, i64, i64, String)> =
                    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await.expect("a plan");
                let scans = |detail: &str| detail.starts_with("SCAN view_");
                let searched: Vec<i64> =
                    plan.iter().filter(|(.., detail)| detail.starts_with("SEARCH view_")).map(|row| row.1).collect();
                // The stretches of several values are merged, of each what it gave at most: a page.
                let merges = query.filters.iter().any(|filter| filter.values.len() > 1);
                let sorts = |(_, parent, _, detail): &(i64, i64, i64, String)| {
                    detail.contains("TEMP B-TREE") && (!merges || searched.contains(parent))
                };
                let bad = plan.iter().any(|row| sorts(row) || scans(&row.3));
                assert!(!bad, "{what}: {plan:#?}");
            }
        }
    }
}

/// Rows of views that a plan read, also those that it threw away.
fn rows_read(node: &Value, what: &str) -> f64 {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    let mut read = 0.0;
    if relation.starts_with("view_") {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        assert!(kind.contains("Index") || kind.contains("Bitmap"), "{what}: {kind} of {relation}: {node:#}");
        let count = |name: &str| node[name].as_f64().unwrap_or_default();
        read = (count("Actual Rows") + count("Rows Removed by Filter") + count("Rows Removed by Index Recheck"))
            * count("Actual Loops");
    }
    let children = node["Plans"].as_array().into_iter().flatten();
    read + children.map(|child| rows_read(child, what)).sum::<f64>()
}

/// What [`Engine::fill`] has put into many rows.
fn some_value(kind: ColumnKind) -> ColumnValue {
    match kind {
        ColumnKind::Text | ColumnKind::Identifier => "v1".into(),
        ColumnKind::Uuid => uuid::uuid!("00000000-0000-4000-8000-000000000001").into(),
        ColumnKind::Integer => ColumnValue::Integer(1),
        ColumnKind::Time => "2026-01-01T00:00:01Z".parse::<chrono::DateTime<chrono::Utc>>().expect("a time").into(),
        ColumnKind::Boolean => true.into(),
        ColumnKind::Words => "word1".into(),
    }
}

/// The same list, of two values of each text and id that it is filtered by.
fn of_several_values(mut query: ListQuery, kind: &impl Fn(&str) -> ColumnKind) -> ListQuery {
    for filter in &mut query.filters {
        match kind(&filter.column) {
            ColumnKind::Text | ColumnKind::Identifier => filter.values.push("v2".into()),
            ColumnKind::Uuid => filter.values.push(uuid::uuid!("00000000-0000-4000-8000-000000000002").into()),
            _ => {}
        }
    }
    query
}

/// The access paths of a view; where it names none, each column is one.
fn paths(schema: &ViewSchema) -> Vec<Vec<&'static str>> {
    match schema.access_paths {
        [] => schema.columns.iter().map(|column| vec![column.name]).collect(),
        paths => paths.iter().map(|path| path.to_vec()).collect(),
    }
}

/// Where the pages behind the first begin.
async fn places(test: &TestStore, view: &str, query: &ListQuery) -> Vec<Cursor> {
    let (mut places, mut after) = (Vec::new(), None);
    loop {
        let query = ListQuery { after, limit: 990, ..query.clone() };
        after = test.store.views.list(view, &query).await.expect("a page").next;
        let Some(place) = &after else { return places };
        places.push(place.clone());
    }
}

pub async fn every_list_is_a_stretch_of_an_index(test: TestStore) {
    let mut engine = Engine::of(&test).await;
    for view in views::ALL {
        let schema = view.schema();
        test.store.views.register(schema).await.expect("registered");
        engine.fill(schema, ROWS).await;
        for path in paths(schema) {
            let Some((sort, prefix)) = path.split_last() else { continue };
            let kind = |name: &str| schema.columns.iter().find(|column| column.name == name).expect("a column").kind;
            let filter = |column: &&str| {
                let values = vec![some_value(kind(column))];
                Filter { column: (*column).to_owned(), op: FilterOp::Equals, values }
            };
            for direction in [Direction::Ascending, Direction::Descending] {
                let sort = Some(((*sort).to_owned(), direction));
                let filters = prefix.iter().map(filter).collect();
                let first = ListQuery { filters, sort, limit: PAGE, ..ListQuery::default() };
                let places = places(&test, schema.name, &first).await;
                let deep = [places.get(places.len() / 2), places.last()].into_iter().flatten().cloned();
                for after in std::iter::once(None).chain(deep.map(Some)) {
                    let what = format!("view {}, {path:?} {direction:?}, after {after:?}", schema.name);
                    let page = ListQuery { after, ..first.clone() };
                    engine.check(schema, &page, &what).await;
                    let several = of_several_values(page, &kind);
                    engine.check(schema, &several, &format!("{what}, of several values")).await;
                }
            }
        }
        engine.check(schema, &ListQuery { limit: PAGE, ..ListQuery::default() }, "by key").await;
    }
}

pub async fn rows_without_a_value_come_last_both_ways(test: TestStore) {
    let schema = view("patients").schema();
    test.store.views.register(schema).await.expect("registered");
    Engine::of(&test).await.fill(schema, 200).await;
    let list = async |direction, limit, after| {
        let sort = Some(("registered_at".to_owned(), direction));
        let query = ListQuery { sort, limit, after, ..ListQuery::default() };
        test.store.views.list(schema.name, &query).await
    };
    let mut both = Vec::new();
    for direction in [Direction::Ascending, Direction::Descending] {
        let whole = list(direction, 1_000, None).await.expect("a page").rows;
        let whole: Vec<String> = whole.into_iter().map(|(key, _)| key).collect();
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = list(direction, 7, after).await.expect("a page");
            keys.extend(page.rows.into_iter().map(|(key, _)| key));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(keys, whole, "page by page as at once");
        assert_eq!(keys.len(), 200);
        both.push(keys);
    }
    // Every tenth has no value: those are the last twenty either way.
    let (up, down) = (&both[0], &both[1]);
    assert!(up[..180].iter().eq(down[..180].iter().rev()), "the other way round");
    assert!(up[180..].iter().eq(down[180..].iter().rev()), "those without a value, too");
    let place = list(Direction::Ascending, 7, None).await.expect("a page").next.expect("a place");
    for forged in [json!({"integer": 5}), json!({"text": "a\u{0}b"})] {
        let mut cursor = serde_json::to_value(&place).expect("JSON");
        cursor["value"] = forged;
        let cursor: Cursor = serde_json::from_value(cursor).expect("a cursor");
        let refused = list(Direction::Ascending, 7, Some(cursor)).await;
        assert!(matches!(refused, Err(ViewError::Query(QueryError::ForeignCursor))), "{refused:?}");
    }
}
