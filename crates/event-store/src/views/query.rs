//! Lists by keyset: filters, order and the place where the next page begins.

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::fit::{Condition, combinations, kind_of};
use super::{ColumnKind, ColumnValue, LIST_LIMIT_MAX, words};

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOp {
    /// Equal to the value.
    Equals,
    /// Equal to the value or greater.
    AtLeast,
    /// Equal to the value or smaller.
    AtMost,
    /// Of words: a word begins so, for each of the value's words.
    Words,
}

/// A condition on a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column.
    pub column: String,
    /// How it is compared.
    pub op: FilterOp,
    /// What it is compared with: any of them may fit.
    pub values: Vec<ColumnValue>,
}

/// One way in which a row may lie within what is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The column; without it the key.
    pub column: Option<String>,
    /// What it may be.
    pub values: Vec<ColumnValue>,
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
    /// At least one of them must hold, where it is given: what lies in sight of who is asking.
    pub within: Option<Vec<Within>>,
    /// The column to sort by; without it the order is by key. Rows without a value come last.
    pub sort: Option<(String, Direction)>,
    /// Where the page begins: the `next` of the page before.
    pub after: Option<Cursor>,
    /// Greatest number of rows, 1 to [`LIST_LIMIT_MAX`].
    pub limit: u32,
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
    /// The filters allow no value, or too many of them together.
    #[error("the filters may allow 1 to {STRETCHES_MAX} combinations of values")]
    Values,
}

/// Combinations of values that the filters of one list may allow: each is a stretch of an index of its own.
pub const STRETCHES_MAX: usize = 64;

/// The column that a list is sorted by, with its kind; none where it is sorted by key.
pub(crate) type SortKey = Option<(String, ColumnKind)>;

/// What the engines say differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// A list as one SQL statement. `$1` is the view's name; the values follow in order.
/// Public so that a test can ask an engine how it would run it.
pub struct ListSql {
    /// The statement.
    pub sql: String,
    /// What is bound behind the view's name.
    pub values: Vec<ColumnValue>,
    pub(crate) sort: SortKey,
}

impl ListSql {
    /// Builds the statement.
    ///
    /// A page is a stretch of an index: rows with a value in the order of
    /// (column, key), and behind them, as a stretch of their own, those without
    /// one. Column and key run the same way, so that an index serves both ways,
    /// and a page begins where a row comparison says, however deep it lies.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn build(
        view: &str,
        columns: &[(String, ColumnKind)],
        query: &ListQuery,
        dialect: Dialect,
    ) -> Result<Self, QueryError> {
        if query.limit == 0 || query.limit > LIST_LIMIT_MAX {
            return Err(QueryError::Limit);
        }
        let mut wanted = combinations(columns, &query.filters)?;
        let sort = match &query.sort {
            Some((column, _)) => Some((column.clone(), kind_of(columns, column)?)),
            None => None,
        };
        if let Some(cursor) = &query.after
            && (cursor.view != view || cursor.sort != query.sort || !cursor.fits(&sort))
        {
            return Err(QueryError::ForeignCursor);
        }
        let mut builder = Builder::new(view, dialect, query.limit + 1);
        match query.within.as_deref() {
            None => {}
            // As if it were a filter: an index begins with it.
            Some([Within { column: Some(column), values }]) if values.len() == 1 => {
                kind_of(columns, column)?;
                for combination in &mut wanted {
                    combination.push((column, FilterOp::Equals, &values[0]));
                }
            }
            Some(within) => builder.keep_within(columns, within)?,
        }
        let mut stretches = Vec::new();
        for combination in &wanted {
            builder.narrow(combination);
            match &query.sort {
                None => stretches.push(builder.by_key(query.after.as_ref())),
                Some((column, direction)) => {
                    stretches.extend(builder.by_column(column, *direction, query.after.as_ref()));
                }
            }
        }
        let page = builder.page(stretches, wanted.len(), query.sort.as_ref().map(|(_, direction)| *direction));
        // PostgreSQL promises the order of rows only where it is asked for; it is a page's that it sorts. SQLite gives
        // them as the one loop over the limited, ordered rows does.
        let order = match (dialect, &query.sort) {
            (Dialect::Sqlite, _) => "",
            (Dialect::Postgres, None) => " ORDER BY page.key",
            (Dialect::Postgres, Some((_, Direction::Ascending))) => " ORDER BY page.part, page.sort_value, page.key",
            (Dialect::Postgres, Some((_, Direction::Descending))) => {
                " ORDER BY page.part, page.sort_value DESC, page.key DESC"
            }
        };
        // The join makes position and rows come from one snapshot, also where there are no rows.
        let sql = format!(
            "SELECT views.position, page.key, page.document, page.sort_value, views.event_id
             FROM views LEFT JOIN ({page}) AS page ON TRUE WHERE views.name = $1{order}"
        );
        Ok(Self { sql, values: builder.values, sort })
    }
}

/// Counting rows as one SQL statement; bound as [`ListSql`].
pub(crate) struct CountSql {
    /// The statement.
    pub sql: String,
    /// What is bound behind the view's name.
    pub values: Vec<ColumnValue>,
}

impl CountSql {
    /// Builds the statement that counts rows which fit the filters, no further than `max`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn build(
        view: &str,
        columns: &[(String, ColumnKind)],
        filters: &[Filter],
        max: u32,
        dialect: Dialect,
    ) -> Result<Self, QueryError> {
        let mut builder = Builder::new(view, dialect, max);
        let mut stretches = Vec::new();
        for combination in combinations(columns, filters)? {
            builder.narrow(&combination);
            let Builder { conditions, .. } = &builder;
            stretches.push(format!(
                "SELECT 1 AS one FROM view_{view}
                 WHERE generation = (SELECT generation FROM views WHERE name = $1){conditions}"
            ));
        }
        let all = stretches.join(" UNION ALL ");
        let sql = format!("SELECT COUNT(*) FROM (SELECT one FROM ({all}) AS fitting LIMIT {max}) AS counted");
        Ok(Self { sql, values: builder.values })
    }
}

/// Where among the columns of a list's statement the document is.
pub(crate) const DOCUMENT_COLUMN: usize = 2;

struct Builder<'view> {
    view: &'view str,
    dialect: Dialect,
    // One row more than asked for tells whether there is a next page.
    limit: u32,
    conditions: String,
    // What every row must lie within.
    within: String,
    // Columns that must have one value, and what is bound for it.
    equal: Vec<(String, String)>,
    values: Vec<ColumnValue>,
}

impl<'view> Builder<'view> {
    const fn new(view: &'view str, dialect: Dialect, limit: u32) -> Self {
        Self {
            view,
            dialect,
            limit,
            conditions: String::new(),
            within: String::new(),
            equal: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The rows behind a place, as a comparison of rows.
    fn beyond(&self, column: &str, beyond: &str, value: &str, key: &str) -> String {
        // What is equal is compared as well, though it says nothing: to PostgreSQL it names the one index
        // that begins with it, and near the end of a list no other looks as cheap. SQLite finds that index
        // by what is equal, and would not know what to do with more.
        let equal = if self.dialect == Dialect::Postgres { self.equal.as_slice() } else { &[] };
        let (columns, values): (String, String) =
            equal.iter().map(|(column, value)| (format!("{column}, "), format!("{value}, "))).unzip();
        format!(" AND ({columns}{column}, key) {beyond} ({values}{value}, {key})")
    }

    fn bind(&mut self, value: ColumnValue) -> String {
        self.values.push(value);
        // $1 is the view's name.
        format!("${}", self.values.len() + 1)
    }

    /// Only rows that lie within one of these.
    fn keep_within(&mut self, columns: &[(String, ColumnKind)], within: &[Within]) -> Result<(), QueryError> {
        let mut alternatives = Vec::with_capacity(within.len());
        for Within { column, values } in within.iter().filter(|within| !within.values.is_empty()) {
            if let Some(column) = column {
                kind_of(columns, column)?;
            }
            let bound: Vec<String> = values.iter().map(|value| self.bind(value.clone())).collect();
            alternatives.push(format!("{} IN ({})", column.as_deref().unwrap_or("key"), bound.join(", ")));
        }
        self.within = match alternatives.as_slice() {
            [] => " AND 1 = 0".to_owned(),
            alternatives => format!(" AND ({})", alternatives.join(" OR ")),
        };
        Ok(())
    }

    /// From now on only rows that fit these conditions.
    fn narrow(&mut self, conditions: &[Condition<'_>]) {
        self.conditions.clear();
        self.equal.clear();
        for (column, op, value) in conditions {
            if **value == ColumnValue::Null {
                self.conditions.push_str(&format!(" AND {column} IS NULL"));
                continue;
            }
            let operator = match op {
                FilterOp::Equals => "=",
                FilterOp::AtLeast => ">=",
                FilterOp::AtMost => "<=",
                FilterOp::Words => {
                    let bound = words::begun(value, self.dialect).map(|begun| self.bind(begun));
                    self.conditions.push_str(&words::condition(self.dialect, self.view, column, bound.as_deref()));
                    continue;
                }
            };
            let value = self.bind((*value).clone());
            self.conditions.push_str(&format!(" AND {column} {operator} {value}"));
            if matches!(op, FilterOp::Equals) {
                self.equal.push(((*column).to_owned(), value));
            }
        }
    }

    /// A stretch of the view's rows; `sort_value` is what the cursor keeps of each.
    fn stretch(&self, part: u8, sort_value: &str, condition: &str, order: &str) -> String {
        let Self { view, limit, conditions, within, .. } = self;
        let document = match self.dialect {
            Dialect::Postgres => "document::text",
            Dialect::Sqlite => "document",
        };
        format!(
            "SELECT {part} AS part, key, {document} AS document, {sort_value} AS sort_value FROM view_{view}
             WHERE generation = (SELECT generation FROM views WHERE name = $1){within}{conditions}{condition}
             ORDER BY {order} LIMIT {limit}"
        )
    }

    fn by_key(&mut self, after: Option<&Cursor>) -> String {
        let condition = match after {
            Some(cursor) => format!(" AND key > {}", self.bind(ColumnValue::Text(cursor.key.clone()))),
            None => String::new(),
        };
        self.stretch(0, "NULL", &condition, "key")
    }

    /// The rows with a value, and behind them those without one.
    fn by_column(&mut self, column: &str, direction: Direction, after: Option<&Cursor>) -> Vec<String> {
        let (beyond, order) = match direction {
            Direction::Ascending => (">", ""),
            Direction::Descending => ("<", " DESC"),
        };
        let after = after.map(|cursor| (cursor.value.clone(), self.bind(ColumnValue::Text(cursor.key.clone()))));
        // Rows without a value come last, whichever way the list runs.
        let behind = match &after {
            Some((ColumnValue::Null, key)) => format!(" AND {column} IS NULL AND key {beyond} {key}"),
            _ => format!(" AND {column} IS NULL"),
        };
        // PostgreSQL finds the index by this order, although the column says nothing here.
        let order = format!("{column}{order}, key{order}");
        let valueless = self.stretch(1, column, &behind, &order);
        let from = match after {
            Some((ColumnValue::Null, _)) => return vec![valueless],
            Some((value, key)) => {
                let value = self.bind(value);
                self.beyond(column, beyond, &value, &key)
            }
            None => format!(" AND {column} IS NOT NULL"),
        };
        vec![self.stretch(0, column, &from, &order), valueless]
    }

    /// A page of the stretches. Those of one combination follow each other, and the next is read only where those
    /// before do not fill the page; those of several are merged, of each no more than a page.
    fn page(&self, stretches: Vec<String>, combinations: usize, direction: Option<Direction>) -> String {
        if let [one] = stretches.as_slice() {
            return one.clone();
        }
        let order = match (combinations, direction) {
            (1, _) => "",
            (_, None) => " ORDER BY key",
            (_, Some(Direction::Ascending)) => " ORDER BY part, sort_value, key",
            (_, Some(Direction::Descending)) => " ORDER BY part, sort_value DESC, key DESC",
        };
        let named = stretches.iter().zip(1..);
        let named: Vec<String> = named.map(|(stretch, n)| format!("SELECT * FROM ({stretch}) AS s{n}")).collect();
        let all = named.join(" UNION ALL ");
        format!("SELECT * FROM ({all}) AS stretches{order} LIMIT {}", self.limit)
    }
}
