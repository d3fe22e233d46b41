//! Lists by keyset: filters, order and the place where the next page begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{ColumnKind, ColumnValue, LIST_LIMIT_MAX};

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOp {
    /// Equal to the value.
    Equals,
    /// Equal to the value or greater.
    AtLeast,
    /// Equal to the value or smaller.
    AtMost,
}

/// A condition on a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column.
    pub column: String,
    /// How it is compared.
    pub op: FilterOp,
    /// What it is compared with.
    pub value: ColumnValue,
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Small values first.
    Ascending,
    /// Great values first.
    Descending,
}

/// A question for a page of documents.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// The column to sort by; without it the order is by key. Rows without a value come last.
    pub sort: Option<(String, Direction)>,
    /// Where the page begins: the `next` of the page before.
    pub after: Option<Cursor>,
    /// Greatest number of rows, 1 to [`LIST_LIMIT_MAX`].
    pub limit: u32,
}

/// The place between two rows of a list. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    view: String,
    sort: Option<(String, Direction)>,
    value: ColumnValue,
    key: String,
}

/// A question that the view cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The view has no such column.
    #[error("`{0}` is not a column that can be filtered or sorted by")]
    UnknownColumn(String),
    /// The value is of another kind than the column.
    #[error("the value for `{column}` must be of kind {kind:?}")]
    WrongKind {
        /// The column.
        column: String,
        /// What it holds.
        kind: ColumnKind,
    },
    /// The cursor is damaged or of another list.
    #[error("the cursor does not belong to this list")]
    ForeignCursor,
    /// The limit is out of range.
    #[error("the limit must be from 1 to {LIST_LIMIT_MAX}")]
    Limit,
}

impl Cursor {
    /// The cursor as text for an address.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a cursor serialises to JSON by construction"))
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`QueryError::ForeignCursor`] where it is damaged.
    pub fn decode(text: &str) -> Result<Self, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| QueryError::ForeignCursor)?;
        serde_json::from_slice(&bytes).map_err(|_| QueryError::ForeignCursor)
    }
}

/// The column that a list is sorted by, with its kind; none where it is sorted by key.
pub(crate) type SortKey = Option<(String, ColumnKind)>;

/// A list as one SQL statement that both engines run. `$1` is the view's name;
/// the values follow in order.
pub(crate) struct ListSql {
    pub sql: String,
    pub values: Vec<ColumnValue>,
    pub sort: SortKey,
}

impl ListSql {
    /// Builds the statement; `document` is the engine's expression for the document's text.
    pub fn build(
        view: &str,
        columns: &[(String, ColumnKind)],
        query: &ListQuery,
        document: &str,
    ) -> Result<Self, QueryError> {
        if query.limit == 0 || query.limit > LIST_LIMIT_MAX {
            return Err(QueryError::Limit);
        }
        let mut builder = Builder { conditions: String::new(), values: Vec::new() };
        for filter in &query.filters {
            builder.filter(kind_of(columns, &filter.column)?, filter)?;
        }
        let sort = match &query.sort {
            Some((column, _)) => Some((column.clone(), kind_of(columns, column)?)),
            None => None,
        };
        if let Some(cursor) = &query.after {
            if cursor.view != view || cursor.sort != query.sort {
                return Err(QueryError::ForeignCursor);
            }
            builder.after(cursor);
        }
        let (sort_value, order) = match &query.sort {
            Some((column, Direction::Ascending)) => (column.as_str(), "sort_value ASC NULLS LAST, "),
            Some((column, Direction::Descending)) => (column.as_str(), "sort_value DESC NULLS LAST, "),
            None => ("NULL", ""),
        };
        let inner_order = order.replace("sort_value", sort_value);
        // One row more than asked for tells whether there is a next page.
        let limit = query.limit + 1;
        let conditions = &builder.conditions;
        // The join makes position and rows come from one snapshot, also where there are no rows.
        let sql = format!(
            "SELECT views.position, page.key, page.document, page.sort_value
             FROM views LEFT JOIN (
                 SELECT key, {document} AS document, {sort_value} AS sort_value FROM view_{view}
                 WHERE generation = (SELECT generation FROM views WHERE name = $1){conditions}
                 ORDER BY {inner_order}key LIMIT {limit}
             ) AS page ON TRUE
             WHERE views.name = $1 ORDER BY {order}page.key"
        );
        Ok(Self { sql, values: builder.values, sort })
    }
}

/// The place behind a row of `query`'s list.
pub(crate) fn cursor_behind(view: &str, query: &ListQuery, key: &str, value: ColumnValue) -> Cursor {
    Cursor { view: view.to_owned(), sort: query.sort.clone(), value, key: key.to_owned() }
}

struct Builder {
    conditions: String,
    values: Vec<ColumnValue>,
}

impl Builder {
    fn bind(&mut self, value: ColumnValue) -> String {
        self.values.push(value);
        // $1 is the view's name.
        format!("${}", self.values.len() + 1)
    }

    fn filter(&mut self, kind: ColumnKind, filter: &Filter) -> Result<(), QueryError> {
        let column = &filter.column;
        let fits = matches!(
            (&filter.value, kind),
            (ColumnValue::Null, _)
                | (ColumnValue::Text(_), ColumnKind::Text)
                | (ColumnValue::Uuid(_), ColumnKind::Uuid)
                | (ColumnValue::Integer(_), ColumnKind::Integer)
                | (ColumnValue::Time(_), ColumnKind::Time)
                | (ColumnValue::Boolean(_), ColumnKind::Boolean)
        );
        if !fits {
            return Err(QueryError::WrongKind { column: column.clone(), kind });
        }
        if filter.value == ColumnValue::Null {
            self.conditions.push_str(&format!(" AND {column} IS NULL"));
            return Ok(());
        }
        let operator = match filter.op {
            FilterOp::Equals => "=",
            FilterOp::AtLeast => ">=",
            FilterOp::AtMost => "<=",
        };
        let value = self.bind(filter.value.clone());
        self.conditions.push_str(&format!(" AND {column} {operator} {value}"));
        Ok(())
    }

    fn after(&mut self, cursor: &Cursor) {
        let condition = match (&cursor.sort, &cursor.value) {
            (None, _) => {
                let key = self.bind(ColumnValue::Text(cursor.key.clone()));
                format!("key > {key}")
            }
            // Rows without a value come last, whichever way the list runs.
            (Some((column, _)), ColumnValue::Null) => {
                let key = self.bind(ColumnValue::Text(cursor.key.clone()));
                format!("({column} IS NULL AND key > {key})")
            }
            (Some((column, direction)), value) => {
                let beyond = if *direction == Direction::Ascending { ">" } else { "<" };
                let value = self.bind(value.clone());
                let key = self.bind(ColumnValue::Text(cursor.key.clone()));
                format!("({column} {beyond} {value} OR ({column} = {value} AND key > {key}) OR {column} IS NULL)")
            }
        };
        self.conditions.push_str(" AND ");
        self.conditions.push_str(&condition);
    }
}

fn kind_of(columns: &[(String, ColumnKind)], name: &str) -> Result<ColumnKind, QueryError> {
    let found = columns.iter().find(|(column, _)| column == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| QueryError::UnknownColumn(name.to_owned()))
}
