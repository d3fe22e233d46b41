//! Lists that are filtered by several values of a column.

use event_store::views::{ColumnValue, Direction, Filter, FilterOp, ListQuery, QueryError, ViewError};
use testkit::stores::TestStore;

use crate::storage::{ALERTS, filled, numbers, trial};

pub async fn a_filter_takes_several_values(test: TestStore) {
    let store = &test.store;
    filled(store, 60).await;
    let any =
        |column: &str, values: Vec<ColumnValue>| Filter { column: column.to_owned(), op: FilterOp::Equals, values };
    let filters = vec![
        any("trial_id", vec![trial(1).into(), trial(2).into(), trial(1).into()]),
        any("severity_rank", vec![ColumnValue::Integer(3), ColumnValue::Null, ColumnValue::Integer(1)]),
    ];
    let rank = |n: &u32| if n.is_multiple_of(5) { None } else { Some(n % 7) };
    let fits = |n: &u32| [trial(1), trial(2)].contains(&trial(*n)) && matches!(rank(n), None | Some(1 | 3));
    let by_key: Vec<u32> = (0..60).filter(fits).collect();
    assert!(by_key.len() > 5 && by_key.len() < 60, "{by_key:?}");
    let query = |limit, sort| ListQuery { filters: filters.clone(), within: None, sort, limit, after: None };
    for limit in [1, 3, 60] {
        assert_eq!(numbers(store, query(limit, None)).await, by_key, "pages of {limit}");
        let mut expected = by_key.clone();
        expected.sort_by_key(|n| (rank(n).is_none(), std::cmp::Reverse((rank(n), *n))));
        let sort = Some(("severity_rank".to_owned(), Direction::Descending));
        assert_eq!(numbers(store, query(limit, sort)).await, expected, "pages of {limit}");
    }
    for values in [Vec::new(), (0..65).map(ColumnValue::Integer).collect()] {
        let query = ListQuery { filters: vec![any("severity_rank", values)], limit: 1, ..ListQuery::default() };
        let refused = store.views.list(ALERTS.name, &query).await;
        assert!(matches!(refused, Err(ViewError::Query(QueryError::Values))), "{refused:?}");
    }
}
